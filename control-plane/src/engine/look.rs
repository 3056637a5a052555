//! What the state machine is told about the world at each look.

use super::commands::Stop;
use super::run::Run;
use super::stage::Cause;
use super::{ENGINE_VERSION, Engine, EngineError, evidence};
use serinus_core::plan::view;
use serinus_core::rollout::{self, Facts, FleetFacts, Harm};
use serinus_evidence::{Assessment, HarmCause};
use serinus_proto::v1;
use v1::event::Kind;

/// Assigned canary requests of which none finished, before that counts as failure.
const NONE_FINISHED: u64 = 10;

impl Engine {
    /// Looks at every active rollout: closes what is over, and does what the state machine decides.
    pub(super) fn look(&mut self, now_ms: u64) -> Result<(), EngineError> {
        let ids: Vec<String> = self.book.runs.keys().cloned().collect();
        for id in ids {
            self.look_at(&id, now_ms)?;
        }
        for (sidecar, id, model) in self.lost(now_ms) {
            let kind = Kind::SidecarLost(v1::SidecarLost { sidecar });
            self.emit(&id, &model, &Cause::own(), vec![kind], now_ms)?;
        }
        Ok(())
    }

    fn look_at(&mut self, id: &str, now_ms: u64) -> Result<(), EngineError> {
        let Some(run) = self.book.runs.get_mut(id) else {
            return Ok(());
        };
        let closed = run.close(now_ms);
        let (mut seq, mut label_seq) = (
            run.slices - closed.slices.len() as u64,
            run.label_slices - closed.label_slices.len() as u64,
        );
        for slice in closed.slices {
            seq += 1;
            self.stage.batch.slices.push((id.to_owned(), seq, slice));
        }
        for slice in closed.label_slices {
            label_seq += 1;
            self.stage
                .batch
                .label_slices
                .push((id.to_owned(), label_seq, slice));
        }
        let model = run.rollout.model.clone();
        let wanted = self
            .book
            .models
            .get(&model)
            .map_or(0, |model| model.assigned_at);
        let wanted = self.fence(wanted);
        let fleet = self.fleet.facts(&model, wanted);
        let Some(run) = self.book.runs.get_mut(id) else {
            return Ok(());
        };
        run.refresh(&fleet, now_ms);
        let kinds = run
            .facts
            .as_ref()
            .map_or_else(Vec::new, |facts| rollout::look(&run.rollout, now_ms, facts));
        if kinds.is_empty() {
            return Ok(());
        }
        self.emit(id, &model, &Cause::own(), kinds, now_ms)?;
        let wanted = self.fence(self.book.models.get(&model).map_or(0, |model| model.assigned_at));
        let fleet = self.fleet.facts(&model, wanted);
        if let Some(run) = self.book.runs.get_mut(id) {
            run.refresh(&fleet, now_ms);
        }
        Ok(())
    }

    /// Puts the control plane's own events into the log.
    pub(super) fn emit(
        &mut self,
        id: &str,
        model: &str,
        cause: &Cause,
        kinds: Vec<Kind>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let mut desk = self.desk(now_ms);
        match desk.emit(id, model, cause, kinds) {
            Ok(()) => Ok(()),
            Err(Stop::Broken(error)) => Err(error.into()),
            Err(Stop::Refused(refused)) => Err(EngineError::Log(refused.to_string())),
        }
    }
}

impl Run {
    /// What is known now, for the state machine and for display.
    fn refresh(&mut self, fleet: &FleetFacts, now_ms: u64) {
        let mut fleet = fleet.clone();
        fleet.current_since_ms = self.clock.observe(now_ms, self.rollout.epoch, &fleet);
        self.facts = Some(facts(self, fleet, now_ms));
    }
}

/// The facts about one rollout.
fn facts(run: &mut Run, fleet: FleetFacts, now_ms: u64) -> Facts {
    let assessment = assess(run);
    let guardrails = evidence::guardrails(&run.rollout.plan, &assessment);
    let missing = guardrails
        .iter()
        .any(|guardrail| guardrail.required && guardrail.verdict() == v1::Verdict::NoEvidence);
    let since = run
        .no_evidence_since_ms
        .take()
        .unwrap_or(run.rollout.step_entered_ms);
    run.no_evidence_since_ms = missing.then_some(since);
    let now_s = now_ms / 1000;
    let bad: Vec<_> = run.breakers.bad_cells(now_s).copied().collect();
    let extra = assessment.extra_errors;
    Facts {
        harmful: assessment.harmful.as_ref().map(|harm| Harm {
            guardrails: harm.blamed.clone(),
            gross: harm.cause == HarmCause::GrossErrors,
        }),
        guardrails,
        log_e_rollback: assessment.log_e_rollback,
        log_threshold: assessment.log_threshold,
        extra_errors: extra.sum,
        extra_errors_lower: extra.charged,
        extra_errors_budget: extra.budget,
        budget_spent: assessment.budget_spent,
        slices: run.slices,
        engine_version: ENGINE_VERSION,
        canary_requests_in_step: run.activity.since_epoch(run.rollout.step_epoch).canary,
        expected_canary_since_last: expected(run, now_s),
        breakers: breakers(&bad),
        bad_cells: bad.iter().map(|cell| cell.second).collect(),
        none_finished: none_finished(run, now_s),
        exposed_keys: run.keys.exposed(),
        safe_at_full: assessment.required_safe_fully,
        no_evidence_since_ms: run.no_evidence_since_ms,
        fleet,
    }
}

/// The engine's answer at the tolerance of the present step.
fn assess(run: &Run) -> Assessment {
    let rollout = &run.rollout;
    run.evidence
        .assess(rollout.tolerance(), rollout.epoch, rollout.expects_both())
}

/// The canary's share now, 0..=1.
fn canary_share(run: &Run) -> f64 {
    f64::from(run.rollout.canary_ppm()) / 1e6
}

fn expected(run: &Run, now_s: u64) -> f64 {
    run.activity.expected_canary(
        canary_share(run),
        run.rollout.epoch_entered_ms / 1000,
        now_s,
    )
}

fn none_finished(run: &Run, now_s: u64) -> bool {
    let of = run.activity.since_epoch(run.rollout.epoch);
    let patience = view::attempt_timeout(&run.rollout.plan).as_secs() + 2;
    let waited = of
        .first_assigned
        .is_some_and(|first| first + patience <= now_s);
    waited && of.assigned >= NONE_FINISHED && of.finished == 0
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
