//! The only comparator of instructions.

/// (generation, term, revision), compared in this order. The receiver compares; a deposed leader, a restored backup
/// and a delayed packet all lose there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// +1 at every restore of a backup.
    pub generation: u64,
    /// +1 at every start of the control plane.
    pub term: u64,
    /// Store-wide position of the event behind the instruction.
    pub revision: u64,
}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.generation, self.term, self.revision)
    }
}
