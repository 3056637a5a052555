//! A head or trailers as a list of fields in one buffer, in the order in which they came.

/// The fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    text: Vec<u8>,
    fields: Vec<Field>,
    /// Sizes as `SETTINGS_MAX_HEADER_LIST_SIZE` counts them, of fields that were left out as well.
    size: usize,
    /// There was more than is kept.
    overflown: bool,
    /// Some name or value is none.
    malformed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    start: u32,
    name: u32,
    value: u32,
    mark: Mark,
}

/// What is known of a field besides its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The name's index in the static table, or 0.
    pub(super) known: u8,
    /// It came as an index, so it is likely to come again.
    pub(super) repeated: bool,
    /// It must never be put into a table.
    pub(super) secret: bool,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) mark: Mark,
}

impl Block {
    /// Room for most heads.
    pub(super) fn new() -> Self {
        Self {
            text: Vec::with_capacity(512),
            fields: Vec::with_capacity(16),
            ..Self::default()
        }
    }

    /// Adds a field unless the block would grow beyond `most`.
    pub(super) fn push(&mut self, entry: Entry<'_>, most: usize) {
        self.size += entry.name.len() + entry.value.len() + super::hpack::ENTRY_BYTES;
        if self.size > most {
            self.overflown = true;
            return;
        }
        let start = self.text.len();
        self.text.extend_from_slice(entry.name);
        self.text.extend_from_slice(entry.value);
        self.fields.push(Field {
            start: start as u32,
            name: entry.name.len() as u32,
            value: entry.value.len() as u32,
            mark: entry.mark,
        });
    }

    #[cfg(test)]
    fn add(&mut self, name: &str, value: &[u8]) {
        let mark = Mark::default();
        let name = name.as_bytes();
        self.push(Entry { name, value, mark }, usize::MAX);
    }

    pub(super) fn mark_malformed(&mut self) {
        self.malformed = true;
    }

    pub(super) fn is_malformed(&self) -> bool {
        self.malformed
    }

    pub(super) fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Bytes of names and values, with what HTTP/1.1 puts between them.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + 4 * self.fields.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.fields.iter().map(|field| {
            let (name, rest) = self.text[field.start as usize..].split_at(field.name as usize);
            Entry {
                name,
                value: &rest[..field.value as usize],
                mark: field.mark,
            }
        })
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        self.iter().find(|e| e.name == name).map(|e| e.value)
    }

    /// The first value of a name of the static table. Peers may send such a name as text.
    pub(super) fn known(&self, known: u8) -> Option<&[u8]> {
        self.iter()
            .find(|entry| entry.mark.known == known)
            .map(|entry| entry.value)
    }
}

/// Whether bytes are a field's name as HTTP/2 sends it: a token in lower case, or a pseudo-header.
pub(super) fn is_name(name: &[u8]) -> bool {
    let name = name.strip_prefix(b":").unwrap_or(name);
    let is_token = |&byte: &u8| {
        matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*')
            || matches!(byte, b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
    };
    !name.is_empty() && name.iter().all(is_token)
}

/// Whether bytes are a field's value: no control characters but tabs, no blanks around it (RFC 9113, section 8.2.1).
pub(super) fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first())
        && !is_blank(value.last())
        && !value
            .iter()
            .any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_text() {
        let mut block = Block::new();
        block.add("a", b"1");
        block.add("b", b"");
        block.add("a", b"2");
        let got: Vec<_> = block.iter().map(|e| (e.name, e.value)).collect();
        assert_eq!(got, [(&b"a"[..], &b"1"[..]), (b"b", b""), (b"a", b"2")]);
        assert_eq!((block.get("a"), block.get("c")), (Some(&b"1"[..]), None));
        assert_eq!(block.bytes(), 5 + 12);
    }

    #[test]
    fn too_much_is_left_out_and_remembered() {
        let mut block = Block::new();
        let entry = Entry {
            name: b"n",
            value: &[b'v'; 100],
            mark: Mark::default(),
        };
        block.push(entry, 200);
        assert!(!block.is_overflown());
        block.push(entry, 200);
        assert!(block.is_overflown());
        assert_eq!(block.iter().count(), 1);
    }

    #[test]
    fn names_and_values_are_checked() {
        for name in ["te", ":path", "x-a_b.c"] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for name in ["", ":", "Te", "a b", "a:b", "\u{e4}", "a\n"] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
        assert!(is_value(b"a\tb \xff") && is_value(b""));
        for value in [&b" a"[..], b"a ", b"a\r", b"a\nb", b"\0", b"a\x7f"] {
            assert!(!is_value(value), "{value:?}");
        }
    }
}
