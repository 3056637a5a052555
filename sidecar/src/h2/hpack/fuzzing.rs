//! What the fuzz targets ask of compressed heads: what the plainest of readers makes of them, bit by bit.

use super::fixed::FIXED;
use super::{Decoder, ENTRY_BYTES, Encoder, TABLE_BYTES, huffman};
use crate::h2::block::{Block, Entry, is_name, is_value};
use std::sync::LazyLock;

/// A block, and the bound of our table before it is passed on.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Piece<'a> {
    pub(in crate::h2) block: &'a [u8],
    pub(in crate::h2) resize: Option<usize>,
}

/// Blocks of one connection: they say what the plainest of readers finds, and are read alike when they are passed on.
pub(in crate::h2) fn blocks(most: usize, pieces: &[Piece<'_>]) {
    let (mut decoder, mut plain) = (Decoder::default(), Plain::default());
    let (mut encoder, mut other) = (Encoder::default(), Decoder::default());
    for piece in pieces {
        let (read, expected) = (decoder.decode(piece.block, most), plain.block(piece.block));
        assert_eq!(read.is_ok(), expected.is_some());
        let (Ok(read), Some(expected)) = (read, expected) else {
            return;
        };
        assert_eq!(decoder.table_bytes(), plain.size());
        same(&read, &expected, most);
        if let Some(bytes) = piece.resize {
            encoder.resize(bytes);
        }
        let mut out = Vec::new();
        encoder.begin(&mut out);
        read.iter().for_each(|entry| encoder.field(&mut out, entry));
        let again = other.decode(&out, usize::MAX);
        let again = again.expect("what we write is a block");
        assert!(other.table_bytes() <= TABLE_BYTES.min(piece.resize.unwrap_or(TABLE_BYTES)));
        let text = |block: &Block| block.iter().map(owned).collect::<Vec<_>>();
        assert_eq!(text(&read), text(&again));
    }
}

/// Any text comes back from its Huffman code, and no text has two.
pub(in crate::h2) fn coded(bytes: &[u8]) {
    let mut text = Vec::new();
    let read = huffman::decode(&encode(bytes), &mut text);
    assert!(read.is_ok() && text == bytes);
    text.clear();
    let read = huffman::decode(bytes, &mut text);
    if read.is_ok() {
        assert_eq!(encode(&text), bytes);
    }
    assert_eq!(read.ok().map(|()| text), plain_text(bytes));
}

/// Name, value, and whether it must never be put into a table.
type Field = (Vec<u8>, Vec<u8>, bool);

fn owned(entry: Entry<'_>) -> Field {
    (entry.name.to_vec(), entry.value.to_vec(), entry.mark.secret)
}

fn size((name, value, _): &Field) -> usize {
    name.len() + value.len() + ENTRY_BYTES
}

/// A block has the fields that fit into `most` bytes, and says whether there were others, and whether any is none.
fn same(block: &Block, expected: &[Field], most: usize) {
    let sizes = expected.iter().scan(0, |sum, field| {
        *sum += size(field);
        Some(*sum)
    });
    let kept = &expected[..sizes.take_while(|&bytes| bytes <= most).count()];
    let read: Vec<_> = block.iter().map(owned).collect();
    assert_eq!(read, kept);
    assert_eq!(block.is_overflown(), kept.len() < expected.len());
    let malformed = |(name, value, _): &Field| !is_name(name) || !is_value(value);
    assert_eq!(block.is_malformed(), expected.iter().any(malformed));
}

#[derive(Default)]
struct Plain {
    /// The newest first.
    table: Vec<Field>,
    max: Option<usize>,
}

impl Plain {
    fn size(&self) -> usize {
        self.table.iter().map(size).sum()
    }

    fn shrink(&mut self, bytes: usize) {
        while self.size() > bytes {
            self.table.pop();
        }
    }

    fn block(&mut self, mut rest: &[u8]) -> Option<Vec<Field>> {
        let mut sizes = 0;
        while let Some(0x20..0x40) = rest.first() {
            sizes += 1;
            let max = integer(&mut rest, 5).filter(|&max| max <= TABLE_BYTES && sizes <= 2)?;
            self.max = Some(max);
            self.shrink(max);
        }
        let mut fields = Vec::new();
        while let Some(&first) = rest.first() {
            let (prefix, stored, secret) = match first {
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    let (name, value, _) = self.field(index)?;
                    fields.push((name, value, false));
                    continue;
                }
                0x40.. => (6, true, false),
                0x20.. => return None,
                _ => (4, false, first & 0x10 != 0),
            };
            let name = match integer(&mut rest, prefix)? {
                0 => text(&mut rest)?,
                index => self.field(index)?.0,
            };
            let field = (name, text(&mut rest)?, secret);
            if stored {
                let max = self.max.unwrap_or(TABLE_BYTES);
                self.table.insert(0, field.clone());
                self.shrink(max);
            }
            fields.push(field);
        }
        Some(fields)
    }

    fn field(&self, index: usize) -> Option<Field> {
        let at = index.checked_sub(1)?;
        let owned = |(name, value): &(&str, &str)| {
            (name.as_bytes().to_vec(), value.as_bytes().to_vec(), false)
        };
        let fixed = FIXED.get(at).map(owned);
        fixed.or_else(|| self.table.get(at.checked_sub(FIXED.len())?).cloned())
    }
}

