//! One value of a JSON document (RFC 8259), found while the document arrives: nothing is built but the value, and nothing
//! is read twice, however the document is cut into parts.
//!
//! Strings, integers and truth values count. An integer is text, as it stands in the document: `7` and `7.0` are two
//! things, and the second one is none. Of a name that an object has twice, the first one counts. Whatever stands before
//! the value must be JSON; what comes after it is not looked at.

mod number;
mod text;

pub(crate) use text::unescaped;

use super::pointer::Pointer;
use number::Number;
use std::borrow::Cow;
use text::Escape;

/// Deeper documents are not looked into.
const DEEPEST: usize = 128;

/// The value at a pointer, in a whole document.
#[cfg(test)]
pub(crate) fn key_at(body: &[u8], pointer: &Pointer) -> Option<Vec<u8>> {
    let mut search = Search::default();
    match search.feed(pointer, body) {
        Progress::More => search.finish(),
        Progress::Done => search.into_value(),
    }
}

/// Whether a search wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    /// It has the value, or knows that there is none.
    Done,
}

/// A search under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    state: State,
    /// Kinds of the open containers, the innermost in the lowest bit: 1 is an object.
    kinds: u128,
    depth: usize,
    /// The pointer goes through so many of the open containers; the others are passed over.
    live: usize,
    /// The value that begins next, or the container that it opens, is where the pointer goes.
    on_path: OnPath,
    /// Position in the innermost container on the path.
    index: u64,
    taking: Vec<u8>,
    found: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OnPath(bool);

impl Default for OnPath {
    /// Every pointer goes through the document itself.
    fn default() -> Self {
        Self(true)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A value, of an array maybe its end.
    #[default]
    Value,
    FirstElement,
    /// A member's name, of an object maybe its end.
    FirstName,
    Name,
    Colon,
    /// After a value: a comma or an end.
    Next,
    Text(Escape, Use),
    Number(Number, Use),
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8], Use),
    Over,
}

/// What is done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Pass,
    /// It is a name on the path.
    Compare,
    /// A name elsewhere.
    PassName,
    /// It is what is searched.
    Take,
}

impl Search {
    /// Reads on.
    pub(crate) fn feed(&mut self, pointer: &Pointer, part: &[u8]) -> Progress {
        let mut rest = part;
        while self.state != State::Over {
            if let State::Text(Escape::No, using) = self.state {
                rest = self.plain_text(rest, using);
            }
            let Some((&byte, after)) = rest.split_first() else {
                return Progress::More;
            };
            rest = after;
            self.step(pointer, byte);
        }
        Progress::Done
    }

