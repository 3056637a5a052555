//! Reading compressed heads.

use super::fixed::{FIXED, canonical};
use super::{ENTRY_BYTES, TABLE_BYTES, huffman};
use crate::h2::block::{Block, Entry, Mark, is_name, is_value};
use std::collections::VecDeque;

/// The bytes are no compressed head: the tables of the two sides differ from here on, so the connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadBlock;

/// The table that the other side fills.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest first.
    entries: VecDeque<Stored>,
    size: usize,
    max: usize,
    /// Where literals are put together.
    scratch: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Stored {
    text: Vec<u8>,
    name: usize,
    known: u8,
    malformed: bool,
}

impl Stored {
    fn size(&self) -> usize {
        self.text.len() + ENTRY_BYTES
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: TABLE_BYTES,
            scratch: Vec::new(),
            spare: Vec::new(),
        }
    }
}

/// How a literal is to be treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Stored,
    Plain,
    Secret,
}

impl Decoder {
    /// Reads a whole block. Fields beyond `most` bytes are read, because the tables depend on them, but left out.
    pub(crate) fn decode(&mut self, mut bytes: &[u8], most: usize) -> Result<Block, BadBlock> {
        let mut block = Block::new();
        let mut sizes = 0;
        while let Some(&first) = bytes.first() {
            // The table's size may change at the start only, twice at most.
            if first >> 5 == 1 {
                sizes += 1;
                if sizes > 2 {
                    return Err(BadBlock);
                }
                let size = integer(&mut bytes, 5)?;
                self.resize(size)?;
                continue;
            }
            sizes = 2;
            if first & 0x80 != 0 {
                let index = integer(&mut bytes, 7)?;
                self.indexed(index, &mut block, most)?;
            } else if first & 0x40 != 0 {
                self.literal(&mut bytes, 6, Literal::Stored, &mut block, most)?;
            } else {
                let kind = match first & 0x10 {
                    0 => Literal::Plain,
                    _ => Literal::Secret,
                };
                self.literal(&mut bytes, 4, kind, &mut block, most)?;
            }
        }
        Ok(block)
    }

    /// What the table takes.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn table_bytes(&self) -> usize {
        let entries = self.entries.iter().map(Stored::size).sum();
        assert_eq!(self.size, entries);
        entries
    }

    fn indexed(&self, index: usize, block: &mut Block, most: usize) -> Result<(), BadBlock> {
        let at = index.checked_sub(1).ok_or(BadBlock)?;
        if let Some((name, value)) = FIXED.get(at) {
            let mark = Mark {
                known: canonical(index),
                repeated: true,
                secret: false,
            };
            let (name, value) = (name.as_bytes(), value.as_bytes());
            block.push(Entry { name, value, mark }, most);
            return Ok(());
        }
        let stored = self.entries.get(at - FIXED.len()).ok_or(BadBlock)?;
        if stored.malformed {
            block.mark_malformed();
        }
        let (name, value) = stored.text.split_at(stored.name);
        let mark = Mark {
            known: stored.known,
            repeated: true,
            secret: false,
        };
        block.push(Entry { name, value, mark }, most);
        Ok(())
    }

    fn literal(
        &mut self,
        bytes: &mut &[u8],
        prefix: u32,
        kind: Literal,
        block: &mut Block,
        most: usize,
    ) -> Result<(), BadBlock> {
        let index = integer(bytes, prefix)?;
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        let (known, mut malformed) = match index {
            0 => {
                string(bytes, &mut text)?;
                (known_name(&text), !is_name(&text))
            }
            _ => self.name(index, &mut text)?,
        };
        let name = text.len();
        string(bytes, &mut text)?;
        malformed |= !is_value(&text[name..]);
        if malformed {
            block.mark_malformed();
        }
        let mark = Mark {
            known,
            repeated: false,
            secret: kind == Literal::Secret,
        };
        let entry = Entry {
            name: &text[..name],
            value: &text[name..],
            mark,
        };
        block.push(entry, most);
        if kind == Literal::Stored {
            self.store(&text, name, known, malformed);
        }
        self.scratch = text;
        Ok(())
    }

    fn name(&self, index: usize, text: &mut Vec<u8>) -> Result<(u8, bool), BadBlock> {
        if let Some((name, _)) = FIXED.get(index - 1) {
            text.extend_from_slice(name.as_bytes());
            return Ok((canonical(index), false));
        }
        let stored = self.entries.get(index - 1 - FIXED.len());
        let stored = stored.ok_or(BadBlock)?;
        let name = &stored.text[..stored.name];
        text.extend_from_slice(name);
        Ok((stored.known, stored.malformed && !is_name(name)))
    }

    fn store(&mut self, text: &[u8], name: usize, known: u8, malformed: bool) {
        let size = text.len() + ENTRY_BYTES;
        self.shrink(self.max.saturating_sub(size));
        if size > self.max {
            return;
        }
        let mut stored = self.spare.pop().unwrap_or_default();
        stored.clear();
        stored.extend_from_slice(text);
        self.size += size;
        self.entries.push_front(Stored {
            text: stored,
            name,
            known,
            malformed,
        });
    }

    fn resize(&mut self, size: usize) -> Result<(), BadBlock> {
        if size > TABLE_BYTES {
            return Err(BadBlock);
        }
        self.max = size;
        self.shrink(size);
        Ok(())
    }

    fn shrink(&mut self, size: usize) {
        while self.size > size
            && let Some(last) = self.entries.pop_back()
        {
            self.size -= last.size();
            if self.spare.len() < 4 {
                self.spare.push(last.text);
            }
        }
    }
}