/// Four bytes after the first are enough for everything that we read.
fn integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let (&first, mut after) = rest.split_first()?;
    let most = (1 << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        let length = after.iter().take(4).position(|&byte| byte < 0x80)? + 1;
        let (digits, others) = after.split_at(length);
        let digits = digits.iter().rev();
        value += digits.fold(0, |sum, &byte| sum * 128 + usize::from(byte & 0x7f));
        after = others;
    }
    *rest = after;
    Some(value)
}

fn text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let coded = *rest.first()? >= 0x80;
    let length = integer(rest, 7)?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    match coded {
        true => plain_text(text),
        false => Some(text.to_vec()),
    }
}

/// Bit by bit.
fn plain_text(coded: &[u8]) -> Option<Vec<u8>> {
    let bits = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let (mut text, mut at, mut read) = (Vec::new(), 0, Vec::new());
    for bit in bits {
        read.push(bit);
        match CODES.nodes[at][usize::from(bit)] {
            Next::Node(next) => at = next,
            Next::Symbol(symbol) => {
                text.push(symbol);
                (at, read) = (0, Vec::new());
            }
            Next::None => return None,
        }
    }
    (read.len() < 8 && !read.contains(&0)).then_some(text)
}

/// A text in Huffman codes.
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let bit = |&byte: &u8| {
        let (code, length) = CODES.codes[usize::from(byte)];
        (0..length).rev().map(move |at| code >> at & 1 == 1)
    };
    let bits: Vec<bool> = text.iter().flat_map(bit).collect();
    let byte = |bits: &[bool]| {
        let ones = [true; 8];
        let padded = bits.iter().chain(&ones[bits.len()..]);
        padded.fold(0, |byte, &bit| byte << 1 | u8::from(bit))
    };
    bits.chunks(8).map(byte).collect()
}

/// Codes with their lengths, by symbol, and the tree that they are.
struct Codes {
    codes: [(u32, u32); 256],
    nodes: Vec<[Next; 2]>,
}

#[derive(Clone, Copy)]
enum Next {
    Node(usize),
    Symbol(u8),
    None,
}

/// The codes of one length follow each other, the shortest first.
static CODES: LazyLock<Codes> = LazyLock::new(|| {
    let mut symbols: Vec<u8> = (0..=255).collect();
    symbols.sort_by_key(|&symbol| huffman::LENGTHS[usize::from(symbol)]);
    let mut codes = Codes {
        codes: [(0, 0); 256],
        nodes: vec![[Next::None; 2]],
    };
    let (mut code, mut before) = (0, 0);
    for symbol in symbols {
        let length = u32::from(huffman::LENGTHS[usize::from(symbol)]);
        code <<= length - before;
        before = length;
        codes.codes[usize::from(symbol)] = (code, length);
        codes.grow(code, length, symbol);
        code += 1;
    }
    codes
});

impl Codes {
    fn grow(&mut self, code: u32, length: u32, symbol: u8) {
        let mut node = 0;
        for at in (1..length).rev() {
            let bit = (code >> at & 1) as usize;
            node = match self.nodes[node][bit] {
                Next::Node(next) => next,
                _ => {
                    let next = self.nodes.len();
                    self.nodes.push([Next::None; 2]);
                    self.nodes[node][bit] = Next::Node(next);
                    next
                }
            };
        }
        self.nodes[node][(code & 1) as usize] = Next::Symbol(symbol);
    }
}
