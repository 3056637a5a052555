//! The sidecar's own HTTP/1.1: every head is read once and strictly, and bytes are passed on as they came, with the
//! few headers left out that end here and the two added that say what answered. What is rare or of another protocol
//! is handed over to hyper on the same connection.
//!
//! Parsing and framing are plain functions over bytes; everything that waits is in [`connection`] and `exchange`.

mod answer;
mod body;
mod buffers;
mod call;
mod chunks;
mod connection;
mod early;
mod edit;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod lines;
mod malformed;
mod outbox;
mod own;
mod request;

pub(crate) use buffers::Buffers;
pub(crate) use connection::{HandOver, serve};
pub(crate) use guard::Guard;