    /// The document has ended; only a number may still be open.
    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        if let State::Number(number, Use::Take) = self.state
            && number.is_integer()
        {
            return Some(self.taking);
        }
        self.found.take()
    }

    /// The value, once the search is done.
    pub(crate) fn into_value(self) -> Option<Vec<u8>> {
        self.found
    }

    /// The fast way through text without escapes.
    fn plain_text<'a>(&mut self, rest: &'a [u8], using: Use) -> &'a [u8] {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        if matches!(using, Use::Compare | Use::Take) {
            self.taking.extend_from_slice(&rest[..plain]);
        }
        &rest[plain..]
    }

    fn step(&mut self, pointer: &Pointer, byte: u8) {
        match self.state {
            State::Text(escape, using) => return self.text(pointer, escape, using, byte),
            State::Number(number, using) => return self.number(pointer, number, using, byte),
            State::Word(rest, using) => return self.word(rest, using, byte),
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => return,
            _ => {}
        }
        match (self.state, byte) {
            (State::FirstElement, b']') | (State::FirstName, b'}') => self.close(),
            (State::Value | State::FirstElement, _) => self.begin(pointer, byte),
            (State::FirstName | State::Name, b'"') => {
                let using = match self.is_live() {
                    true => Use::Compare,
                    false => Use::PassName,
                };
                self.taking.clear();
                self.state = State::Text(Escape::No, using);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Next, _) => self.next(pointer, byte),
            _ => self.give_up(),
        }
    }

    fn is_live(&self) -> bool {
        self.live == self.depth
    }

    fn in_object(&self) -> bool {
        self.kinds & 1 == 1
    }

    /// A value begins.
    fn begin(&mut self, pointer: &Pointer, byte: u8) {
        let on_path = std::mem::replace(&mut self.on_path, OnPath(false)).0;
        let wanted = on_path && self.depth == pointer.depth();
        if wanted {
            self.taking.clear();
        }
        let using = match wanted {
            true => Use::Take,
            false => Use::Pass,
        };
        let is_container = matches!(byte, b'{' | b'[');
        if on_path && wanted == is_container {
            // A container is no value, and nothing else has a way further.
            return self.give_up();
        }
        match byte {
            b'{' | b'[' => self.open(pointer, byte == b'{', on_path),
            b'"' => self.state = State::Text(Escape::No, using),
            b't' => self.begin_word(b"true", using),
            b'f' => self.begin_word(b"false", using),
            b'n' if wanted => self.give_up(),
            b'n' => self.begin_word(b"null", using),
            _ => match Number::begin(byte) {
                Some(number) => {
                    self.take(using, byte);
                    self.state = State::Number(number, using);
                }
                None => self.give_up(),
            },
        }
    }

    fn begin_word(&mut self, word: &'static [u8], using: Use) {
        if using == Use::Take {
            self.taking.extend_from_slice(word);
        }
        self.state = State::Word(&word[1..], using);
    }

    fn open(&mut self, pointer: &Pointer, object: bool, on_path: bool) {
        if self.depth == DEEPEST {
            return self.give_up();
        }
        self.depth += 1;
        self.kinds = (self.kinds << 1) | u128::from(object);
        if on_path {
            if !object && !pointer.enters_array(self.depth - 1) {
                return self.give_up();
            }
            self.live = self.depth;
            self.index = 0;
        }
        if object {
            self.state = State::FirstName;
        } else {
            self.on_path = OnPath(on_path && pointer.goes_to_element(self.depth - 1, 0));
            self.state = State::FirstElement;
        }
    }

    /// A container ends. If it was on the path, its value is not there.
    fn close(&mut self) {
        if self.is_live() {
            return self.give_up();
        }
        self.depth -= 1;
        self.kinds >>= 1;
        self.on_path = OnPath(false);
        self.state = State::Next;
    }

    fn next(&mut self, pointer: &Pointer, byte: u8) {
        match (byte, self.in_object()) {
            _ if self.depth == 0 => self.give_up(),
            (b'}', true) | (b']', false) => self.close(),
            (b',', true) => self.state = State::Name,
            (b',', false) => {
                if self.is_live() {
                    self.index += 1;
                    let wanted = pointer.goes_to_element(self.depth - 1, self.index);
                    self.on_path = OnPath(wanted);
                }
                self.state = State::Value;
            }
            _ => self.give_up(),
        }
    }

    fn text(&mut self, pointer: &Pointer, escape: Escape, using: Use, byte: u8) {
        if escape == Escape::No && byte == b'"' {
            return self.end_of_text(pointer, using);
        }
        match escape.step(byte) {
            Some(escape) => {
                self.take(using, byte);
                self.state = State::Text(escape, using);
            }
            None => self.give_up(),
        }
    }

    fn end_of_text(&mut self, pointer: &Pointer, using: Use) {
        match using {
            Use::Pass => self.state = State::Next,
            Use::PassName => self.state = State::Colon,
            Use::Compare => {
                let wanted = pointer.goes_to_member(self.depth - 1, &self.taking);
                self.on_path = OnPath(wanted);
                self.state = State::Colon;
            }
            Use::Take => {
                let taken = std::mem::take(&mut self.taking);
                self.found = match unescaped(&taken) {
                    Some(Cow::Borrowed(_)) => Some(taken),
                    Some(Cow::Owned(text)) => Some(text.into_bytes()),
                    None => None,
                };
                self.state = State::Over;
            }
        }
    }

    fn number(&mut self, pointer: &Pointer, number: Number, using: Use, byte: u8) {
        if let Some(number) = number.step(byte) {
            self.take(using, byte);
            self.state = State::Number(number, using);
            return;
        }
        let ends = matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}');
        if !(number.is_whole() && ends) {
            return self.give_up();
        }
        if using == Use::Take {
            let taken = std::mem::take(&mut self.taking);
            self.found = number.is_integer().then_some(taken);
            self.state = State::Over;
            return;
        }
        self.state = State::Next;
        self.step(pointer, byte);
    }

    fn word(&mut self, rest: &'static [u8], using: Use, byte: u8) {
        match rest {
            [expected, rest @ ..] if *expected == byte => match (rest, using) {
                ([], Use::Take) => {
                    self.found = Some(std::mem::take(&mut self.taking));
                    self.state = State::Over;
                }
                ([], _) => self.state = State::Next,
                _ => self.state = State::Word(rest, using),
            },
            _ => self.give_up(),
        }
    }

    fn take(&mut self, using: Use, byte: u8) {
        if matches!(using, Use::Compare | Use::Take) {
            self.taking.push(byte);
        }
    }

    fn give_up(&mut self) {
        self.found = None;
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests;
