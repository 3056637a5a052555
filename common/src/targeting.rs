//! What a targeting rule asks of a header's or a cookie's value, the same in plans and in a sidecar's own file.

use regex::bytes::{Regex, RegexBuilder};
use std::fmt;

/// Longest text of a rule, bytes.
pub const LONGEST: usize = 256;
/// Most values of one rule.
pub const MOST_VALUES: usize = 1000;
/// Most rules of one plan.
pub const MOST_RULES: usize = 100;
/// Memory that one compiled expression may take, bytes.
const LARGEST: usize = 1 << 18;

/// A test of a value, compiled once.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The whole value.
    Equals(Box<[u8]>),
    /// One of several whole values, sorted.
    OneOf(Box<[Box<[u8]>]>),
    /// What it begins with.
    Prefix(Box<[u8]>),
    /// An expression that fits somewhere in it.
    Regex(Box<Regex>),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// # Errors
    /// If the text is empty or too long.
    pub fn equals(text: &str) -> Result<Self, PatternError> {
        bounded(text).map(Self::Equals)
    }

    /// # Errors
    /// If there is no value, too many, or one that is empty or too long.
    pub fn one_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        let values: Result<Vec<_>, _> = values.into_iter().map(bounded).collect();
        let mut values = values?;
        if values.is_empty() || values.len() > MOST_VALUES {
            let what = format!("{} values; write 1 to {MOST_VALUES}", values.len());
            return Err(PatternError(what));
        }
        values.sort_unstable();
        Ok(Self::OneOf(values.into()))
    }

    /// # Errors
    /// If the text is empty or too long.
    pub fn prefix(text: &str) -> Result<Self, PatternError> {
        bounded(text).map(Self::Prefix)
    }

    /// # Errors
    /// If the text is no expression, or one that takes too much memory.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        bounded(text)?;
        let regex = RegexBuilder::new(text).size_limit(LARGEST).build();
        let regex = regex.map_err(|error| {
            // The last line says what is wrong; those before it draw an arrow.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default();
            PatternError(format!(
                "no regular expression: {}",
                why.trim_start_matches("error: ")
            ))
        })?;
        Ok(Self::Regex(Box::new(regex)))
    }

    /// Whether a value passes.
    #[must_use]
    pub fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Equals(text) => value == &**text,
            Self::OneOf(values) => values.binary_search_by(|text| (**text).cmp(value)).is_ok(),
            Self::Prefix(text) => value.starts_with(text),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

fn bounded(text: &str) -> Result<Box<[u8]>, PatternError> {
    match text.len() {
        0 => Err(PatternError("is empty; write what the value is".to_owned())),
        1..=LONGEST => Ok(text.as_bytes().into()),
        n => Err(PatternError(format!("{n} bytes long; at most {LONGEST}"))),
    }
}

/// What is wrong with the name of a header or a cookie; `None` if nothing is.
#[must_use]
pub fn wrong_name(name: &str) -> Option<String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() {
        return Some("missing; write a name such as x-beta".to_owned());
    }
    if name.len() > 128 || !name.chars().all(token) {
        let shown: String = name
            .chars()
            .take(60)
            .flat_map(char::escape_default)
            .collect();
        return Some(format!(
            "\"{shown}\" is no name; letters, digits and -_. at most 128"
        ));
    }
    let ours = name
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-serinus-"));
    ours.then(|| {
        format!("{name} is stripped from requests; use a name of your own, such as x-beta")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_tested() {
        let fits = |pattern: Result<Pattern, PatternError>, value: &str| {
            pattern.unwrap().fits(value.as_bytes())
        };
        assert!(fits(Pattern::equals("1"), "1") && !fits(Pattern::equals("1"), "11"));
        assert!(fits(Pattern::prefix("a"), "ab") && !fits(Pattern::prefix("a"), "ba"));
        assert!(fits(Pattern::regex("^v[0-9]+$"), "v12"));
        assert!(fits(Pattern::regex("b"), "abc") && !fits(Pattern::regex("^b"), "abc"));
        assert!(fits(Pattern::one_of(["b", "a"]), "a") && !fits(Pattern::one_of(["b", "a"]), "c"));
        assert!(
            Pattern::regex("(?i)\u{c9}")
                .unwrap()
                .fits("\u{e9}".as_bytes())
        );
        // No UTF-8: still a value.
        assert!(Pattern::regex("(?-u)^\\xff").unwrap().fits(b"\xff"));
    }

    #[test]
    fn what_cannot_be_a_pattern_is_refused() {
        let why = |pattern: Result<Pattern, PatternError>| pattern.unwrap_err().to_string();
        assert!(why(Pattern::equals("")).starts_with("is empty"));
        assert!(why(Pattern::prefix(&"a".repeat(257))).starts_with("257 bytes long"));
        assert!(why(Pattern::one_of([])).starts_with("0 values"));
        assert_eq!(
            why(Pattern::regex("(")),
            "no regular expression: unclosed group"
        );
        assert!(why(Pattern::regex(r"\w{1000}{1000}")).contains("no regular expression"));
    }

    #[test]
    fn names_are_tokens_and_not_ours() {
        assert_eq!(wrong_name("X-Beta"), None);
        for bad in ["", "a b", "x:", "\u{e9}", "X-Serinus-Variant"] {
            assert!(wrong_name(bad).is_some(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn one_of_several_is_any_of_them(values in prop::collection::vec("[a-c]{1,2}", 1..9), value in "[a-c]{0,2}") {
            let pattern = Pattern::one_of(values.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(pattern.fits(value.as_bytes()), values.contains(&value));
        }

        #[test]
        fn any_text_is_an_expression_or_not(text in "\\PC{0,40}", value in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(pattern) = Pattern::regex(&text) {
                let _ = pattern.fits(&value);
            }
        }
    }
}
