//! Fields 1 and 2 of a protobuf message, read while it streams by.

/// Longest text that is remembered, bytes.
const REMEMBERED: usize = 1024;

/// The two texts, as they have come so far; of several, the last one counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    texts: [Option<Vec<u8>>; 2],
    state: State,
    varint: Varint,
}

#[derive(Clone, Copy, Debug, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Tag,
    /// A number that means nothing here.
    Number,
    /// The length of a field.
    Length {
        number: u64,
    },
    Skipped(u64),
    /// In one of the two.
    Text {
        index: usize,
        left: u64,
    },
    /// This is no protobuf, or one that nobody writes any more.
    Lost,
}

impl Fields {
    /// Fields 1 and 2, where they are there and not too long.
    pub(super) fn texts(&self) -> [Option<&[u8]>; 2] {
        self.texts.each_ref().map(Option::as_deref)
    }

    pub(super) fn feed(&mut self, mut data: &[u8]) {
        while let Some((&byte, rest)) = data.split_first() {
            match self.state {
                State::Lost => return,
                State::Skipped(left) => data = self.skip(left, data),
                State::Text { index, left } => data = self.read(index, left, data),
                State::Tag | State::Number | State::Length { .. } => {
                    data = rest;
                    if let Some(value) = self.number(byte) {
                        self.state = self.after(value);
                    }
                }
            }
        }
    }

    /// The number that ends with this byte.
    fn number(&mut self, byte: u8) -> Option<u64> {
        let Varint { value, bits } = self.varint;
        if bits > 63 {
            self.state = State::Lost;
            return None;
        }
        let value = value | u64::from(byte & 0x7f) << bits;
        if byte < 0x80 {
            self.varint = Varint::default();
            return Some(value);
        }
        self.varint = Varint {
            value,
            bits: bits + 7,
        };
        None
    }

    fn after(&mut self, value: u64) -> State {
        let skipped = |left| match left {
            0 => State::Tag,
            left => State::Skipped(left),
        };
        match self.state {
            State::Length {
                number: number @ (1 | 2),
            } => {
                let index = usize::from(number == 2);
                let fits = value <= REMEMBERED as u64;
                self.texts[index] = fits.then(Vec::new);
                match value {
                    0 => State::Tag,
                    left if fits => State::Text { index, left },
                    left => State::Skipped(left),
                }
            }
            State::Length { .. } => skipped(value),
            State::Tag => match value & 7 {
                0 => State::Number,
                1 => skipped(8),
                2 => State::Length { number: value >> 3 },
                5 => skipped(4),
                _ => State::Lost,
            },
            _ => State::Tag,
        }
    }

    fn skip<'a>(&mut self, left: u64, data: &'a [u8]) -> &'a [u8] {
        let here = part(left, data);
        self.state = match left - here as u64 {
            0 => State::Tag,
            left => State::Skipped(left),
        };
        &data[here..]
    }

    fn read<'a>(&mut self, index: usize, left: u64, data: &'a [u8]) -> &'a [u8] {
        let here = part(left, data);
        if let Some(text) = &mut self.texts[index] {
            text.extend_from_slice(&data[..here]);
        }
        self.state = match left - here as u64 {
            0 => State::Tag,
            left => State::Text { index, left },
        };
        &data[here..]
    }
}

fn part(left: u64, data: &[u8]) -> usize {
    usize::try_from(left).map_or(data.len(), |left| left.min(data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(string, tag = "1")]
        model: String,
        #[prost(string, tag = "2")]
        version: String,
        #[prost(fixed64, tag = "3")]
        a: u64,
        #[prost(fixed32, tag = "4")]
        b: u32,
        #[prost(int64, tag = "500")]
        c: i64,
        #[prost(bytes, tag = "6")]
        d: Vec<u8>,
    }

    fn read(bytes: &[u8], piece: usize) -> [Option<String>; 2] {
        let mut fields = Fields::default();
        for piece in bytes.chunks(piece) {
            fields.feed(piece);
        }
        let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
        fields.texts().map(|found| found.map(text))
    }

    #[test]
    fn the_last_one_counts_and_long_ones_do_not() {
        let field = |number: u8, text: &str| {
            let mut field = vec![number << 3 | 2];
            prost::encode_length_delimiter(text.len(), &mut field).unwrap();
            field.extend_from_slice(text.as_bytes());
            field
        };
        let twice = [field(2, "1"), field(1, "a"), field(1, "b")].concat();
        assert_eq!(read(&twice, 100), [Some("b".into()), Some("1".into())]);
        let long = "x".repeat(REMEMBERED + 1);
        let long = [field(1, "a"), field(1, &long), field(2, "")].concat();
        assert_eq!(read(&long, 100), [None, Some(String::new())]);
        assert_eq!(read(b"\x0b\x0a\x01a", 100), [None, None]);
    }

    proptest! {
        #[test]
        fn names_are_read_from_any_message(
            model in "\\PC{0,20}", version in "\\PC{0,5}", a: u64, b: u32, c: i64,
            d in prop::collection::vec(any::<u8>(), 0..30), piece in 1usize..40,
        ) {
            let request = Request { model, version, a, b, c, d };
            let given = |text: &String| (!text.is_empty()).then(|| text.clone());
            prop_assert_eq!(read(&request.encode_to_vec(), piece), [given(&request.model), given(&request.version)]);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), piece in 1usize..60) {
            let mut fields = Fields::default();
            for piece in bytes.chunks(piece) {
                fields.feed(piece);
            }
        }
    }
}
