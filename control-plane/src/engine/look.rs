//! What the state machine is told about the world at each look.

use super::commands::Stop;
use super::run::{Closed, Fleet, Run};
use super::stage::Cause;
use super::{Engine, EngineError};
use crate::metrics::BROKEN;
use serinus_core::evidence::{self, Basis};
use serinus_core::plan::view;
use serinus_core::rollout::{self, Facts, FleetFacts};
use serinus_evidence::ENGINE_VERSION;
use serinus_proto::v1;
use std::collections::BTreeSet;
use v1::event::Kind;
use v1::guardrail::Action;

/// Assigned canary requests of which none finished, before that counts as failure.
const NONE_FINISHED: u64 = 10;

/// The evidence of one rollout, and what it was made of: the numbers of slices folded, and what was asked. Most looks
/// find the same as the one before.
#[derive(Debug)]
pub(super) struct Judged {
    of: (u64, u64, Basis),
    judged: evidence::Judged,
}

impl Engine {
    /// Looks at the active rollouts, all of them or those about which something came in: closes what is over, and does
    /// what the state machine decides.
    pub(super) fn look(&mut self, now_ms: u64, all: bool) -> Result<(), EngineError> {
        let due = self.book.runs.iter().filter(|(_, run)| all || run.touched);
        let ids: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.look_at(&id, now_ms)?;
            self.stale.rollouts.insert(id);
        }
        if !all {
            return Ok(());
        }
        self.start_queued(now_ms)?;
        for (sidecar, id, model) in self.lost(now_ms) {
            let kind = Kind::SidecarLost(v1::SidecarLost { sidecar });
            self.emit(&id, &model, &Cause::own(), vec![kind], now_ms)?;
        }
        self.fleet.forget(now_ms);
        self.book.histories.forget(now_ms / 1000);
        Ok(())
    }

    /// Starts what waits for a model whose active rollout has ended.
    fn start_queued(&mut self, now_ms: u64) -> Result<(), EngineError> {
        let waiting = self.book.waiting.values();
        let queued = waiting.filter(|waiting| waiting.is_queued());
        let models: BTreeSet<String> = queued.map(|waiting| waiting.model.clone()).collect();
        for model in models {
            let started = match self.desk(now_ms).start_next(&model) {
                Ok(started) => started,
                Err(Stop::Broken(error)) => return Err(error.into()),
                Err(Stop::Refused(refused)) => return Err(EngineError::Log(refused.to_string())),
            };
            if let Some(id) = started {
                self.connect_sources(&id);
                self.stale.rollouts.insert(id);
            }
        }
        Ok(())
    }

    fn look_at(&mut self, id: &str, now_ms: u64) -> Result<(), EngineError> {
        let report_ms = self.report_s() * 1000;
        let fleet = &self.fleet;
        let name = |source| fleet.name_of(source);
        let Some(run) = self.book.runs.get_mut(id) else {
            return Ok(());
        };
        let waits = self.shortage.is_some();
        if !waits {
            run.touched = false;
        }
        let closed = if waits {
            Closed::default()
        } else {
            run.close(now_ms, report_ms, &name)
        };
        let first = run.slices - closed.slices.len() as u64 + 1;
        let numbered = (first..).zip(closed.slices);
        let slices = numbered.map(|(seq, slice)| (id.to_owned(), seq, slice));
        self.stage.batch.slices.extend(slices);
        let first = run.label_slices - closed.label_slices.len() as u64 + 1;
        let numbered = (first..).zip(closed.label_slices);
        let slices = numbered.map(|(seq, slice)| (id.to_owned(), seq, slice));
        self.stage.batch.label_slices.extend(slices);
        if let Some((checkpoint, old)) = run.checkpoint() {
            let batch = &mut self.stage.batch;
            batch.checkpoints.push((id.to_owned(), checkpoint));
            let old = old.map(|slices| (id.to_owned(), slices));
            batch.drop_checkpoints.extend(old);
        }
        let model = run.rollout.model.clone();
        self.refresh(id, &model, now_ms);
        let Some(run) = self.book.runs.get(id) else {
            return Ok(());
        };
        let look = |facts| rollout::look(&run.rollout, now_ms, facts);
        let kinds = run.facts.as_ref().map_or_else(Vec::new, look);
        if kinds.is_empty() {
            return Ok(());
        }
        alarm(&model, &kinds);
        let cause = Cause {
            look: run.observed.clone(),
            ..Cause::own()
        };
        self.emit(id, &model, &cause, kinds, now_ms)?;
        self.refresh(id, &model, now_ms);
        Ok(())
    }

    /// What is known of a rollout now, for the state machine and for display.
    fn refresh(&mut self, id: &str, model: &str, now_ms: u64) {
        let models = &self.book.models;
        let assigned_at = models.get(model).map_or(0, |model| model.assigned_at);
        let wanted = self.fence(assigned_at);
        let regressed = self.book.regression(self.generation).is_some();
        let quarantine = &self.book.quarantine;
        let Some(run) = self.book.runs.get_mut(id) else {
            return;
        };
        let canary = run.cells.names().1;
        let of = (self.fleet.version(), wanted);
        if run.fleet.as_ref().is_none_or(|known| known.of != of) {
            let selector = run.rollout.selector.as_ref();
            run.fleet = Some(Fleet {
                of,
                facts: self
                    .fleet
                    .facts((model, canary), wanted, selector, quarantine),
                view: self
                    .fleet
                    .view((model, canary), wanted, selector, quarantine),
            });
        }
        let facts_of_fleet = run.fleet.as_ref().map(|fleet| fleet.facts.clone());
        let mut facts = facts_of_fleet.unwrap_or_default();
        if facts.quarantined > 0 {
            facts.quarantined_share = self.fleet.quarantined_share(model, quarantine);
        }
        facts.fence_regressed = regressed;
        let fleet = run.observe(&facts, now_ms);
        judge(run);
        let look = observe(run, fleet, now_ms);
        let judged = run.judged.as_ref();
        let facts = judged.map(|judged| Facts::new(&judged.judged, &look));
        run.facts = facts.map(|facts| run.doubts.apply(facts, &run.rollout));
        run.observed = Some(look);
    }

    /// Puts the control plane's own events into the log. Without room on the disk, those of a rollback only.
    pub(super) fn emit(
        &mut self,
        id: &str,
        model: &str,
        cause: &Cause,
        kinds: Vec<Kind>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        if self.shortage.is_some() && !kinds.iter().any(|kind| matches!(kind, Kind::RolledBack(_)))
        {
            return Ok(());
        }
        let mut desk = self.desk(now_ms);
        match desk.emit(id, model, cause, kinds) {
            Ok(()) => Ok(()),
            Err(Stop::Broken(error)) => Err(error.into()),
            Err(Stop::Refused(refused)) => Err(EngineError::Log(refused.to_string())),
        }
    }
}