/// Names that are looked for by number are found however they came.
fn known_name(name: &[u8]) -> u8 {
    let at = FIXED.iter().position(|(known, _)| known.as_bytes() == name);
    at.map_or(0, |at| canonical(at + 1))
}

/// RFC 7541, section 5.1. No length or index that means anything needs more than 28 bits.
fn integer(bytes: &mut &[u8], prefix: u32) -> Result<usize, BadBlock> {
    let (&first, mut rest) = bytes.split_first().ok_or(BadBlock)?;
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&byte, left) = rest.split_first().ok_or(BadBlock)?;
            rest = left;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return Err(BadBlock);
            }
        }
    }
    *bytes = rest;
    Ok(value)
}

fn string(bytes: &mut &[u8], into: &mut Vec<u8>) -> Result<(), BadBlock> {
    let coded = bytes.first().ok_or(BadBlock)? & 0x80 != 0;
    let length = integer(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(BadBlock)?;
    *bytes = rest;
    if coded {
        return huffman::decode(text, into).map_err(|_| BadBlock);
    }
    into.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap());
        pairs
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    }

    fn read(decoder: &mut Decoder, bytes: &[u8]) -> Vec<String> {
        let block = decoder.decode(bytes, usize::MAX).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = block
            .iter()
            .map(|e| format!("{}={}", text(e.name), text(e.value)));
        fields.collect()
    }

    /// RFC 7541, appendices C.3 and C.4: the same requests, without and with Huffman codes.
    #[test]
    fn the_requests_of_the_rfc_are_read() {
        for [first, second, third] in [
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ] {
            let mut decoder = Decoder::default();
            let common = [
                ":method=GET",
                ":scheme=http",
                ":path=/",
                ":authority=www.example.com",
            ];
            assert_eq!(read(&mut decoder, &hex(first)), common);
            let got = read(&mut decoder, &hex(second));
            assert_eq!(got[..4], common);
            assert_eq!(got[4..], ["cache-control=no-cache"]);
            let got = read(&mut decoder, &hex(third));
            assert_eq!(got[1..3], [":scheme=https", ":path=/index.html"]);
            assert_eq!(got[4], "custom-key=custom-value");
            assert_eq!(decoder.size, 164);
        }
    }

    /// Appendix C.5: a table of 256 bytes, from which entries fall out.
    #[test]
    fn entries_fall_out_of_a_full_table() {
        let mut decoder = Decoder::default();
        let first = hex(
            "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032
             303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        );
        let got = read(&mut decoder, &first);
        assert_eq!(got[0], ":status=302");
        assert_eq!(got[3], "location=https://www.example.com");
        let got = read(&mut decoder, &hex("4803 3330 37c1 c0bf"));
        assert_eq!(got[0], ":status=307");
        assert_eq!(
            (got[1].as_str(), decoder.size),
            ("cache-control=private", 222)
        );
        assert_eq!(decoder.entries.len(), 4);
    }

    #[test]
    fn what_no_table_has_is_refused() {
        for bad in [
            "80",
            "be",
            "7f00",
            "3fe1ff03",
            "20202082",
            "8220",
            "ffffffffffff7f",
            "4005",
            "00",
        ] {
            let got = Decoder::default().decode(&hex(bad), usize::MAX);
            assert!(got.is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_come_as_text_are_known_too() {
        let block = Decoder::default().decode(b"\x00\x05:path\x02/x", usize::MAX);
        assert_eq!(
            block.unwrap().known(super::super::fixed::PATH),
            Some(&b"/x"[..])
        );
    }

    #[test]
    fn text_that_is_no_field_makes_the_head_malformed() {
        for bad in [
            &b"\x00\x01A\x01v"[..],
            b"\x00\x01a\x02v\n",
            b"\x00\x00\x01v",
            b"\x00\x01a\x01 ",
        ] {
            assert!(
                Decoder::default()
                    .decode(bad, usize::MAX)
                    .unwrap()
                    .is_malformed()
            );
        }
        // From the table as well.
        let mut decoder = Decoder::default();
        assert!(
            decoder
                .decode(b"\x40\x01a\x01\r", usize::MAX)
                .unwrap()
                .is_malformed()
        );
        assert!(decoder.decode(b"\xbe", usize::MAX).unwrap().is_malformed());
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut decoder = Decoder::default();
        let mut bomb = b"\x40\x01a\x7f\xa0\x1e".to_vec();
        bomb.extend([b'v'; 127 + 32 + 30 * 128]);
        bomb.extend([0xbe; 10_000]);
        let block = decoder.decode(&bomb, 1 << 14).unwrap();
        assert!(block.is_overflown() && block.bytes() <= 1 << 14);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..5)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                if decoder.decode(&block, 1000).is_err() {
                    break;
                }
                prop_assert!(decoder.size <= decoder.max);
            }
        }
    }
}
