//! Strings at the top level of a JSON object are replaced while the text streams by, in any pieces. Nothing is kept but
//! the place in it, so it takes any length, and a text that is no JSON object passes as it is.

use super::splice::Sink;
use bytes::Bytes;
use memchr::memchr2;
use std::ops::Range;

/// Longest replaced string that is remembered, with its quotes and escapes.
const REMEMBERED: usize = 1024;
/// Longest key that is looked for.
const LONGEST_KEY: usize = 16;

/// Replaces the values of some keys, where they are strings. A key that is there several times has each of its values
/// replaced, since parsers differ in which one counts.
#[derive(Clone, Debug)]
pub(crate) struct Strings {
    names: Vec<(&'static str, Bytes)>,
    state: State,
    depth: u64,
    /// The next string is a key of the top level.
    expects_key: bool,
    /// The key that was read last, until its value begins.
    key: Option<usize>,
    /// After the colon of that key.
    value: Option<usize>,
    remembered: Vec<u8>,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing but blanks so far.
    Start,
    Between,
    /// In a string that stays.
    Kept {
        escaped: bool,
    },
    Key(Key),
    /// In a string that was replaced.
    Replaced {
        escaped: bool,
    },
    /// Behind the object, or there is none.
    Done,
}

impl Strings {
    /// `names`: keys, and what their values become: JSON with its quotes.
    pub(super) fn new(names: Vec<(&'static str, Bytes)>) -> Self {
        Self {
            names,
            state: State::Start,
            depth: 0,
            expects_key: false,
            key: None,
            value: None,
            remembered: Vec::new(),
        }
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        *self = Self::new(std::mem::take(&mut self.names));
    }

    /// The string that was replaced last, with its quotes; `None` if there was none or a very long one.
    pub(super) fn replaced(&self) -> Option<&[u8]> {
        let whole = !matches!(self.state, State::Replaced { .. });
        let remembered = Some(&self.remembered[..]);
        remembered.filter(|text| whole && (2..=REMEMBERED).contains(&text.len()))
    }

    /// Takes the part of `data` that is in `range`.
    pub(super) fn feed(&mut self, data: &[u8], range: Range<usize>, out: &mut impl Sink) {
        let Range { start: mut at, end } = range;
        let mut kept = at;
        while at < end {
            match &mut self.state {
                State::Done => at = end,
                State::Start => {
                    self.start(data[at]);
                    at += 1;
                }
                State::Between => {
                    let value = self.value;
                    let begins = self.between(data[at]);
                    if begins && let Some((_, text)) = value.and_then(|at| self.names.get(at)) {
                        out.keep(kept..at);
                        out.add(text);
                        kept = at + 1;
                    }
                    at += 1;
                }
                State::Key(key) => {
                    if key.takes(data[at]) {
                        self.key = self.names.iter().position(|(name, _)| key.is(name));
                        self.state = State::Between;
                    }
                    at += 1;
                }
                State::Kept { escaped } => match end_of_string(&data[at..end], escaped) {
                    Some(length) => {
                        at += length;
                        self.state = State::Between;
                    }
                    None => at = end,
                },
                State::Replaced { escaped } => {
                    let length = end_of_string(&data[at..end], escaped);
                    let rest = length.unwrap_or(end - at);
                    remember(&mut self.remembered, &data[at..at + rest]);
                    at += rest;
                    kept = at;
                    if length.is_some() {
                        self.state = State::Between;
                    }
                }
            }
        }
        out.keep(kept..end);
    }

    fn start(&mut self, byte: u8) {
        match byte {
            // Blanks, and a byte order mark.
            b' ' | b'\t' | b'\n' | b'\r' | 0xef | 0xbb | 0xbf => {}
            b'{' => {
                self.depth = 1;
                self.expects_key = true;
                self.state = State::Between;
            }
            _ => self.state = State::Done,
        }
    }

    /// A byte outside of strings; true if a string begins that is to be replaced.
    fn between(&mut self, byte: u8) -> bool {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => return false,
            b'"' => return self.string(),
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.state = State::Done;
                }
            }
            b':' if self.depth == 1 => {
                self.value = self.key.take();
                return false;
            }
            b',' if self.depth == 1 => self.expects_key = true,
            _ => {}
        }
        self.value = None;
        false
    }

    fn string(&mut self) -> bool {
        if self.depth == 1 && std::mem::take(&mut self.expects_key) {
            self.key = None;
            self.state = State::Key(Key::default());
            return false;
        }
        if self.value.take().is_some() {
            self.remembered.clear();
            self.remembered.push(b'"');
            self.state = State::Replaced { escaped: false };
            return true;
        }
        self.state = State::Kept { escaped: false };
        false
    }
}

/// One byte too many says that it was longer.
fn remember(remembered: &mut Vec<u8>, text: &[u8]) {
    let room = (REMEMBERED + 1).saturating_sub(remembered.len());
    remembered.extend_from_slice(&text[..text.len().min(room)]);
}

/// How many bytes there are up to the closing quote and with it; `escaped`: the first byte follows a backslash.
fn end_of_string(data: &[u8], escaped: &mut bool) -> Option<usize> {
    let mut at = usize::from(std::mem::take(escaped));
    loop {
        let found = at + memchr2(b'"', b'\\', data.get(at..)?)?;
        if data[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
        *escaped = at > data.len();
    }
}

/// A key, unescaped as it is read.
#[derive(Clone, Debug, Default)]
struct Key {
    text: [u8; LONGEST_KEY],
    /// More than fit means that it is none of ours.
    length: usize,
    escape: Escape,
}

#[derive(Clone, Debug, Default)]
enum Escape {
    #[default]
    None,
    Backslash,
    /// After `\u`.
    Hex {
        digits: u32,
        value: u32,
    },
}

impl Key {
    /// True at the closing quote.
    fn takes(&mut self, byte: u8) -> bool {
        match &mut self.escape {
            Escape::None => match byte {
                b'"' => return true,
                b'\\' => self.escape = Escape::Backslash,
                byte => self.push(byte),
            },
            Escape::Backslash if byte == b'u' => {
                self.escape = Escape::Hex {
                    digits: 0,
                    value: 0,
                };
            }
            Escape::Backslash => {
                self.escape = Escape::None;
                // No key of ours has any of the others.
                self.push(if byte == b'/' { byte } else { 0 });
            }
            Escape::Hex { digits, value } => {
                *value = *value << 4 | char::from(byte).to_digit(16).unwrap_or_default();
                *digits += 1;
                if *digits == 4 {
                    let byte = u8::try_from(*value).ok().filter(u8::is_ascii);
                    self.escape = Escape::None;
                    self.push(byte.unwrap_or_default());
                }
            }
        }
        false
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
    }

    fn is(&self, name: &str) -> bool {
        self.text.get(..self.length) == Some(name.as_bytes())
    }
}

#[cfg(test)]
mod tests;
