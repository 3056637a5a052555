//! What the state machine is told about the world at each look.

use super::commands::Stop;
use super::run::{Fleet, Run};
use super::stage::Cause;
use super::{ENGINE_VERSION, Engine, EngineError, evidence};
use serinus_core::plan::view;
use serinus_core::rollout::{self, Facts, FleetFacts, Harm};
use serinus_evidence::{Assessment, HarmCause};
use serinus_proto::v1;
use v1::event::Kind;

/// Assigned canary requests of which none finished, before that counts as failure.
const NONE_FINISHED: u64 = 10;

/// The evidence of one rollout, and what it was made of.
#[derive(Debug)]
pub(super) struct Judged {
    of: Basis,
    assessment: Assessment,
    guardrails: Vec<v1::GuardrailEvidence>,
}

/// Everything that an assessment depends on. Most looks find the same as the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Basis {
    slices: u64,
    label_slices: u64,
    epoch: u64,
    tolerance: f64,
    expects_both: bool,
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
        for (sidecar, id, model) in self.lost(now_ms) {
            let kind = Kind::SidecarLost(v1::SidecarLost { sidecar });
            self.emit(&id, &model, &Cause::own(), vec![kind], now_ms)?;
        }
        self.fleet.forget(now_ms);
        Ok(())
    }

    fn look_at(&mut self, id: &str, now_ms: u64) -> Result<(), EngineError> {
        let Some(run) = self.book.runs.get_mut(id) else {
            return Ok(());
        };
        run.touched = false;
        let closed = run.close(now_ms);
        let first = run.slices - closed.slices.len() as u64 + 1;
        let numbered = (first..).zip(closed.slices);
        let slices = numbered.map(|(seq, slice)| (id.to_owned(), seq, slice));
        self.stage.batch.slices.extend(slices);
        let first = run.label_slices - closed.label_slices.len() as u64 + 1;
        let numbered = (first..).zip(closed.label_slices);
        let slices = numbered.map(|(seq, slice)| (id.to_owned(), seq, slice));
        self.stage.batch.label_slices.extend(slices);
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
        self.emit(id, &model, &Cause::own(), kinds, now_ms)?;
        self.refresh(id, &model, now_ms);
        Ok(())
    }

    /// What is known of a rollout now, for the state machine and for display.
    fn refresh(&mut self, id: &str, model: &str, now_ms: u64) {
        let models = &self.book.models;
        let assigned_at = models.get(model).map_or(0, |model| model.assigned_at);
        let wanted = self.fence(assigned_at);
        let Some(run) = self.book.runs.get_mut(id) else {
            return;
        };
        let of = (self.fleet.version(), wanted);
        if run.fleet.as_ref().is_none_or(|known| known.of != of) {
            run.fleet = Some(Fleet {
                of,
                facts: self.fleet.facts(model, wanted),
                view: self.fleet.view(model, run.cells.names().1, wanted),
            });
        }
        let facts_of_fleet = run.fleet.as_ref().map(|fleet| fleet.facts.clone());
        let fleet = run.observe(&facts_of_fleet.unwrap_or_default(), now_ms);
        run.facts = Some(facts(run, fleet, now_ms));
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

/// The facts about one rollout.
fn facts(run: &mut Run, fleet: FleetFacts, now_ms: u64) -> Facts {
    let (assessment, guardrails) = judge(run);
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
    let in_step = run.activity.since_epoch(run.rollout.step_epoch);
    Facts {
        harmful: assessment.harmful.as_ref().map(|harm| Harm {
            guardrails: harm.blamed.clone(),
            gross: harm.cause == HarmCause::GrossErrors,
            flapping: harm.cause == HarmCause::Flapping,
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
        canary_requests_in_step: in_step.canary.judged,
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

/// The engine's answer at the tolerance of the present step, and how it is shown.
fn judge(run: &mut Run) -> (Assessment, Vec<v1::GuardrailEvidence>) {
    let rollout = &run.rollout;
    let of = Basis {
        slices: run.slices,
        label_slices: run.label_slices,
        epoch: rollout.epoch,
        tolerance: rollout.tolerance(),
        expects_both: rollout.expects_both(),
    };
    let known = run.judged.take().filter(|judged| judged.of == of);
    let judged = known.unwrap_or_else(|| {
        let assessment = run.evidence.assess(of.tolerance, of.epoch, of.expects_both);
        let guardrails = evidence::guardrails(&rollout.plan, &assessment);
        Judged {
            of,
            assessment,
            guardrails,
        }
    });
    let judged = run.judged.insert(judged);
    (judged.assessment.clone(), judged.guardrails.clone())
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
