//! Reports: each is taken once, whole or not at all; who sends one that cannot be true is not believed any more.

use super::commands::Stop;
use super::handle::CommandError;
use super::message::Reply;
use super::requests::{self, Known};
use super::stage::Cause;
use super::{Engine, EngineError};
use crate::metrics::REPORTS_REFUSED;
use prost::Message as _;
use rand::RngExt as _;
use serinus_core::ledger::report::{self, Impossible, Read};
use serinus_proto::v1::{self, event::Kind, report_ack::Refusal};
use std::collections::BTreeSet;

/// A report a second, and with more sidecars than this so much less often, at most every ten seconds.
const SIDECARS_PER_SECOND: usize = 10_000;
const SLOWEST_S: usize = 10;

impl Engine {
    /// How often a report is due from each sidecar, seconds.
    pub(super) fn report_s(&self) -> u64 {
        let seconds = self.fleet.connected().div_ceil(SIDECARS_PER_SECOND);
        seconds.clamp(1, SLOWEST_S) as u64
    }

    pub(super) fn report_interval(&self) -> prost_types::Duration {
        prost_types::Duration {
            seconds: self.report_s().cast_signed(),
            nanos: 0,
        }
    }

    pub(super) fn report(
        &mut self,
        report: &v1::ReportRequest,
        reply: Reply<v1::ReportAck>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let secret = rand::rng().random();
        let (issuer, source, new) = self
            .fleet
            .source(&report.sidecar, report.incarnation, secret);
        source.heard_ms = now_ms;
        let taken = source.taken_seq;
        // Also before the first one that we see of an incarnation: a sidecar that cannot send what is missing, because
        // an earlier history of ours had it, takes a new incarnation.
        let next = report.seq == taken + 1;
        if next {
            source.taken_seq = report.seq;
        }
        if new {
            // Whether the report is taken or not: the number must never be given again.
            self.stage.batch.meta = Some(self.meta());
        }
        if new || next {
            self.stage.sources.insert(issuer);
        }
        let (refusal, detail) = if next {
            self.judge(report, issuer, now_ms)?
        } else {
            (Refusal::None, String::new())
        };
        let gap = report.seq > taken + 1;
        let ack = v1::ReportAck {
            committed_seq: if next { report.seq } else { taken },
            resend_after: if gap { taken } else { 0 },
            resend: gap,
            report_interval: Some(self.report_interval()),
            refusal: refusal.into(),
            detail,
        };
        self.reply(reply, ack);
        Ok(())
    }

