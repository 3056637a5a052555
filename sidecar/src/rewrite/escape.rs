//! Names as the protocols write them.

use bytes::{BufMut as _, Bytes, BytesMut};
use std::fmt::Write as _;

/// A name as one segment of a path: exactly what RFC 3986 does not allow there is percent-encoded.
pub(super) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A text as JSON, with its quotes.
pub(super) fn json(text: &str) -> Bytes {
    serde_json::Value::from(text).to_string().into()
}

/// Fields 1 and 2, both strings: the name and the version in a message of the Open Inference Protocol.
pub(super) fn oip_fields(model: Option<&str>, version: Option<&str>) -> Bytes {
    let mut out = BytesMut::new();
    for (number, text) in [(1, model), (2, version)] {
        if let Some(text) = text {
            delimited(&mut out, number, text.as_bytes());
        }
    }
    out.freeze()
}

/// Field 1, a `ModelSpec` of TensorFlow Serving: 1 = name, 2 = version (a message around an int64), 4 = label.
pub(super) fn tf_fields(model: Option<&str>, version: Option<i64>, label: Option<&str>) -> Bytes {
    let mut spec = BytesMut::new();
    if let Some(model) = model {
        delimited(&mut spec, 1, model.as_bytes());
    }
    if let Some(version) = version {
        let mut number = BytesMut::from(&[0x08][..]);
        varint(&mut number, version.cast_unsigned());
        delimited(&mut spec, 2, &number);
    }
    if let Some(label) = label {
        delimited(&mut spec, 4, label.as_bytes());
    }
    let mut out = BytesMut::new();
    if !spec.is_empty() {
        delimited(&mut out, 1, &spec);
    }
    out.freeze()
}

/// A field of protobuf's wire type 2.
pub(super) fn delimited(out: &mut BytesMut, number: u64, content: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::path::percent_decoded;
    use proptest::prelude::*;

    #[test]
    fn only_what_must_be_is_escaped() {
        assert_eq!(segment("llama-3.1"), "llama-3.1");
        assert_eq!(segment("meta/llama:8b@x"), "meta%2Fllama:8b@x");
        assert_eq!(segment("a?b#c%d e"), "a%3Fb%23c%25d%20e");
        assert_eq!(segment("é"), "%C3%A9");
        assert_eq!(json("a\"\\\n/é"), r#""a\"\\\n/é""#);
    }

    #[test]
    fn fields_are_as_protobuf_writes_them() {
        assert_eq!(
            oip_fields(Some("m"), Some("22")),
            &b"\x0a\x01m\x12\x0222"[..]
        );
        assert_eq!(
            tf_fields(Some("m"), Some(300), None),
            &b"\x0a\x08\x0a\x01m\x12\x03\x08\xac\x02"[..]
        );
        assert_eq!(tf_fields(None, None, Some("x")), &b"\x0a\x03\x22\x01x"[..]);
        assert_eq!(tf_fields(None, None, None), &b""[..]);
    }

    proptest! {
        #[test]
        fn a_segment_is_a_path_and_comes_back(name in "\\PC{1,30}") {
            let segment = segment(&name);
            let path = format!("/v2/models/{segment}/infer");
            let uri: http::Uri = path.parse().unwrap();
            prop_assert_eq!(uri.path(), &path);
            let decoded = percent_decoded(&segment);
            prop_assert_eq!(decoded.as_deref(), Some(name.as_str()));
        }
    }
}