/// Tells of guardrails that were found broken and do not roll back: once per change of a verdict.
fn alarm(model: &str, kinds: &[Kind]) {
    for kind in kinds {
        let Kind::VerdictChanged(v1::VerdictChanged {
            evidence: Some(row),
            ..
        }) = kind
        else {
            continue;
        };
        let action = match row.on_breach() {
            Action::Hold => "hold",
            Action::Notify => "notify",
            Action::Rollback | Action::Unspecified => continue,
        };
        if row.verdict() != v1::Verdict::Harmful {
            continue;
        }
        let (model, guardrail) = (model.to_owned(), row.name.clone());
        tracing::warn!(model, guardrail, action, "guardrail broken");
        metrics::counter!(BROKEN, "model" => model, "guardrail" => guardrail, "action" => action)
            .increment(1);
    }
}

/// What is known of one rollout beyond its log and its slices.
fn observe(run: &mut Run, fleet: FleetFacts, now_ms: u64) -> v1::Look {
    let rows = run
        .judged
        .iter()
        .flat_map(|judged| &judged.judged.guardrails);
    let mut silent = rows.filter(|row| row.required && row.verdict() == v1::Verdict::NoEvidence);
    let missing = silent.next().is_some();
    let since = run
        .no_evidence_since_ms
        .take()
        .unwrap_or(run.rollout.step_entered_ms);
    run.no_evidence_since_ms = missing.then_some(since);
    let now_s = now_ms / 1000;
    let bad: Vec<_> = run.breakers.bad_cells(now_s).copied().collect();
    let in_step = run.in_step();
    v1::Look {
        engine_version: ENGINE_VERSION,
        slices: run.slices,
        label_slices: run.label_slices,
        canary_requests_in_step: in_step.canary.judged.saturating_sub(run.judged_before()),
        expected_canary_since_last: expected(run, now_s),
        breakers: breakers(&bad),
        none_finished: none_finished(run, now_s),
        exposed_keys: run.keys.exposed(),
        no_evidence_since_ms: run.no_evidence_since_ms,
        serving: fleet.serving,
        none_selected_since_ms: fleet.none_selected_since_ms,
        connected: fleet.connected,
        current: fleet.current,
        rejected: fleet.rejected,
        rejection: fleet.rejection,
        current_since_ms: fleet.current_since_ms,
        frozen_until_ms: run.frozen_until_ms(now_ms),
        warming: fleet.warming,
        not_ready: fleet.not_ready,
        reverted: fleet.reverted,
        quarantined: fleet.quarantined,
        quarantined_share: fleet.quarantined_share,
        fence_regressed: fleet.fence_regressed,
    }
}

