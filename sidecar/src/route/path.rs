//! The model's name in a path of the Open Inference Protocol.

use std::borrow::Cow;

/// Name in `/v2/models/NAME` or `/v2/models/NAME/...`, percent-decoded.
pub(crate) fn model_name(path: &str) -> Option<Cow<'_, str>> {
    let rest = path.strip_prefix("/v2/models/")?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    percent_decoded(name)
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
    fn names_are_found() {
        assert_eq!(model_name("/v2/models/m/infer").as_deref(), Some("m"));
        assert_eq!(model_name("/v2/models/m").as_deref(), Some("m"));
        assert_eq!(
            model_name("/v2/models/meta%2Fllama-3.1%3A8b/versions/2/infer").as_deref(),
            Some("meta/llama-3.1:8b")
        );
        for none in [
            "/v2/models/",
            "/v2/models",
            "/v1/models/m",
            "/",
            "",
            "/v2/models/%ff",
        ] {
            assert_eq!(model_name(none), None, "{none}");
        }
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
