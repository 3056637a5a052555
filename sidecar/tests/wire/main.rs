//! The data path from outside, byte by byte: what `docs/transparency.md` promises, against peers that hold to nothing.
//!
//! `SERINUS_WIRE_CASES` is the number of cases of each property; by default it is small enough for every run.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a test may panic, and nobody depends on it"
)]

mod compare;
mod corpus;
mod differential;
mod exact;
mod h2;
mod hostile;
mod message;
mod raw;
mod script;
#[allow(dead_code, reason = "shared with the tests of the data path")]
#[path = "../data_path/sidecar.rs"]
mod sidecar;
mod smuggling;
mod world;
