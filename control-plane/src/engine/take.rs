//! One message at a time: the state changes in memory, the answer waits for the commit.

use super::commands::{Desk, Outcome, Stop};
use super::fleet::{Holding, fence};
use super::handle::{Command, CommandError};
use super::message::{Message, Reply, Session};
use super::stage::Cause;
use super::{Engine, EngineError, LOST_AFTER_MS, outcomes};
use rand::RngExt as _;
use serinus_core::ledger::counts::CountsError;
use serinus_proto::v1;
use std::collections::BTreeSet;
use v1::event::Kind;

impl Engine {
    /// Takes one message.
    pub(super) fn take(&mut self, message: Message, now_ms: u64) -> Result<(), EngineError> {
        match message {
            Message::Command {
                actor,
                command,
                reply,
            } => self.command(&actor, &command, reply, now_ms),
            Message::SetStable {
                actor,
                request,
                reply,
            } => self.set_stable(&actor, &request, reply, now_ms),
            Message::Attach { hello, reply } => self.attach(&hello, reply, now_ms),
            Message::Ack { session, ack } => self.acknowledge(session, &ack, now_ms),
            Message::Status { session, status } => self.status(session, status, now_ms),
            Message::Detach { session } => {
                self.detach(session, now_ms);
                Ok(())
            }
            Message::Report { report, reply } => {
                self.report(&report, reply, now_ms);
                Ok(())
            }
            Message::Outcomes { items, reply } => self.outcomes(&items, reply, now_ms),
        }
    }

