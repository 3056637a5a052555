//! What may be removed for good, because it is old and a verified export holds it.

use std::collections::{BTreeMap, BTreeSet};

/// Commands that are remembered whatever their age.
pub const REQUESTS: usize = 100_000;
/// For how long commands are remembered whatever their number, milliseconds.
pub const REQUESTS_MS: u64 = 24 * 3_600_000;

/// What may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// The log is compacted up to this revision: what is still needed of it is kept without its chain.
    pub through: u64,
    /// Finished rollouts of which nothing is kept, with the revision of their last event, at most `through`.
    pub forgotten: BTreeMap<String, u64>,
    /// Finished rollouts whose slices go.
    pub evidence: BTreeSet<String>,
    /// Finished rollouts whose labels are not told from repeated ones any more.
    pub seen: BTreeSet<String>,
    /// Commands from before, unix milliseconds, may be forgotten beyond the newest [`REQUESTS`].
    pub requests_before_ms: u64,
}

impl Prune {
    /// Whether nothing may go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let none = self.forgotten.is_empty() && self.evidence.is_empty() && self.seen.is_empty();
        none && self.through == 0
    }
}

/// A copy of the store on its own disk that was read back and found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub path: std::path::PathBuf,
    /// Of the last event in it.
    pub revision: u64,
    /// Number of the last commit in it.
    pub commit: u64,
    /// Its length.
    pub bytes: u64,
}
