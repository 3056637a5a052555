//! What operators ask for.

use super::promote::{self, Resumption};
use super::verbs::{can_resume, needs_approval};
use super::{Approval, Refused, Rollout, act, set_split};
use crate::freeze::moment;
use serinus_proto::v1::event::Kind;
use serinus_proto::v1::{self, Cause, State};
use std::collections::BTreeMap;

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What to do.
    pub kind: CommandKind,
    /// The revision that the caller saw; 0 is none. Whatever can raise the canary's share needs it; a rollback and a
    /// split that only lowers are done whatever it says.
    pub expected_revision: u64,
    /// Why, for the event.
    pub reason: String,
    /// Of a promotion or a resumption: in spite of a freeze, with a reason.
    pub force: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandKind {
    /// Stop the ramp at its present split; guardrails keep running.
    Pause,
    /// Clear PAUSED or HELD. After a manual split it goes on at the first step whose share is at least the present.
    Resume,
    /// Let the present step be left. May be given before it is asked for.
    Approve,
    /// Refuse that: rolled back.
    Reject,
    /// To the next step without evidence, or with `all` to the end.
    Promote {
        /// Everything for the canary, for good.
        all: bool,
    },
    /// To stable, for good.
    Rollback,
    /// Change the split by hand; PAUSED(MANUAL).
    SetSplit {
        /// Variant name to fraction; sums to 1.0.
        split: BTreeMap<String, f64>,
        /// Allows more than the present step's share, never more than the plan's highest.
        force: bool,
    },
}

impl CommandKind {
    /// What it is called in messages and in [`super::verbs`].
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Promote { .. } => "promote",
            Self::Rollback => "rollback",
            Self::SetSplit { .. } => "split set",
        }
    }
}

/// The events that a command leads to; none if it asks for what is already so.
///
/// # Errors
/// See [`Refused`]; then nothing may change.
pub fn command(rollout: &Rollout, now_ms: u64, command: &Command) -> Result<Vec<Kind>, Refused> {
    let again = command.kind == CommandKind::Rollback && rollout.state == State::RolledBack;
    if again {
        return Ok(Vec::new());
    }
    if rollout.is_terminal() {
        return Err(Refused::wrong_state(rollout, command.kind.verb()));
    }
    match &command.kind {
        CommandKind::Rollback => Ok(act::roll_back(rollout, Cause::Operator, None)),
        CommandKind::Pause => pause(rollout, command),
        CommandKind::Resume => resume(rollout, now_ms, command),
        CommandKind::Approve => approve(rollout, now_ms, command),
        CommandKind::Reject => reject(rollout, command),
        CommandKind::Promote { all } => promote(rollout, now_ms, command, *all),
        CommandKind::SetSplit { split, force } => {
            set_split::set_split(rollout, command, split, *force)
        }
    }
}

/// The caller saw the present revision, or did not say.
fn unchanged(rollout: &Rollout, command: &Command) -> Result<(), Refused> {
    let expected = command.expected_revision;
    if expected != 0 && expected != rollout.revision {
        return Err(Refused::RevisionMismatch {
            expected,
            actual: rollout.revision,
        });
    }
    Ok(())
}

/// The caller saw the present revision.
pub(super) fn seen(rollout: &Rollout, command: &Command) -> Result<(), Refused> {
    if command.expected_revision == 0 {
        let verb = command.kind.verb();
        return Err(Refused::RevisionRequired {
            verb,
            actual: rollout.revision,
        });
    }
    unchanged(rollout, command)
}

fn pause(rollout: &Rollout, command: &Command) -> Result<Vec<Kind>, Refused> {
    unchanged(rollout, command)?;
    if rollout.state == State::Paused {
        return Ok(Vec::new());
    }
    Ok(vec![Kind::Paused(v1::Paused {
        cause: Cause::Operator.into(),
    })])
}

fn resume(rollout: &Rollout, now_ms: u64, command: &Command) -> Result<Vec<Kind>, Refused> {
    if !can_resume(rollout) {
        return Err(Refused::wrong_state(rollout, "resume"));
    }
    seen(rollout, command)?;
    if !rollout.is_manual() {
        return Ok(act::resume(rollout, now_ms));
    }
    let Resumption { step, warmup } = promote::resumption(rollout);
    let mut events = vec![act::resumed_at(step)];
    let entered = act::enter_from_manual(rollout, step, warmup);
    if entered
        .iter()
        .any(|event| matches!(event, Kind::SplitChanged(_)))
    {
        not_frozen(rollout, command.force, command)?;
    }
    events.extend(entered);
    Ok(events)
}

/// What raises the canary's share in a freeze takes force and a reason.
pub(super) fn not_frozen(rollout: &Rollout, force: bool, command: &Command) -> Result<(), Refused> {
    match rollout.frozen {
        Some(frozen) if !force => Err(Refused::Frozen {
            until: moment(frozen.until_ms),
        }),
        Some(_) if command.reason.trim().is_empty() => Err(Refused::ReasonRequired),
        _ => Ok(()),
    }
}

fn nothing_to_approve(rollout: &Rollout) -> Refused {
    let what = if rollout.warmup {
        "the warm-up needs no approval".to_owned()
    } else if rollout.bake_until_ms.is_some() {
        "the bake needs no approval; promote ends it early".to_owned()
    } else {
        format!(
            "step {} of {} needs no approval",
            rollout.step + 1,
            rollout.plan.steps.len()
        )
    };
    Refused::NothingToApprove(what)
}

fn approve(rollout: &Rollout, now_ms: u64, command: &Command) -> Result<Vec<Kind>, Refused> {
    if !needs_approval(rollout) {
        return Err(nothing_to_approve(rollout));
    }
    seen(rollout, command)?;
    if rollout.approval == Approval::Given {
        return Ok(Vec::new());
    }
    let mut events = vec![Kind::Approved(v1::Approved {})];
    if rollout.state == State::Held && rollout.cause == Cause::Approval {
        events.extend(act::resume(rollout, now_ms));
    }
    Ok(events)
}

fn reject(rollout: &Rollout, command: &Command) -> Result<Vec<Kind>, Refused> {
    if !needs_approval(rollout) {
        return Err(nothing_to_approve(rollout));
    }
    unchanged(rollout, command)?;
    Ok(act::roll_back(rollout, Cause::Approval, None))
}

fn promote(
    rollout: &Rollout,
    now_ms: u64,
    command: &Command,
    all: bool,
) -> Result<Vec<Kind>, Refused> {
    seen(rollout, command)?;
    not_frozen(rollout, command.force, command)?;
    let mut events = Vec::new();
    if all {
        events.extend(act::finish(rollout, None));
        return Ok(events);
    }
    if matches!(rollout.state, State::Paused | State::Held) {
        events.push(act::resumed(rollout));
    }
    events.extend(promote::to_next(rollout, now_ms)?);
    Ok(events)
}
