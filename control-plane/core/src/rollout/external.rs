//! Gates: outside programs whose word is needed. The word itself is an input, as an operator's is; who is asked, and how,
//! is none of this machine's business.

use super::{Phase, Rollout, time::duration_ms};
use serinus_proto::v1::{self, Then, event::Kind};

/// Where the gate of the present step, or of the bake, stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Gate {
    /// It was not asked yet.
    #[default]
    None,
    /// Everything else is fulfilled, and it is asked.
    Waiting {
        /// Revision of the question.
        asked: u64,
        /// When `gate.then` applies, unix milliseconds.
        deadline_ms: u64,
    },
    /// It said yes.
    Approved,
    /// It said no.
    Denied {
        /// Its words.
        words: String,
    },
}

/// What a gate's word is needed for now.
pub(super) fn needed(rollout: &Rollout) -> Option<&v1::Gate> {
    match rollout.phase() {
        Phase::Warmup => None,
        Phase::Step => rollout.plan.steps.get(rollout.step)?.gate.as_ref(),
        Phase::Bake => rollout.plan.bake.as_ref()?.gate.as_ref(),
    }
}

/// Until when it is waited for, if it is asked now.
pub(super) fn deadline_ms(gate: &v1::Gate, now_ms: u64) -> u64 {
    let timeout_ms = gate.timeout.as_ref().map_or(0, duration_ms);
    now_ms.saturating_add(timeout_ms)
}

/// What follows from a denial, or from silence once the deadline is past; `None` while nothing does.
pub(super) fn refusal(rollout: &Rollout, now_ms: u64) -> Option<Then> {
    let gate = needed(rollout)?;
    match rollout.gate {
        Gate::Denied { .. } if gate.on_deny() == Then::Rollback => Some(Then::Rollback),
        Gate::Denied { .. } => Some(Then::Hold),
        Gate::Waiting { deadline_ms, .. } if now_ms >= deadline_ms => match gate.then() {
            Then::Unspecified => Some(Then::Hold),
            then => Some(then),
        },
        Gate::None | Gate::Waiting { .. } | Gate::Approved => None,
    }
}

/// The event that an answer leads to; none if nobody waits for it any more. `asked` is the revision of the question.
#[must_use]
pub fn gate_answered(rollout: &Rollout, asked: u64, approved: bool) -> Vec<Kind> {
    let waits = matches!(rollout.gate, Gate::Waiting { asked: of, .. } if of == asked);
    let Some(gate) = needed(rollout).filter(|_| waits && !rollout.is_terminal()) else {
        return Vec::new();
    };
    vec![Kind::GateAnswered(v1::GateAnswered {
        gate: gate.name.clone(),
        approved,
        asked,
    })]
}
