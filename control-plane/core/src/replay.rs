//! Decisions made again, from what is stored.
//!
//! A [`Recording`] holds everything that the decisions of one rollout were made from: its settings and its log, the
//! slices that the engine consumed, and what each look knew beyond them. [`replay`] folds the slices again, asks the
//! engine and the state machine again at every recorded look, and compares what they say with what is in the log, bit
//! for bit. [`what_if`] folds the same slices under another plan.
//!
//! What operators asked for is taken from the log; only the control plane's own decisions are made again.

mod difference;
mod fold;
mod recording;
mod verify;
mod what_if;

pub use difference::Difference;
pub use recording::{Recording, ReplayError};
pub use serinus_evidence::ENGINE_VERSION;
pub use verify::{Outcome, Redecided, Replayed, replay};
pub use what_if::{Found, GuardrailFound, Moment, Passage, StepFound, WhatIf, what_if};

#[cfg(test)]
mod tests;
