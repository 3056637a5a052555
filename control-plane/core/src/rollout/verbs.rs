//! What may be done now.

use super::{Approval, Phase, Rollout, terms};
use serinus_proto::v1::{Cause, State};

/// The commands that the present state allows, as they are called in messages and on the command line.
#[must_use]
pub fn verbs(rollout: &Rollout) -> Vec<&'static str> {
    match rollout.state {
        State::Promoted => return vec!["undo"],
        State::RolledBack => return Vec::new(),
        _ => {}
    }
    let all = [
        ("pause", rollout.state != State::Paused),
        ("resume", can_resume(rollout)),
        (
            "approve",
            needs_approval(rollout) && rollout.approval != Approval::Given,
        ),
        ("reject", needs_approval(rollout)),
        ("promote", true),
        ("rollback", true),
        ("split set", true),
    ];
    all.into_iter()
        .filter(|(_, allowed)| *allowed)
        .map(|(verb, _)| verb)
        .collect()
}

/// At the end of a plan there is nowhere to go on to.
pub(super) fn can_resume(rollout: &Rollout) -> bool {
    rollout.state == State::Paused
        || (rollout.state == State::Held && rollout.cause != Cause::PlanEnd)
}

/// Leaving the present step takes somebody's word.
pub(super) fn needs_approval(rollout: &Rollout) -> bool {
    rollout.phase() == Phase::Step && terms::approval(&rollout.plan, rollout.step).is_some()
}