/// Asks the engine at the tolerance of the present step, unless it would say the same again.
fn judge(run: &mut Run) {
    let basis = Basis::of(&run.rollout);
    let of = (run.slices, run.label_slices, basis);
    let known = run.judged.take().filter(|judged| judged.of == of);
    run.judged = Some(known.unwrap_or_else(|| Judged {
        of,
        judged: evidence::judge(&run.evidence, &run.rollout.plan, basis),
    }));
}

/// The canary's share now, 0..=1.
fn canary_share(run: &Run) -> f64 {
    f64::from(run.rollout.canary_ppm()) / 1e6
}

fn expected(run: &Run, now_s: u64) -> f64 {
    let rollout = &run.rollout;
    let held = rollout.state == v1::State::Held && rollout.cause == v1::Cause::NoTraffic;
    let since_s = rollout.epoch_entered_ms / 1000;
    run.activity
        .expected_canary(canary_share(run), since_s, now_s, held)
}

/// Where stable gets requests and finishes none of them either, answers take long, or both variants are down: that is
/// not the canary's failure.
fn none_finished(run: &Run, now_s: u64) -> bool {
    let of = run.activity.since_epoch(run.rollout.epoch);
    let patience = view::attempt_timeout(&run.rollout.plan).as_secs() + 2;
    let since = of.canary_assigned_since;
    let waited = since.is_some_and(|since| since + patience <= now_s);
    let none = of.canary.assigned >= NONE_FINISHED && of.canary.finished == 0;
    let stable_does = of.stable.finished > 0 || of.stable.assigned == 0;
    waited && none && stable_does
}

fn breakers(bad: &[serinus_core::ledger::breakers::BadCell]) -> Option<v1::BreakerEvidence> {
    let last = bad.last()?;
    Some(v1::BreakerEvidence {
        bad_cells: bad.iter().map(|cell| cell.second).collect(),
        sidecars_open: last.open,
        sidecars_with_canary: last.with_canary,
        stable_error_rate: last.stable_error_rate,
        openings: bad.iter().map(|cell| cell.openings).sum(),
        failed_probes: bad.iter().map(|cell| cell.failed_probes).sum(),
    })
}