    /// Counts a report, or says why not.
    fn judge(
        &mut self,
        report: &v1::ReportRequest,
        issuer: u32,
        now_ms: u64,
    ) -> Result<(Refusal, String), EngineError> {
        let refused = |why: &'static str| {
            metrics::counter!(REPORTS_REFUSED, "why" => why).increment(1);
        };
        let quarantined = self
            .book
            .quarantine
            .why(&report.sidecar, report.incarnation);
        if let Some(why) = quarantined.map(str::to_owned) {
            refused("quarantined");
            self.finish_seconds(report, issuer.into(), now_ms, BTreeSet::new());
            return Ok((Refusal::Quarantined, why));
        }
        let runs = &self.book.runs;
        let epoch = |rollout: &str| runs.get(rollout).map(|run| run.rollout.epoch);
        let mut pace = self.fleet.pace(issuer);
        let read = report::read(report, &mut pace, now_ms / 1000, epoch);
        match read {
            Ok(read) => {
                self.fleet.set_pace(issuer, pace);
                let about = self.count(report, &read, issuer.into(), now_ms);
                self.finish_seconds(report, issuer.into(), now_ms, about);
                Ok((Refusal::None, String::new()))
            }
            Err(why) => {
                refused(why.name());
                self.finish_seconds(report, issuer.into(), now_ms, BTreeSet::new());
                self.distrust(report, &why, now_ms)
            }
        }
    }

    /// A report that cannot be true: nothing that this incarnation says counts any more.
    fn distrust(
        &mut self,
        report: &v1::ReportRequest,
        why: &Impossible,
        now_ms: u64,
    ) -> Result<(Refusal, String), EngineError> {
        let (sidecar, detail) = (report.sidecar.clone(), why.to_string());
        if !why.is_lie() {
            tracing::warn!(sidecar, detail, "report refused");
            return Ok((Refusal::UnknownEpoch, detail));
        }
        tracing::error!(sidecar, detail, "a report cannot be true: quarantined");
        let kind = Kind::SidecarQuarantined(v1::SidecarQuarantined {
            sidecar,
            incarnation: report.incarnation,
            why: detail.clone(),
        });
        self.emit("", "", &Cause::own(), vec![kind], now_ms)?;
        self.fleet.touch();
        Ok((Refusal::Impossible, detail))
    }

    /// Adds what a report says to the rollouts that it is about. Of an active rollout: to its evidence and to what is
    /// known of stable; else only to the latter.
    fn count(
        &mut self,
        report: &v1::ReportRequest,
        read: &[Read<'_>],
        source: u64,
        now_ms: u64,
    ) -> BTreeSet<String> {
        let (book, now_s) = (&mut self.book, now_ms / 1000);
        let mut about = BTreeSet::new();
        for Read { cell, counts } in read {
            if let Some(run) = book.runs.get_mut(&cell.rollout) {
                about.insert(cell.rollout.clone());
                let pair = run.absorb(source, cell, counts, now_ms);
                let (model, others) = (&run.rollout.model, pair.canary.requests());
                let histories = &mut book.histories;
                histories.add(model, cell.second, now_s, &pair.stable, others);
                continue;
            }
            let model = if let Some(finished) = book.finished.get(&cell.rollout) {
                &finished.rollout.model
            } else if cell.rollout.is_empty() && self.fleet.serves(&report.sidecar, &cell.model) {
                &cell.model
            } else {
                continue;
            };
            let stable = book.stable_name(model).map(str::to_owned);
            book.histories
                .absorb(model, stable.as_deref(), cell.second, counts, now_s);
        }
        for keys in &report.keys {
            if let Some(run) = book.runs.get_mut(&keys.rollout) {
                run.absorb_keys(source, keys);
            }
        }
        about
    }

    /// A sidecar that sent nothing to a model says so by having finished the second; and whatever it says, it is there.
    fn finish_seconds(
        &mut self,
        report: &v1::ReportRequest,
        source: u64,
        now_ms: u64,
        mut about: BTreeSet<String>,
    ) {
        if let Some(sidecar) = self.fleet.sidecars.get_mut(&report.sidecar) {
            sidecar.last_seen_ms = now_ms;
            let models = sidecar.models.iter();
            let active = models.filter_map(|model| self.book.models.get(model)?.active.clone());
            about.extend(active);
        }
        let report_ms = self.report_s() * 1000;
        for id in about {
            if let Some(run) = self.book.runs.get_mut(&id) {
                run.report(source, report.finished_before, now_ms, report_ms);
            }
        }
    }

    /// Lets a sidecar's reports count again.
    pub(super) fn release(
        &mut self,
        actor: &str,
        request: &v1::ReleaseSidecarRequest,
        reply: Reply<Result<v1::SidecarInfo, CommandError>>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let answer = match self.released(actor, request, now_ms) {
            Ok(()) => self
                .sidecar_named(&request.sidecar)
                .ok_or_else(|| unknown(request)),
            Err(Stop::Refused(refused)) => Err(refused),
            Err(Stop::Broken(error)) => return Err(error.into()),
        };
        self.reply(reply, answer);
        Ok(())
    }

    fn released(
        &mut self,
        actor: &str,
        request: &v1::ReleaseSidecarRequest,
        now_ms: u64,
    ) -> Result<(), Stop> {
        if request.request_id.is_empty() {
            return Err(CommandError::RequestIdMissing.into());
        }
        let content = requests::content("ReleaseSidecar", &request.encode_to_vec());
        match self.requests.look_up(&request.request_id, content) {
            Known::New => {}
            Known::Same(_) => return Ok(()),
            Known::Other => {
                return Err(CommandError::RequestIdReused(request.request_id.clone()).into());
            }
        }
        let sidecar = self.fleet.sidecars.get(&request.sidecar);
        let incarnation = sidecar.ok_or_else(|| unknown(request))?.incarnation;
        if self
            .book
            .quarantine
            .why(&request.sidecar, incarnation)
            .is_none()
        {
            self.requests
                .idle(&request.request_id, content, &request.sidecar);
            return Ok(());
        }
        self.desk(now_ms).has_room()?;
        let cause = Cause {
            actor: actor.to_owned(),
            reason: request.reason.clone(),
            request: Some((request.request_id.clone(), content)),
            ..Cause::default()
        };
        let kind = Kind::SidecarReleased(v1::SidecarReleased {
            sidecar: request.sidecar.clone(),
            incarnation,
        });
        self.desk(now_ms).emit("", "", &cause, vec![kind])?;
        self.fleet.touch();
        Ok(())
    }
}

fn unknown(request: &v1::ReleaseSidecarRequest) -> CommandError {
    CommandError::NotFound {
        kind: "sidecar",
        name: request.sidecar.clone(),
    }
}
