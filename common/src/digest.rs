//! A digest of encoded messages, to tell whether two are the same.

use crate::fence::Fence;

/// `xxh3_64` of the bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Digest of what a sidecar holds: the model, the fence and the content's digest of each assignment, in the order of the
/// models.
#[must_use]
pub fn of_held<'a>(held: impl IntoIterator<Item = (&'a str, Fence, u64)>) -> u64 {
    let mut bytes = Vec::new();
    for (model, fence, digest) in held {
        bytes.extend_from_slice(model.as_bytes());
        bytes.push(0);
        for number in [fence.generation, fence.term, fence.revision, digest] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    digest(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_has_one_digest() {
        let fence = |revision| Fence {
            generation: 1,
            term: 2,
            revision,
        };
        let one = of_held([("a", fence(3), 4)]);
        // Pinned: both ends of a stream compute it, perhaps of different versions.
        assert_eq!(one, 11_686_814_235_506_161_475);
        assert_ne!(one, of_held([("a", fence(4), 4)]));
        assert_ne!(one, of_held([("a", fence(3), 5)]));
        assert_ne!(one, of_held([("a", fence(3), 4), ("b", fence(3), 4)]));
        assert_ne!(of_held([]), one);
    }
}
