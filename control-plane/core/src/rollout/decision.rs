//! What is decided now, with the evidence and in words.

use super::assess::{Action, assess};
use super::time::timestamp;
use super::{Facts, Rollout, act, sentence};
use serinus_proto::v1::{self, DecisionKind};

/// The decision at this moment, for display; [`super::look`] records it when its kind changes.
#[must_use]
pub fn decision(rollout: &Rollout, now_ms: u64, facts: &Facts) -> v1::Decision {
    of(&assess(rollout, now_ms, facts), rollout, now_ms, facts)
}

pub(super) fn of(action: &Action, rollout: &Rollout, now_ms: u64, facts: &Facts) -> v1::Decision {
    v1::Decision {
        kind: kind(action, rollout).into(),
        sentence: sentence::of(action, rollout, now_ms, facts),
        guardrails: facts.guardrails.clone(),
        log_e_rollback: facts.log_e_rollback,
        log_threshold: facts.log_threshold,
        extra_errors: facts.extra_errors,
        extra_errors_lower: facts.extra_errors_lower,
        extra_errors_budget: facts.extra_errors_budget,
        step: act::index(rollout.step),
        tolerance: rollout.tolerance(),
        epoch: rollout.epoch,
        time: Some(timestamp(now_ms)),
        slices: facts.slices,
        engine_version: facts.engine_version,
        breakers: facts.breakers.clone(),
        sample_ratio: facts.sample_ratio,
        phi_users: (facts.phi_users > 1.0).then_some(facts.phi_users),
    }
}

pub(super) fn kind(action: &Action, rollout: &Rollout) -> DecisionKind {
    match action {
        Action::Ended if rollout.state == v1::State::Promoted => DecisionKind::Promote,
        Action::Ended | Action::RollBack(_) => DecisionKind::RollBack,
        Action::Hold(_) | Action::Stay => DecisionKind::Hold,
        Action::Resume | Action::Wait(_) | Action::Ask { .. } | Action::AskGate { .. } => {
            DecisionKind::Continue
        }
        Action::Advance(_) | Action::Bake => DecisionKind::Advance,
        Action::Promote => DecisionKind::Promote,
    }
}
