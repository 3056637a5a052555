//! The model's name in the first message of a gRPC call, found while the message arrives.
//!
//! Of a field that a message has twice, the first one counts here; whoever calls a model names it once.

use super::json::Progress;

/// Longer names are none.
const LONGEST: usize = 1024;
/// The most fields on the way to a name.
const LEVELS: usize = 4;

/// The text at a path of field numbers, in a whole body.
#[cfg(test)]
pub(crate) fn text_at(body: &[u8], fields: &'static [u32]) -> Option<Vec<u8>> {
    let mut walk = Walk::new(fields);
    walk.feed(body);
    walk.into_value()
}

/// A walk through the first message of a body.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    fields: &'static [u32],
    state: State,
    /// Bytes read of the body.
    at: u64,
    /// Where the message ends, and every message that was entered in it.
    ends: [u64; LEVELS],
    level: usize,
    found: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The five bytes before the message: so many are read.
    Prefix {
        read: u8,
        length: u32,
    },
    Number {
        value: u64,
        shift: u32,
        of: Of,
    },
    Skip(u64),
    Take {
        left: u64,
        taken: Vec<u8>,
    },
    Over,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Tag,
    /// A value that is passed over.
    Value,
    /// The length of a field; with the field's number.
    Length(u32),
}

const TAG: State = State::Number {
    value: 0,
    shift: 0,
    of: Of::Tag,
};

impl Walk {
    /// `fields`: numbers of the fields, from the outermost message to the text; one to four.
    pub(crate) fn new(fields: &'static [u32]) -> Self {
        Self {
            fields,
            state: State::Prefix { read: 0, length: 0 },
            at: 0,
            ends: [0; LEVELS],
            level: 0,
            found: None,
        }
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, part: &[u8]) -> Progress {
        let mut rest = part;
        loop {
            self.leave();
            match (&mut self.state, rest) {
                (State::Over, _) => return Progress::Done,
                (_, []) => return Progress::More,
                (State::Skip(left), _) => {
                    let n = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= n as u64;
                    self.at += n as u64;
                    rest = &rest[n..];
                }
                (State::Take { left, taken }, _) => {
                    let n = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    taken.extend_from_slice(&rest[..n]);
                    *left -= n as u64;
                    self.at += n as u64;
                    rest = &rest[n..];
                }
                (_, [byte, after @ ..]) => {
                    self.at += 1;
                    rest = after;
                    self.step(*byte);
                }
            }
        }
    }

    /// The text, once the walk is over.
    pub(crate) fn into_value(self) -> Option<Vec<u8>> {
        self.found
    }

    /// What ends here, without another byte.
    fn leave(&mut self) {
        match &mut self.state {
            State::Skip(0) => self.state = TAG,
            State::Take { left: 0, taken } => {
                self.found = Some(std::mem::take(taken));
                self.state = State::Over;
            }
            _ => {}
        }
        while self.state == TAG && self.at == self.ends[self.level] {
            match self.level.checked_sub(1) {
                Some(outer) => self.level = outer,
                None => self.state = State::Over,
            }
        }
    }

