//! What the control plane decides with, and nothing else: plans, the rollout state machine, the counting of reports.
//! No I/O, no clock, no random source: time comes in as unix milliseconds.

pub mod audit;
pub mod evidence;
pub mod freeze;
pub mod ledger;
pub mod plan;
pub mod replay;
pub mod rollout;
pub mod selector;
