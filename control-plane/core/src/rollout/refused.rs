//! Why a command was not done.

use super::{Rollout, reply, verbs};
use serinus_proto::v1;
use thiserror::Error;

/// Why a command was not done. Nothing has changed.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Refused {
    /// The state does not allow it.
    #[error(
        "{verb} is not possible while the rollout is {}{}; {}",
        reply::state(*state), reply::hint(*state, verb), reply::instead(verbs)
    )]
    WrongState {
        /// What was asked for.
        verb: &'static str,
        /// The present state.
        state: v1::State,
        /// What the present state allows.
        verbs: Vec<&'static str>,
    },
    /// The rollout has changed since the caller looked.
    #[error("the rollout is at revision {actual}, not {expected}: read it again and decide anew")]
    RevisionMismatch {
        /// What the command expected.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// It can raise the canary's share, and does not say what it is based on.
    #[error(
        "{verb} needs expected_revision: read the rollout and send the revision you saw (now {actual})"
    )]
    RevisionRequired {
        /// What was asked for.
        verb: &'static str,
        /// The present revision.
        actual: u64,
    },
    /// The split has mistakes.
    #[error("{}", reply::list(.0))]
    BadSplit(Vec<v1::Violation>),
    /// The share is above the present step's.
    #[error(
        "{asked} is above the {limit} of the present step; to raise it beyond, use force and give a reason"
    )]
    NeedsForce {
        /// The share asked for, in percent.
        asked: String,
        /// The present step's share, in percent.
        limit: String,
    },
    /// The share is above every step's.
    #[error(
        "{asked} is above the plan's highest step ({ceiling}); no force lifts that: apply another plan"
    )]
    AboveCeiling {
        /// The share asked for, in percent.
        asked: String,
        /// The highest share of the plan, in percent.
        ceiling: String,
    },
    /// A freeze of the plan is in force.
    #[error(
        "frozen until {until} by the plan: nothing moves forward but by force and with a reason; rollback is always possible"
    )]
    Frozen {
        /// When it ends at the earliest, in words.
        until: String,
    },
    /// Force without a reason.
    #[error("force needs a reason; it is kept in the event")]
    ReasonRequired,
    /// The present step needs no approval.
    #[error("there is nothing to approve: {0}")]
    NothingToApprove(String),
    /// No promotion can be taken back.
    #[error("there is nothing to undo: {0}")]
    NothingToUndo(String),
    /// The plan ends here.
    #[error(
        "the plan ends at {share} and has no further step: promote to the end (--all), or roll back"
    )]
    NoNextStep {
        /// The last step's share, in percent.
        share: String,
    },
}

impl Refused {
    pub(super) fn wrong_state(rollout: &Rollout, verb: &'static str) -> Self {
        Self::WrongState {
            verb,
            state: rollout.state,
            verbs: verbs(rollout),
        }
    }
}
