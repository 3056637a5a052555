//! What survives a restart, as it is encoded in the state file.

use prost::Message;
use serinus_proto::v1;

/// Everything that a sidecar holds by order of the control plane.
#[derive(Clone, PartialEq, Message)]
pub struct State {
    /// One per model that was ever assigned.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
    /// Rollouts whose canaries are never served again.
    #[prost(message, repeated, tag = "2")]
    pub latches: Vec<Latch>,
    /// Unix milliseconds of the writing.
    #[prost(uint64, tag = "3")]
    pub wall_ms: u64,
    /// The machine's boot when it was written; empty where the system does not say.
    #[prost(string, tag = "4")]
    pub boot_id: String,
    /// Milliseconds since that boot, suspended time included.
    #[prost(uint64, tag = "5")]
    pub boot_ms: u64,
}

/// One model's last accepted assignment.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// The model's name.
    #[prost(string, tag = "1")]
    pub model: String,
    /// The highest fence that was accepted.
    #[prost(message, optional, tag = "2")]
    pub fence: Option<v1::Fence>,
    /// Absent after the control plane took the model away.
    #[prost(message, optional, tag = "3")]
    pub assignment: Option<v1::Assignment>,
    /// Time since the lease was renewed, at the writing, ms.
    #[prost(uint64, tag = "4")]
    pub age_ms: u64,
    /// The canary's share was on its way to stable, or there.
    #[prost(bool, tag = "5")]
    pub reverted: bool,
}

/// A rollout, or some of its variants.
#[derive(Clone, PartialEq, Message)]
pub struct Latch {
    /// The rollout's id.
    #[prost(string, tag = "1")]
    pub rollout: String,
    /// Empty: all of its canaries.
    #[prost(string, repeated, tag = "2")]
    pub variants: Vec<String>,
}