    pub(super) fn desk(&mut self, now_ms: u64) -> Desk<'_> {
        Desk {
            book: &mut self.book,
            requests: &mut self.requests,
            stage: &mut self.stage,
            now_ms,
        }
    }

    fn command(
        &mut self,
        actor: &str,
        command: &Command,
        reply: Reply<Result<v1::Rollout, CommandError>>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let answer = match self.desk(now_ms).command(actor, command) {
            Ok(Outcome::Rollout(id)) => {
                self.connect_sources(&id);
                self.rollout_view(&id, now_ms)
                    .ok_or(CommandError::NotFound {
                        kind: "rollout",
                        name: id,
                    })
            }
            Ok(Outcome::WouldBe(rollout)) => Ok(*rollout),
            Err(Stop::Refused(refused)) => Err(refused),
            Err(Stop::Broken(error)) => return Err(error.into()),
        };
        self.reply(reply, answer);
        Ok(())
    }

    fn set_stable(
        &mut self,
        actor: &str,
        request: &v1::SetStableRequest,
        reply: Reply<Result<v1::Model, CommandError>>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let answer = match self.desk(now_ms).set_stable(actor, request) {
            Ok(name) => self.model_view(&name).ok_or(CommandError::NotFound {
                kind: "model",
                name,
            }),
            Err(Stop::Refused(refused)) => Err(refused),
            Err(Stop::Broken(error)) => return Err(error.into()),
        };
        self.reply(reply, answer);
        Ok(())
    }

    /// The answer goes out after the commit that holds what it speaks of.
    fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, answer: T) {
        self.stage.after.push(Box::new(move || {
            // An error means that the caller has gone away.
            let _ = reply.send(answer);
        }));
    }

    fn attach(
        &mut self,
        hello: &v1::Hello,
        reply: Reply<Session>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let secret = rand::rng().random();
        let (issuer, source, new) = self.fleet.source(&hello.sidecar, hello.incarnation, secret);
        let welcome = v1::Welcome {
            issuer: issuer.into(),
            id_key: source.key.secret.to_vec(),
            id_key_id: source.key.id.into(),
            committed_seq: source.taken_seq,
            report_interval: Some(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            }),
        };
        if new {
            self.stage.sources.insert(issuer);
            self.stage.batch.meta = Some(self.meta());
        }
        let (id, gone, replaced) = self.fleet.attach(hello, issuer, now_ms);
        for run in self.book.runs.values_mut() {
            if let Some(gone) = gone {
                run.progress.disconnect(gone.into());
            }
            if hello.models.contains(&run.rollout.model) {
                run.progress.connect(issuer.into());
            } else {
                run.progress.disconnect(issuer.into());
            }
        }
        self.compare_fences(hello);
        self.follow_latches(hello, now_ms)?;
        let session = Session {
            id,
            welcome,
            assignments: self.published.assignments(),
            latches: self.published.latches(),
            replaced,
        };
        self.reply(reply, session);
        Ok(())
    }

    /// A sidecar that holds a later instruction than any of ours got it from somebody else, or our history was lost. It
    /// will refuse what we send.
    fn compare_fences(&self, hello: &v1::Hello) {
        let ours = self.fence(self.stage.last_revision());
        for held in &hello.held {
            let theirs = fence(held.fence.as_ref());
            if theirs > ours {
                tracing::error!(
                    sidecar = hello.sidecar,
                    model = held.model,
                    held = %theirs,
                    newest = %ours,
                    "FENCE_REGRESSION: the sidecar follows another control plane, or a backup was restored without a \
                     new generation; it obeys nothing from here"
                );
            }
        }
    }

    /// A latch that a sidecar was sent before its rollback was on disk: the rollback follows now.
    fn follow_latches(&mut self, hello: &v1::Hello, now_ms: u64) -> Result<(), EngineError> {
        for held in hello.held.iter().filter(|held| held.latched) {
            let Some(run) = self.book.runs.get(&held.rollout) else {
                continue;
            };
            let command = serinus_core::rollout::Command {
                kind: serinus_core::rollout::CommandKind::Rollback,
                expected_revision: 0,
                reason: format!("latched at sidecar {}", hello.sidecar),
            };
            let Ok(kinds) = serinus_core::rollout::command(&run.rollout, now_ms, &command) else {
                continue;
            };
            let (id, model) = (run.rollout.id.clone(), run.rollout.model.clone());
            let cause = Cause {
                reason: command.reason,
                ..Cause::own()
            };
            self.emit(&id, &model, &cause, kinds, now_ms)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self, session: u64, ack: &v1::Ack, now_ms: u64) -> Result<(), EngineError> {
        let Some((name, sidecar)) = self.fleet.by_session(session) else {
            return Ok(());
        };
        let name = name.to_owned();
        sidecar.last_seen_ms = now_ms;
        let mut refused = Vec::new();
        for result in &ack.results {
            let fence = fence(result.fence.as_ref());
            let Some(holding) = sidecar.holding.get_mut(&result.model) else {
                continue;
            };
            if result.outcome() == v1::ack_result::Outcome::Applied {
                *holding = Holding {
                    fence,
                    rejection: None,
                };
            } else if !result.stale_fence {
                let rejection = Some((fence, result.detail.clone()));
                if holding.rejection != rejection {
                    holding.rejection = rejection;
                    refused.push((result.model.clone(), result.detail.clone()));
                }
            }
        }
        for (model, detail) in refused {
            tracing::warn!(sidecar = name, model, detail, "assignment refused");
            let Some(id) = self.book.active(&model).map(|run| run.rollout.id.clone()) else {
                continue;
            };
            let kind = Kind::AssignmentRejected(v1::AssignmentRejected {
                sidecar: name.clone(),
                detail,
            });
            self.emit(&id, &model, &Cause::own(), vec![kind], now_ms)?;
        }
        Ok(())
    }

    fn status(&mut self, session: u64, status: v1::Status, now_ms: u64) -> Result<(), EngineError> {
        let Some((name, sidecar)) = self.fleet.by_session(session) else {
            return Ok(());
        };
        let name = name.to_owned();
        sidecar.last_seen_ms = now_ms;
        let was_open = |variant: &v1::VariantStatus| {
            let same = |old: &&v1::VariantStatus| {
                old.model == variant.model && old.variant == variant.variant
            };
            sidecar
                .variants
                .iter()
                .find(same)
                .is_some_and(|old| old.breaker_open)
        };
        let turned: Vec<_> = status
            .variants
            .iter()
            .filter(|variant| variant.breaker_open != was_open(variant))
            .cloned()
            .collect();
        sidecar.variants = status.variants;
        for variant in turned {
            let Some(run) = self.book.active(&variant.model) else {
                continue;
            };
            if run.rollout.id != variant.rollout {
                continue;
            }
            let (id, model) = (run.rollout.id.clone(), variant.model);
            let changed = v1::BreakerChanged {
                sidecar: name.clone(),
                variant: variant.variant,
                open: variant.breaker_open,
            };
            self.emit(
                &id,
                &model,
                &Cause::own(),
                vec![Kind::BreakerChanged(changed)],
                now_ms,
            )?;
        }
        Ok(())
    }

    fn detach(&mut self, session: u64, now_ms: u64) {
        let Some(issuer) = self.fleet.detach(session, now_ms) else {
            return;
        };
        for run in self.book.runs.values_mut() {
            run.progress.disconnect(issuer.into());
        }
    }

    /// Sidecars that have been gone for a while, with the active rollouts that they served.
    pub(super) fn lost(&mut self, now_ms: u64) -> Vec<(String, String, String)> {
        let mut lost = Vec::new();
        for (name, sidecar) in &mut self.fleet.sidecars {
            let gone = sidecar.session.is_none() && sidecar.last_seen_ms + LOST_AFTER_MS <= now_ms;
            if !gone || std::mem::replace(&mut sidecar.reported_lost, true) {
                continue;
            }
            for run in self
                .book
                .runs
                .values()
                .filter(|run| sidecar.models.contains(&run.rollout.model))
            {
                lost.push((
                    name.clone(),
                    run.rollout.id.clone(),
                    run.rollout.model.clone(),
                ));
            }
        }
        lost
    }

    fn report(&mut self, report: &v1::ReportRequest, reply: Reply<v1::ReportAck>, now_ms: u64) {
        let secret = rand::rng().random();
        let (issuer, source, new) = self
            .fleet
            .source(&report.sidecar, report.incarnation, secret);
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
        if next {
            self.count(report, issuer.into(), now_ms);
        }
        let gap = report.seq > taken + 1;
        self.reply(
            reply,
            v1::ReportAck {
                committed_seq: if next { report.seq } else { taken },
                resend_after: if gap { taken } else { 0 },
                resend: gap,
            },
        );
    }

    /// Adds what a report says to the rollouts that it is about.
    fn count(&mut self, report: &v1::ReportRequest, source: u64, now_ms: u64) {
        let mut about = BTreeSet::new();
        for cell in &report.cells {
            if self.book.runs.contains_key(&cell.rollout) {
                about.insert(cell.rollout.clone());
            }
            if let Err(refused) = self.count_cell(&report.sidecar, cell, source, now_ms) {
                metrics::counter!("serinus_cells_refused_total").increment(1);
                tracing::warn!(sidecar = report.sidecar, %refused, "cell refused");
            }
        }
        let runs = &mut self.book.runs;
        for keys in &report.keys {
            if let Some(run) = runs.get_mut(&keys.rollout) {
                run.absorb_keys(source, keys);
            }
        }
        // A sidecar that sent nothing to a model says so by having finished the second.
        if let Some(sidecar) = self.fleet.sidecars.get_mut(&report.sidecar) {
            sidecar.last_seen_ms = now_ms;
            let models = sidecar.models.iter();
            let active = models.filter_map(|model| self.book.models.get(model)?.active.clone());
            about.extend(active);
        }
        for id in about {
            if let Some(run) = self.book.runs.get_mut(&id) {
                run.report(source, report.finished_before, now_ms);
            }
        }
    }

    /// Of an active rollout: for its evidence and for what is known of stable; else only for the latter.
    fn count_cell(
        &mut self,
        sidecar: &str,
        cell: &v1::Cell,
        source: u64,
        now_ms: u64,
    ) -> Result<(), CountsError> {
        let (book, now_s) = (&mut self.book, now_ms / 1000);
        if let Some(run) = book.runs.get_mut(&cell.rollout) {
            let pair = run.absorb(source, cell, now_ms)?;
            let (model, others) = (&run.rollout.model, pair.canary.requests());
            let histories = &mut book.histories;
            histories.add(model, cell.second, now_s, &pair.stable, others);
            return Ok(());
        }
        let model = if let Some(finished) = book.finished.get(&cell.rollout) {
            &finished.rollout.model
        } else if cell.rollout.is_empty() && self.fleet.serves(sidecar, &cell.model) {
            &cell.model
        } else {
            return Ok(());
        };
        let stable = book.stable_name(model).map(str::to_owned);
        book.histories.absorb(model, stable.as_deref(), cell, now_s)
    }

    fn outcomes(
        &mut self,
        items: &[v1::Outcome],
        reply: Reply<Vec<v1::OutcomeStatus>>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let mut statuses = Vec::with_capacity(items.len());
        for item in items {
            let status = outcomes::take(
                &mut self.book,
                &self.fleet,
                &mut self.seen,
                self.store.as_ref(),
                item,
                now_ms,
            )?;
            statuses.push(status);
        }
        self.reply(reply, statuses);
        Ok(())
    }

    /// A new rollout waits for the sidecars that serve its model.
    fn connect_sources(&mut self, id: &str) {
        let Some(run) = self.book.runs.get_mut(id) else {
            return;
        };
        let model = run.rollout.model.clone();
        for (_, sidecar) in self.fleet.serving(&model) {
            run.progress.connect(sidecar.issuer.into());
        }
    }
}
