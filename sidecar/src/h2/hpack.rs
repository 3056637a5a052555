//! Compressed heads (RFC 7541).

mod decode;
mod encode;
pub(super) mod fixed;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod huffman;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;

/// The dynamic table's size that every side starts with, and the most that we use.
const TABLE_BYTES: usize = 4096;

/// What an entry takes in a table beyond its text.
pub(super) const ENTRY_BYTES: usize = 32;
