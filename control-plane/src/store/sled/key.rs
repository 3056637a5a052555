//! Keys. One tree holds everything; the first byte tells the kind, text is preceded by its length and numbers are
//! big-endian, so that no key is the beginning of another and ranges come in order.

/// Where the log begins.
pub(super) const ANCHOR: u8 = b'a';
/// An entry from before the log's beginning that is still needed, by revision.
pub(super) const BASE: u8 = b'b';
/// A command whose entry is gone, by revision.
pub(super) const REQUEST: u8 = b'q';
/// An entry of the log, by revision.
pub(super) const EVENT: u8 = b'e';
/// A slice, by rollout and sequence number.
pub(super) const SLICE: u8 = b's';
/// A label slice, by rollout and sequence number.
pub(super) const LABELS: u8 = b'l';
/// Cells in no slice yet, by rollout.
pub(super) const PENDING: u8 = b'p';
/// A sidecar incarnation, by sidecar and incarnation.
pub(super) const SOURCE: u8 = b'o';
/// A block of the bitmap of counted outcomes.
pub(super) const SEEN: u8 = b'k';
/// That the store came back from a copy.
pub(super) const RESTORED: u8 = b'r';
/// State of the evidence of a rollout after so many slices.
pub(super) const CHECKPOINT: u8 = b't';
/// How far a webhook is, by its name.
pub(super) const WEBHOOK: u8 = b'w';
/// The counters.
pub(super) const META: u8 = b'm';
/// Number of the last commit.
pub(super) const COMMIT: u8 = b'c';

/// Key of an event.
pub(super) fn event(revision: u64) -> Vec<u8> {
    at(EVENT, revision)
}

/// Key of something that belongs to a revision.
pub(super) fn at(kind: u8, revision: u64) -> Vec<u8> {
    [&[kind][..], &revision.to_be_bytes()].concat()
}

/// Key of something that has a name; also the prefix of its numbered parts.
///
/// Names are bounded far below 64 KiB where they enter the process; a longer one would only share its length field
/// with another kind of name, never a key with another name of the same length.
pub(super) fn named(kind: u8, name: &[u8]) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    [&[kind][..], &length.to_be_bytes(), name].concat()
}

/// Key of a numbered part of something.
pub(super) fn numbered(kind: u8, name: &[u8], number: u64) -> Vec<u8> {
    [&named(kind, name)[..], &number.to_be_bytes()].concat()
}

/// Name in such a key.
pub(super) fn name(key: &[u8]) -> Option<&[u8]> {
    let (length, rest) = key.get(1..)?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// Number at the end of such a key.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    key.split_last_chunk::<8>()
        .map(|(_, number)| u64::from_be_bytes(*number))
}

/// A key in words.
pub(super) fn describe(key: &[u8]) -> String {
    let text = || String::from_utf8_lossy(name(key).unwrap_or_default()).into_owned();
    match key.first() {
        Some(&EVENT) => format!("event {}", number(key).unwrap_or(0)),
        Some(&BASE) => format!("the kept event {}", number(key).unwrap_or(0)),
        Some(&REQUEST) => format!("the command of event {}", number(key).unwrap_or(0)),
        Some(&ANCHOR) => "the log's beginning".into(),
        Some(&SLICE) => format!("slice {} of rollout {}", number(key).unwrap_or(0), text()),
        Some(&LABELS) => format!(
            "label slice {} of rollout {}",
            number(key).unwrap_or(0),
            text()
        ),
        Some(&CHECKPOINT) => format!(
            "checkpoint {} of rollout {}",
            number(key).unwrap_or(0),
            text()
        ),
        Some(&PENDING) => format!("the pending cells of rollout {}", text()),
        Some(&SOURCE) => format!(
            "sidecar {} incarnation {}",
            text(),
            number(key).unwrap_or(0)
        ),
        Some(&SEEN) => "a block of counted outcomes".into(),
        Some(&RESTORED) => "the note that the store came back".into(),
        Some(&WEBHOOK) => format!("how far the webhook {} is", text()),
        Some(&META) => "the counters".into(),
        Some(&COMMIT) => "the number of the last commit".into(),
        _ => format!("the unknown key {key:02x?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        assert_eq!(number(&event(7)), Some(7));
        let key = numbered(SLICE, b"r1", 300);
        assert_eq!((name(&key), number(&key)), (Some(&b"r1"[..]), Some(300)));
        assert_eq!(describe(&key), "slice 300 of rollout r1");
        assert_eq!(describe(&event(12)), "event 12");
    }

    #[test]
    fn no_name_is_the_beginning_of_another() {
        let (short, long) = (named(SEEN, b"a"), named(SEEN, b"a\0\0"));
        assert!(!long.starts_with(&short));
        assert!(event(255) < event(256));
    }
}
