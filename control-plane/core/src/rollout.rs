//! The life of one rollout, event-sourced.
//!
//! - [`command`] and [`look`] decide: from the present state and what came in to the events that follow. Nothing else
//!   makes events, and a refused command makes none.
//! - [`apply`] folds one event into the state. It looks at nothing but the event, so the state after a restart is the
//!   state before it.
//! - [`decision`], [`view`], [`verbs`] and [`next_wakeup`] are derived from the state whenever somebody asks.
//!
//! Two rules stand above the rest. Raising the canary's share takes either a look with fresh evidence or an operator's
//! word about the very revision they saw; lowering it takes nothing. And guardrails are judged in every state that is
//! not terminal: a paused or held rollout is rolled back like any other.

mod act;
mod apply;
mod assess;
mod command;
mod decision;
mod external;
mod facts;
mod gate;
pub mod invariants;
mod look;
mod paced;
mod promote;
mod record;
mod refused;
mod reply;
mod sentence;
mod set_split;
mod split;
mod terms;
mod threat;
mod time;
mod undo;
mod verbs;
mod view;
mod waiting;
mod wakeup;
mod words;

pub use act::{create, supersede};
pub use apply::apply;
pub use command::{Command, CommandKind, command};
pub use decision::decision;
pub use external::{Gate, gate_answered};
pub use facts::{Facts, FleetClock, FleetFacts, Harm};
pub use look::{is_settled, look};
pub use record::{Stamp, stamp};
pub use refused::Refused;
pub use threat::clears_itself;
pub use time::{millis, timestamp};
pub use undo::{undo, undoing};
pub use verbs::verbs;
pub use view::view;
pub use waiting::{MOST_WAITING, Waiting, unfit};
pub use wakeup::next_wakeup;

use serinus_common::allocation::Allocation;
use serinus_proto::v1;
use std::collections::BTreeMap;

/// Version of the rules of a rollout's life. Since 1 the cap on exposed keys is lifted for good by the evidence.
pub(crate) const RULES: u32 = 1;

/// The state of one execution of a plan. Times are unix milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// UUID v7 as text; never reused.
    pub id: String,
    /// What is rolled out.
    pub model: String,
    /// Complete: with every default filled in.
    pub plan: v1::Plan,
    /// What it is doing.
    pub state: v1::State,
    /// Why it is PAUSED, HELD or ROLLED_BACK; else unspecified.
    pub cause: v1::Cause,
    /// The words of whoever paused, held or rolled it back.
    pub reason: String,
    /// Who created it.
    pub actor: String,
    /// Version of the rules of its life, by which its decisions are made again.
    pub rules: u32,
    /// The promoted rollout that this one takes back; empty if it is none of that kind.
    pub undoes: String,
    /// The step entered last, from 0.
    pub step: usize,
    /// In the warm-up before step 0 (also while stopped there).
    pub warmup: bool,
    /// Which buckets belong to which canary.
    pub allocation: Allocation,
    /// The same as fractions by variant name, stable included; they sum to 1.0.
    pub split: BTreeMap<String, f64>,
    /// Which sidecars give the canaries traffic; `None`: all.
    pub selector: Option<v1::Selector>,
    /// +1 at every change of the split.
    pub epoch: u64,
    /// The epoch in which the present step began.
    pub step_epoch: u64,
    /// Of the last event.
    pub revision: u64,
    /// Of the first event.
    pub created_ms: u64,
    /// Of the last event.
    pub updated_ms: u64,
    /// When the step or the warm-up was entered.
    pub step_entered_ms: u64,
    /// When the present split was commanded.
    pub epoch_entered_ms: u64,
    /// When it became terminal.
    pub finished_ms: Option<u64>,
    /// End of the bake; `Some` from its start, also while stopped in it.
    pub bake_until_ms: Option<u64>,
    /// Where the present step's approval stands.
    pub approval: Approval,
    /// Where the gate of the present step, or of the bake, stands.
    pub gate: Gate,
    /// The last recorded verdict of each guardrail of the plan.
    pub verdicts: Vec<v1::Verdict>,
    /// Guardrails that were HARMFUL when somebody resumed: they hold the rollout again only after a new change.
    pub acknowledged: Vec<bool>,
    /// Kind of the last recorded decision.
    pub decided: v1::DecisionKind,
    /// The last recorded decision found that the canary does not get its share.
    pub mismatched: bool,
    /// When it was resumed last; the clock of `on_no_evidence` does not count what was before.
    pub resumed_ms: u64,
    /// Where `max_duration` is counted from: the creation, or the last resumption from HELD(MAX_DURATION).
    pub duration_from_ms: u64,
    /// A freeze of the plan is in force, as the last look found it.
    pub frozen: Option<Frozen>,
    /// Who approved leaving the present step; empty if nobody has.
    pub approved_by: String,
    /// The cap on exposed keys was lifted: by evidence, or by a resumption from HELD(BUDGET).
    pub cap_lifted: bool,
}

/// Where the approval of the present step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approval {
    /// Nobody was asked yet.
    #[default]
    None,
    /// Everything else is fulfilled; somebody was asked.
    Waiting {
        /// When `approval.then` applies, unix milliseconds.
        deadline_ms: u64,
    },
    /// Given, perhaps before anybody was asked.
    Given,
}

/// A freeze in force. Times are unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// When it was seen first.
    pub since_ms: u64,
    /// At least until then.
    pub until_ms: u64,
}

/// What a rollout does when nothing stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Warmup,
    Step,
    Bake,
}

impl Rollout {
    /// Whether it has ended.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.state, v1::State::Promoted | v1::State::RolledBack)
    }

    /// The canaries' share of the traffic in parts per million, together.
    #[must_use]
    pub fn canary_ppm(&self) -> u32 {
        self.allocation
            .canaries()
            .iter()
            .map(serinus_common::allocation::Owned::size)
            .sum()
    }

    /// Whether the present split gives traffic to stable and to a canary, so that an epoch without a comparison is
    /// missing something. Without a holdback the last step has no stable traffic, and verdicts carry over.
    #[must_use]
    pub fn expects_both(&self) -> bool {
        (1..1_000_000).contains(&self.canary_ppm())
    }

    /// The tolerance (kappa) that SAFE is held to at present.
    #[must_use]
    pub fn tolerance(&self) -> f64 {
        if self.warmup {
            terms::warmup_kappa(&self.plan)
        } else {
            terms::kappa(&self.plan, self.step)
        }
    }

    fn phase(&self) -> Phase {
        match (self.warmup, self.bake_until_ms) {
            (true, _) => Phase::Warmup,
            (false, Some(_)) => Phase::Bake,
            (false, None) => Phase::Step,
        }
    }

    fn is_manual(&self) -> bool {
        self.state == v1::State::Paused && self.cause == v1::Cause::Manual
    }
}

#[cfg(test)]
mod tests;
