//! Paths and their segments.

use std::borrow::Cow;

/// What stands between the slashes, as it came.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// `None` if the bytes are no UTF-8; a `%` that is no escape stands for itself.
pub(crate) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%').then(|| hex(bytes.get(at + 1..at + 3)?));
        match escape.flatten() {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(pair[0])? * 16 + digit(pair[1])?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn segments_stand_between_slashes() {
        let of = |path| segments(path).collect::<Vec<_>>();
        assert_eq!(of("/a/b%2F/c"), ["a", "b%2F", "c"]);
        assert_eq!(of("/a//"), ["a", "", ""]);
        assert_eq!(of("/"), [""]);
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_without_panic(text in "[%a-f0-9/]{0,20}") {
            let _ = percent_decoded(&text);
        }

        #[test]
        fn escaped_text_comes_back(text in "\\PC{0,20}") {
            let escaped: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
            let decoded = percent_decoded(&escaped);
            prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
        }
    }
}
