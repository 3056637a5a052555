//! JSON pointers (RFC 6901).

use std::str::FromStr;
use thiserror::Error;

/// Deeper pointers are refused.
const DEEPEST: usize = 32;

/// Where in a JSON document a value is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<Token>);

/// One step: a member of an object, or an element of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    name: Box<str>,
    index: Option<u64>,
}

/// The text is no pointer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is no JSON pointer (RFC 6901); write such as \"/user/id\" or \"/inputs/0/name\", with \"~1\" for \"/\" and \"~0\" for \"~\" in a name"
)]
pub(crate) struct PointerError(String);

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let bad = || PointerError(text.to_owned());
        if text.is_empty() {
            return Ok(Self::default());
        }
        let rest = text.strip_prefix('/').ok_or_else(bad)?;
        let tokens: Option<Vec<Token>> = rest.split('/').map(token).collect();
        let tokens = tokens.ok_or_else(bad)?;
        if tokens.len() > DEEPEST {
            return Err(bad());
        }
        Ok(Self(tokens))
    }
}

fn token(text: &str) -> Option<Token> {
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '~' => name.push(match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            }),
            c => name.push(c),
        }
    }
    let digits = name == "0" || (!name.starts_with('0') && !name.is_empty());
    let digits = digits && name.bytes().all(|byte| byte.is_ascii_digit());
    Some(Token {
        index: digits.then(|| name.parse().ok()).flatten(),
        name: name.into(),
    })
}

impl Pointer {
    /// To one member of the document's object.
    pub(crate) fn to_member(name: &str) -> Self {
        Self(vec![Token {
            name: name.into(),
            index: None,
        }])
    }

    /// Steps.
    pub(crate) fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether a step goes to this member of an object; `raw` is the name between its quotes.
    pub(crate) fn goes_to_member(&self, step: usize, raw: &[u8]) -> bool {
        let Some(token) = self.0.get(step) else {
            return false;
        };
        if !raw.contains(&b'\\') {
            return raw == token.name.as_bytes();
        }
        super::json::unescaped(raw).is_some_and(|name| *name == *token.name)
    }

    /// Whether a step can go into an array.
    pub(crate) fn enters_array(&self, step: usize) -> bool {
        let token = self.0.get(step);
        token.is_some_and(|token| token.index.is_some())
    }

    /// Whether a step goes to this element of an array.
    pub(crate) fn goes_to_element(&self, step: usize, index: u64) -> bool {
        let token = self.0.get(step);
        token.is_some_and(|token| token.index == Some(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        let Pointer(tokens) = text.parse().unwrap();
        tokens.iter().map(|token| token.name.to_string()).collect()
    }

    #[test]
    fn pointers_are_read() {
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names("/"), [""]);
        assert_eq!(names("/user/id"), ["user", "id"]);
        assert_eq!(names("/a~1b/~0/~01"), ["a/b", "~", "~1"]);
        let pointer: Pointer = "/inputs/10/01".parse().unwrap();
        assert!(pointer.goes_to_element(1, 10) && pointer.goes_to_member(1, b"10"));
        assert!(!pointer.goes_to_element(2, 1) && pointer.goes_to_member(2, b"01"));
        assert!(pointer.goes_to_member(0, br"\u0069nputs"));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for bad in ["user", "/a~", "/a~2", "a/b", "#/a"] {
            let error = bad.parse::<Pointer>().unwrap_err();
            assert!(error.to_string().contains("RFC 6901"), "{error}");
        }
        assert!("/a".repeat(DEEPEST + 1).parse::<Pointer>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[/~01a-c]{0,12}") {
            let _ = text.parse::<Pointer>();
        }
    }
}
