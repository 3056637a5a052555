//! One outcome as it lies on disk: length (4 bytes), CRC-32C of the content (4 bytes), content; little-endian.

use prost::Message as _;
use serinus_proto::v1;

const HEAD: usize = 8;
/// No outcome is longer: a request's texts are far below it.
const LONGEST: usize = 64 * 1024;

/// Appends a record.
pub(super) fn write(into: &mut Vec<u8>, outcome: &v1::Outcome) {
    let content = outcome.encode_to_vec();
    // LONGEST is checked where outcomes come in, so the length fits.
    into.extend_from_slice(&(content.len() as u32).to_le_bytes());
    into.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
    into.extend_from_slice(&content);
}

/// What the beginning of some bytes is.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    /// A good record and its whole length.
    Record(v1::Outcome, usize),
    /// The beginning of one; more bytes are needed.
    Short,
    /// No record.
    Bad,
}

/// Reads the first record.
pub(super) fn read(bytes: &[u8]) -> Read {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return Read::Short;
    };
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = number(0) as usize;
    if length > LONGEST {
        return Read::Bad;
    }
    let Some(content) = rest.get(..length) else {
        return Read::Short;
    };
    if crc32c::crc32c(content) != number(4) {
        return Read::Bad;
    }
    match v1::Outcome::decode(content) {
        // Zeroes are what a file system may leave after a crash; they are no outcome.
        Ok(outcome) if length > 0 => Read::Record(outcome, HEAD + length),
        _ => Read::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome() -> v1::Outcome {
        v1::Outcome {
            prediction_id: "id".into(),
            metric: "accuracy".into(),
            value: 1.0,
            row: 3,
        }
    }

    proptest! {
        #[test]
        fn only_whole_records_are_read(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = Vec::new();
            write(&mut bytes, &outcome());
            prop_assert_eq!(read(&bytes), Read::Record(outcome(), bytes.len()));
            prop_assert_eq!(read(&bytes[..cut.index(bytes.len())]), Read::Short);
            let flipped = at.index(bytes.len());
            bytes[flipped] ^= 1 << bit;
            prop_assert!(!matches!(read(&bytes), Read::Record(..)));
        }
    }

    #[test]
    fn zeroes_are_no_record() {
        assert_eq!(read(&[0; 64]), Read::Bad);
    }
}
