//! Text and its escapes (RFC 8259, section 7).

use std::borrow::Cow;

/// How far an escape has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    No,
    Backslash,
    /// So many hexadecimal digits are to come.
    Digits(u8),
}

impl Escape {
    /// `None` if the byte must not be in a text.
    pub(super) fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::No, b'\\') => Some(Self::Backslash),
            (Self::No, 0x20..) => Some(Self::No),
            (Self::Backslash, b'u') => Some(Self::Digits(4)),
            (Self::Backslash, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                Some(Self::No)
            }
            (Self::Digits(left), byte) if byte.is_ascii_hexdigit() => Some(match left {
                1 => Self::No,
                left => Self::Digits(left - 1),
            }),
            _ => None,
        }
    }
}

/// What a text between quotes means; `None` if it is no UTF-8 or has a broken escape.
pub(crate) fn unescaped(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, after) = escaped(rest.get(at + 1..)?)?;
        out.push(c);
        rest = after;
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// The character that follows a backslash, and what comes after it.
fn escaped(text: &str) -> Option<(char, &str)> {
    let rest = text.get(1..)?;
    Some(match text.as_bytes().first()? {
        b'u' => return by_number(rest),
        b'b' => ('\u{8}', rest),
        b'f' => ('\u{c}', rest),
        b'n' => ('\n', rest),
        b'r' => ('\r', rest),
        b't' => ('\t', rest),
        b'"' => ('"', rest),
        b'\\' => ('\\', rest),
        b'/' => ('/', rest),
        _ => return None,
    })
}

/// Four digits, or twice four for what UTF-16 has in two units.
fn by_number(text: &str) -> Option<(char, &str)> {
    let (first, rest) = unit(text)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((c, rest));
    }
    let (second, rest) = unit(rest.strip_prefix("\\u")?)?;
    let mut decoded = char::decode_utf16([first, second]);
    let c = decoded.next()?.ok()?;
    decoded.next().is_none().then_some((c, rest))
}

fn unit(text: &str) -> Option<(u16, &str)> {
    let digits = text.get(..4)?;
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u16::from_str_radix(digits, 16).ok();
    value
        .filter(|_| hexadecimal)
        .map(|value| (value, &text[4..]))
}
