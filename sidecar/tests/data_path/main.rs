//! The data path against real model servers on loopback.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a test may panic, and nobody depends on it"
)]

mod bounds;
mod certificates;
mod choosing;
mod client;
mod counting;
mod draining;
mod failing;
mod frames;
mod grpc;
mod grpc_streams;
mod inspecting;
mod restoring;
mod rewriting;
mod sidecar;
mod splitting;
mod streaming;
mod transparent;
mod transport;
mod unary;
mod unfinished;
mod upstream;
