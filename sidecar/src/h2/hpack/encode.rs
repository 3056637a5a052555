//! Writing compressed heads. What the other side's table knew is worth a place in ours: it comes again. Everything else
//! is written as it is, without Huffman codes, which cost more to write than the bytes that they save.

use super::fixed::FIXED;
use super::{ENTRY_BYTES, TABLE_BYTES};
use crate::h2::block::Entry;
use std::collections::VecDeque;

/// The table that we fill.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The newest first.
    entries: VecDeque<Stored>,
    size: usize,
    max: usize,
    /// The size has changed, and this was the least; the next head says so.
    least: Option<usize>,
}

#[derive(Debug)]
struct Stored {
    hash: u32,
    text: Box<[u8]>,
    name: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: TABLE_BYTES,
            least: None,
        }
    }
}

/// More entries than this take longer to look through than they save.
const MOST_ENTRIES: usize = 32;

impl Encoder {
    /// The other side's bound of the table.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let bytes = bytes.min(TABLE_BYTES);
        if bytes != self.max {
            self.max = bytes;
            self.least = Some(self.least.map_or(bytes, |least| least.min(bytes)));
            self.shrink(bytes);
        }
    }

    /// Begins a head.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(least) = self.least.take() else {
            return;
        };
        if least < self.max {
            integer(out, 0x20, 5, least);
        }
        integer(out, 0x20, 5, self.max);
    }

    /// Writes a field. Those that come again go into the table.
    pub(crate) fn field(&mut self, out: &mut Vec<u8>, entry: Entry<'_>) {
        if !entry.mark.repeated || entry.mark.secret {
            let first = if entry.mark.secret { 0x10 } else { 0 };
            return literal(out, first, 4, entry);
        }
        let hash = hash(entry.name, entry.value);
        let is_same = |stored: &Stored| {
            stored.hash == hash
                && stored.text.len() == entry.name.len() + entry.value.len()
                && stored.text[..stored.name] == *entry.name
                && stored.text[stored.name..] == *entry.value
        };
        if let Some(at) = self.entries.iter().position(is_same) {
            return integer(out, 0x80, 7, FIXED.len() + 1 + at);
        }
        let size = entry.name.len() + entry.value.len() + ENTRY_BYTES;
        // A field that would push out half of the others is not worth it.
        if size > self.max / 2 {
            return literal(out, 0, 4, entry);
        }
        literal(out, 0x40, 6, entry);
        self.shrink(self.max - size);
        self.size += size;
        self.entries.push_front(Stored {
            hash,
            text: [entry.name, entry.value].concat().into(),
            name: entry.name.len(),
        });
    }

    /// Writes a field that the static table has whole.
    pub(crate) fn fixed(out: &mut Vec<u8>, index: u8) {
        out.push(0x80 | index);
    }

    fn shrink(&mut self, size: usize) {
        while (self.size > size || self.entries.len() >= MOST_ENTRIES)
            && let Some(last) = self.entries.pop_back()
        {
            self.size -= last.text.len() + ENTRY_BYTES;
        }
    }
}

fn literal(out: &mut Vec<u8>, first: u8, prefix: u32, entry: Entry<'_>) {
    integer(out, first, prefix, usize::from(entry.mark.known));
    if entry.mark.known == 0 {
        integer(out, 0, 7, entry.name.len());
        out.extend_from_slice(entry.name);
    }
    integer(out, 0, 7, entry.value.len());
    out.extend_from_slice(entry.value);
}

fn integer(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let most = (1usize << prefix) - 1;
    if value < most {
        out.push(first | value as u8);
        return;
    }
    out.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// FNV-1a over eight bytes at a time: it only has to tell a few dozen entries apart.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = step(0xcbf2_9ce4_8422_2325, name.len() as u64);
    for text in [name, value] {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            hash = step(hash, u64::from_le_bytes(*word)).rotate_left(23);
        }
        for &byte in rest {
            hash = step(hash, u64::from(byte));
        }
    }
    (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::block::{Block, Mark};
    use crate::h2::hpack::Decoder;
    use proptest::prelude::*;

    fn write(encoder: &mut Encoder, fields: &[(String, String, bool)]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (name, value, repeated) in fields {
            let mark = Mark {
                repeated: *repeated,
                ..Mark::default()
            };
            let (name, value) = (name.as_bytes(), value.as_bytes());
            encoder.field(&mut out, Entry { name, value, mark });
        }
        out
    }

    fn read(block: &Block) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        block
            .iter()
            .map(|e| (text(e.name), text(e.value)))
            .collect()
    }

    #[test]
    fn what_repeats_becomes_an_index() {
        let mut encoder = Encoder::default();
        let fields = [
            ("te".into(), "trailers".into(), true),
            ("n".into(), "1".into(), false),
        ];
        let (first, second) = (write(&mut encoder, &fields), write(&mut encoder, &fields));
        assert_eq!(first.len(), 1 + 1 + 2 + 1 + 8 + 5);
        assert_eq!(second, b"\xbe\x00\x01n\x011");
        encoder.resize(0);
        assert_eq!(write(&mut encoder, &fields)[0], 0x20);
    }

    #[test]
    fn a_secret_stays_one() {
        let mark = Mark {
            known: 23,
            repeated: true,
            secret: true,
        };
        let entry = Entry {
            name: b"authorization",
            value: b"s",
            mark,
        };
        let mut out = Vec::new();
        Encoder::default().field(&mut out, entry);
        assert_eq!(out, b"\x1f\x08\x01s");
        let block = Decoder::default().decode(&out, usize::MAX).unwrap();
        assert!(block.iter().all(|e| e.mark
            == Mark {
                repeated: false,
                ..mark
            }));
    }

    proptest! {
        #[test]
        fn the_other_side_reads_what_was_written(
            heads in prop::collection::vec((prop::collection::vec(("[a-z]{1,3}|x-[a-z]{200}", "[a-z]{0,3}|[a-z]{100,300}", any::<bool>()), 0..12), prop::option::of(0usize..5000)), 1..30),
        ) {
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
            for (fields, resize) in heads {
                if let Some(bytes) = resize {
                    encoder.resize(bytes);
                }
                let block = decoder.decode(&write(&mut encoder, &fields), usize::MAX).unwrap();
                let sent: Vec<_> = fields.into_iter().map(|(name, value, _)| (name, value)).collect();
                prop_assert_eq!(read(&block), sent);
            }
        }
    }
}
