//! A digest of encoded messages, to tell whether two are the same.

/// `xxh3_64` of the bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
