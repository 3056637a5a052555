//! What a load has seen so far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LatencySummary;

/// Stands for the variant when the answer does not name one, or there is no answer.
pub const UNKNOWN_VARIANT: &str = "unknown";

/// Counts since the start of the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Time since the start, in milliseconds.
    pub elapsed_ms: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests that ended: with an answer, an error or a timeout.
    pub ended: u64,
    /// Requests that were due but not sent, since the generator was late or all connections of the target were
    /// busy: if it is not 0, the machine or the target did not carry the rate.
    pub skipped: u64,
    /// Errors that users saw: a status from 400 up, no answer, or none in time.
    pub errors: u64,
    /// Those among the errors that had no status: connections refused or cut, and timeouts.
    pub transport_errors: u64,
    /// The text of the last transport error.
    pub last_transport_error: Option<String>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// By the variant that the answers name in `x-serinus-variant`; see [`UNKNOWN_VARIANT`].
    pub variants: BTreeMap<String, VariantStats>,
    /// By target, in the order of the configuration.
    pub targets: Vec<TargetStats>,
    /// Users that were answered by one variant and then by another.
    pub moves: Vec<Move>,
    /// The truths sent back.
    pub outcomes: OutcomeStats,
}

/// Counts of one variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VariantStats {
    /// Requests that ended.
    pub requests: u64,
    /// Errors that users saw.
    pub errors: u64,
    /// Distinct users who were answered by it.
    pub exposed_users: u64,
    /// Answers without error whose truth is known.
    pub judged: u64,
    /// Those that were right.
    pub right: u64,
    /// From sending a request to the last byte of its answer.
    pub latency: LatencySummary,
}

/// Counts of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStats {
    /// Requests that ended.
    pub requests: u64,
    /// Errors that users saw.
    pub errors: u64,
}

/// How often a user moved between two variants at one target.
///
/// A move counts only if the later request was sent after the earlier one had ended, since requests that overlap
/// have no order. Targets are looked at one by one, since they learn of a new split at slightly different times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The variant that answered before.
    pub from: String,
    /// The variant that answers now.
    pub to: String,
    /// How often.
    pub count: u64,
}

/// Counts of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeStats {
    /// Not yet delivered, due or not.
    pub pending: u64,
    /// Taken by a target with a status below 300.
    pub delivered: u64,
    /// Refused by a target with another status that sending again cannot help; dropped.
    pub refused: u64,
    /// Dropped since the target could not be reached for half a minute, or too many were pending.
    pub lost: u64,
}

impl Stats {
    /// The counts of `variant`; all 0 if it has not answered.
    pub fn variant(&self, variant: &str) -> VariantStats {
        self.variants.get(variant).cloned().unwrap_or_default()
    }

    /// How often users of `canary` moved to `stable`.
    pub fn flips(&self, canary: &str, stable: &str) -> u64 {
        let between = |m: &&Move| m.from == canary && m.to == stable;
        self.moves.iter().filter(between).map(|m| m.count).sum()
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.ended)
    }
}

impl VariantStats {
    /// The fraction (0..=1) of judged answers that were right.
    pub fn accuracy(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.right as f64 / self.judged as f64)
    }
}
