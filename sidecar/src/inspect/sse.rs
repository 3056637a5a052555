//! Splits a stream of events into events, as the WHATWG says: lines end with CR, LF or both, a blank line ends an event,
//! a byte order mark may come first.

use super::json::{Facts, Scanner, Word};
use memchr::memchr2;

/// One event that had data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its data are `[DONE]`.
    pub(super) done: bool,
    /// Its name is `error`.
    pub(super) named_error: bool,
    /// What its JSON says, if that is looked at.
    pub(super) facts: Facts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// The name of its field, so far.
    Field,
    /// One blank may follow the colon.
    Blank(Field),
    Value(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Name,
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Splitter {
    line: Line,
    field: Word,
    after_cr: bool,
    /// Nothing but a byte order mark has come.
    at_start: bool,
    has_data: bool,
    named_error: bool,
    name: Word,
    data: Word,
    json: Option<Scanner>,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl Splitter {
    /// `looks`: whether events are JSON that matters.
    pub(super) fn new(looks: bool) -> Self {
        Self {
            line: Line::Field,
            field: Word::EMPTY,
            after_cr: false,
            at_start: true,
            has_data: false,
            named_error: false,
            name: Word::EMPTY,
            data: Word::EMPTY,
            json: looks.then(Scanner::default),
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], mut on_event: impl FnMut(Event)) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
            bytes = &bytes[1..];
        }
        while !bytes.is_empty() {
            let end = memchr2(b'\r', b'\n', bytes);
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.part(line);
            bytes = rest;
            if end.is_some() {
                self.end_line(&mut on_event);
                bytes = match bytes {
                    [b'\r'] => {
                        self.after_cr = true;
                        &[]
                    }
                    [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                    [] => &[],
                };
            }
        }
    }

    /// The stream has ended. An event that no blank line ended is one all the same: callers are lenient.
    pub(super) fn finish(mut self) -> Option<Event> {
        let mut last = None;
        self.end_line(&mut |event| last = Some(event));
        self.end_event(&mut |event| last = Some(event));
        last
    }

    /// Bytes of one line.
    fn part(&mut self, mut bytes: &[u8]) {
        if self.line == Line::Field {
            let colon = bytes.iter().position(|&byte| byte == b':');
            self.field.push(&bytes[..colon.unwrap_or(bytes.len())]);
            let Some(colon) = colon else {
                return;
            };
            self.line = Line::Blank(self.begin_value());
            bytes = &bytes[colon + 1..];
        }
        if let Line::Blank(field) = self.line
            && let Some(&byte) = bytes.first()
        {
            self.line = Line::Value(field);
            bytes = &bytes[usize::from(byte == b' ')..];
        }
        match self.line {
            Line::Value(Field::Data) => {
                self.data.push(bytes);
                if let Some(json) = &mut self.json {
                    json.feed(bytes);
                }
            }
            Line::Value(Field::Name) => self.name.push(bytes),
            _ => {}
        }
    }

    /// The name of the line's field is known.
    fn begin_value(&mut self) -> Field {
        let mut name = self.field.text();
        if std::mem::take(&mut self.at_start) {
            name = name.strip_prefix(MARK).unwrap_or(name);
        }
        match name {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b"\n");
                    if let Some(json) = &mut self.json {
                        json.feed(b"\n");
                    }
                }
                Field::Data
            }
            b"event" => {
                self.name.clear();
                Field::Name
            }
            _ => Field::Other,
        }
    }

    fn end_line(&mut self, on_event: &mut impl FnMut(Event)) {
        let line = std::mem::replace(&mut self.line, Line::Field);
        match line {
            Line::Field if self.is_blank() => self.end_event(on_event),
            // A line without a colon is a field without a value.
            Line::Field => {
                let field = self.begin_value();
                self.named_error &= field != Field::Name;
            }
            Line::Blank(Field::Name) | Line::Value(Field::Name) => {
                self.named_error = self.name.text() == b"error";
            }
            _ => {}
        }
        self.field.clear();
        self.at_start = false;
    }

    fn is_blank(&self) -> bool {
        let text = self.field.text();
        let marked = self.at_start && text == MARK;
        self.field.is_empty() || marked
    }

    fn end_event(&mut self, on_event: &mut impl FnMut(Event)) {
        let named_error = std::mem::take(&mut self.named_error);
        if std::mem::take(&mut self.has_data) {
            let json = self.json.as_mut().map(Scanner::take);
            on_event(Event {
                done: self.data.text().trim_ascii_end() == b"[DONE]",
                named_error,
                facts: json.unwrap_or_default(),
            });
        }
        self.data.clear();
    }
}

#[cfg(test)]
mod tests;