    fn step(&mut self, byte: u8) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Prefix { read, length } => self.prefix(read, length, byte),
            State::Number { value, shift, of } => self.number(value, shift, of, byte),
            other => other,
        };
    }

    fn prefix(&mut self, read: u8, length: u32, byte: u8) -> State {
        if read == 0 {
            // A compressed message is not looked into.
            return match byte {
                0 => State::Prefix { read: 1, length },
                _ => State::Over,
            };
        }
        let length = (length << 8) | u32::from(byte);
        if read < 4 {
            return State::Prefix {
                read: read + 1,
                length,
            };
        }
        self.ends[0] = self.at + u64::from(length);
        TAG
    }

    fn number(&mut self, value: u64, shift: u32, of: Of, byte: u8) -> State {
        if self.at > self.ends[self.level] || shift > 63 {
            return State::Over;
        }
        let value = value | (u64::from(byte & 0x7f) << shift);
        if byte & 0x80 != 0 {
            return State::Number {
                value,
                shift: shift + 7,
                of,
            };
        }
        match of {
            Of::Value => TAG,
            Of::Tag => self.field(value),
            Of::Length(field) => self.enter(field, value),
        }
    }

    /// After a tag: wire types of the protobuf encoding.
    fn field(&mut self, tag: u64) -> State {
        let Ok(field) = u32::try_from(tag >> 3) else {
            return State::Over;
        };
        let of = match tag & 7 {
            0 => Of::Value,
            1 => return self.skip(8),
            2 => Of::Length(field),
            5 => return self.skip(4),
            _ => return State::Over,
        };
        State::Number {
            value: 0,
            shift: 0,
            of,
        }
    }

    fn skip(&self, length: u64) -> State {
        match self.fits(length) {
            true => State::Skip(length),
            false => State::Over,
        }
    }

    fn fits(&self, length: u64) -> bool {
        let end = self.at.checked_add(length);
        end.is_some_and(|end| end <= self.ends[self.level])
    }

    fn enter(&mut self, field: u32, length: u64) -> State {
        if self.fields.get(self.level) != Some(&field) {
            return self.skip(length);
        }
        if !self.fits(length) {
            return State::Over;
        }
        if self.level + 1 == self.fields.len() {
            let taken = Vec::new();
            return match length <= LONGEST as u64 {
                true => State::Take {
                    left: length,
                    taken,
                },
                false => State::Over,
            };
        }
        self.level += 1;
        self.ends[self.level] = self.at + length;
        TAG
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct Spec {
        #[prost(string, tag = "1")]
        name: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(fixed64, tag = "7")]
        before: u64,
        #[prost(message, optional, tag = "1")]
        spec: Option<Spec>,
        #[prost(bytes = "vec", tag = "9")]
        tensor: Vec<u8>,
        #[prost(string, tag = "3")]
        text: String,
        #[prost(uint64, tag = "20")]
        count: u64,
    }

    fn framed(message: &impl Message) -> Vec<u8> {
        let text = message.encode_to_vec();
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &text].concat()
    }

    #[test]
    fn names_are_found() {
        let plain = Spec { name: "m".into() };
        assert_eq!(text_at(&framed(&plain), &[1]).as_deref(), Some(&b"m"[..]));
        assert_eq!(text_at(&framed(&Spec::default()), &[1]), None);
        let mut compressed = framed(&plain);
        compressed[0] = 1;
        assert_eq!(text_at(&compressed, &[1]), None);
        // A length that leaves its message.
        assert_eq!(text_at(&[0, 0, 0, 0, 3, 10, 9, b'm'], &[1]), None);
        assert_eq!(
            text_at(&[0, 0, 0, 0, 3, 10, 1, b'm'], &[1]).as_deref(),
            Some(&b"m"[..])
        );
    }

    proptest! {
        #[test]
        fn every_field_is_found_however_it_is_cut(
            name in "[a-z/]{1,9}", text in "[a-z]{1,9}", before in any::<u64>(), count in any::<u64>(),
            tensor in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..40,
        ) {
            let request = Request { before, spec: Some(Spec { name: name.clone() }), tensor, text: text.clone(), count };
            let body = framed(&request);
            for (fields, expected) in [(&[1, 1][..], Some(name)), (&[3], Some(text)), (&[1, 2], None), (&[4], None)] {
                let mut walk = Walk::new(fields);
                for part in body.chunks(cut) {
                    walk.feed(part);
                }
                prop_assert_eq!(walk.into_value(), expected.map(String::into_bytes));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), length in any::<u8>()) {
            let body = [&[0, 0, 0, 0, length][..], &bytes].concat();
            for fields in [&[1][..], &[1, 1], &[1, 1, 1], &[2]] {
                text_at(&bytes, fields);
                text_at(&body, fields);
            }
        }
    }
}
