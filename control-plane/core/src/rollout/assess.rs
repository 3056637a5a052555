//! What a look leads to. The order is the rule: end it, stop it, go on.

use super::external::{self, Gate};
use super::gate::{self, Missing, Word};
use super::threat::{self, clears_itself};
use super::{Facts, Phase, Rollout, paced, terms};
use serinus_proto::v1;
use v1::{Cause, State};

/// What follows from the state and the facts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// It has ended.
    Ended,
    /// To stable.
    RollBack(Cause),
    /// Stop the ramp.
    Hold(Cause),
    /// Stopped, and still to be.
    Stay,
    /// The cause of the hold is gone.
    Resume,
    /// Something is missing.
    Wait(Vec<Missing>),
    /// Only an approval is missing, and nobody was asked yet.
    Ask { deadline_ms: u64 },
    /// Only a gate's word is missing, and it was not asked yet.
    AskGate { deadline_ms: u64 },
    /// To this step.
    Advance(usize),
    /// The last step is done.
    Bake,
    /// So is the bake.
    Promote,
}

pub(super) fn assess(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Action {
    if rollout.is_terminal() {
        return Action::Ended;
    }
    if let Some(cause) = threat::rollback(rollout, now_ms, facts) {
        return Action::RollBack(cause);
    }
    if rollout.state == State::Paused {
        return Action::Stay;
    }
    let holds = threat::holds(rollout, now_ms, facts);
    if rollout.state == State::Held {
        return held(rollout.cause, &holds);
    }
    match holds.first() {
        Some(&cause) => Action::Hold(cause),
        None => go_on(rollout, now_ms, facts),
    }
}

/// A hold that clears by itself gives way to one that does not, else stays as long as anything applies.
fn held(cause: Cause, holds: &[Cause]) -> Action {
    if !clears_itself(cause) {
        return Action::Stay;
    }
    let lasting = holds.iter().find(|cause| !clears_itself(**cause));
    match (lasting, holds.first()) {
        (Some(&lasting), _) => Action::Hold(lasting),
        (None, None) => Action::Resume,
        (None, Some(_)) if holds.contains(&cause) => Action::Stay,
        (None, Some(&other)) => Action::Hold(other),
    }
}

fn go_on(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Action {
    let mut missing = gate::missing(rollout, now_ms, facts);
    match gate::approval(rollout, now_ms) {
        Some(Word::Ask { deadline_ms }) if missing.is_empty() => {
            return Action::Ask { deadline_ms };
        }
        Some(Word::Await { deadline_ms }) => missing.push(Missing::Approval { deadline_ms }),
        _ => {}
    }
    let needed = external::needed(rollout);
    if let (Some(_), Gate::Waiting { deadline_ms, .. }) = (needed, &rollout.gate)
        && external::refusal(rollout, now_ms) != Some(v1::Then::Advance)
    {
        let deadline_ms = *deadline_ms;
        missing.push(Missing::Gate { deadline_ms });
    }
    if !missing.is_empty() {
        return Action::Wait(missing);
    }
    if let (Some(of), Gate::None) = (needed, &rollout.gate) {
        let deadline_ms = external::deadline_ms(of, now_ms);
        return Action::AskGate { deadline_ms };
    }
    match next(rollout) {
        Next::Step(step) => Action::Advance(paced::furthest(rollout, step, facts)),
        Next::Bake => Action::Bake,
        Next::PlanEnd => Action::Hold(Cause::PlanEnd),
        Next::Promotion => Action::Promote,
    }
}

/// What comes after the present warm-up, step or bake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Step(usize),
    Bake,
    PlanEnd,
    Promotion,
}

pub(super) fn next(rollout: &Rollout) -> Next {
    match rollout.phase() {
        Phase::Warmup => Next::Step(0),
        Phase::Bake => Next::Promotion,
        Phase::Step if terms::is_full(&rollout.plan, rollout.step) => Next::Bake,
        Phase::Step if rollout.step + 1 < rollout.plan.steps.len() => Next::Step(rollout.step + 1),
        Phase::Step => Next::PlanEnd,
    }
}
