//! What a gate says.

use crate::outbound::Answer;
use serde::Deserialize;

/// Longest words that are kept, characters.
const WORDS: usize = 1000;

/// What it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Go on. Its words.
    Approve(String),
    /// Do not. Its words.
    Deny(String),
    /// Ask later.
    Wait,
}

#[derive(Deserialize)]
struct Said {
    decision: String,
    #[serde(default)]
    reason: String,
}

/// Reads `{"decision": "approve", "reason": "..."}`. Everything else is no answer, in words.
pub(super) fn read(answer: &Answer) -> Result<Word, String> {
    if !answer.whole {
        return Err("its answer is too long".to_owned());
    }
    let form = r#"it must be such as {"decision": "approve", "reason": "..."}"#;
    let said: Said = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("its answer cannot be read: {error}; {form}"))?;
    let reason: String = said.reason.chars().take(WORDS).collect();
    match said.decision.as_str() {
        "approve" => Ok(Word::Approve(reason)),
        "deny" => Ok(Word::Deny(reason)),
        "wait" => Ok(Word::Wait),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(format!(
                "its decision is {other:?}; it must be approve, deny or wait"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    fn of(body: &str, whole: bool) -> Result<Word, String> {
        read(&Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
            whole,
        })
    }

    #[test]
    fn only_a_clear_word_is_one() {
        let yes = of(r#"{"decision": "approve", "ticket": 7}"#, true);
        assert_eq!(yes, Ok(Word::Approve(String::new())));
        let no = of(r#"{"decision": "deny", "reason": "freeze"}"#, true);
        assert_eq!(no, Ok(Word::Deny("freeze".into())));
        assert_eq!(of(r#"{"decision": "wait"}"#, true), Ok(Word::Wait));
        let nonsense = [
            "",
            "ok",
            "{}",
            "true",
            r#"{"decision": true}"#,
            r#"{"decision": "APPROVE"}"#,
            r#"{"decision": ""}"#,
        ];
        for body in nonsense {
            assert!(of(body, true).is_err(), "{body}");
        }
        assert!(of(r#"{"decision": "approve"}"#, false).is_err());
    }

    #[test]
    fn words_are_bounded() {
        let body = format!(
            r#"{{"decision": "deny", "reason": "{}"}}"#,
            "\u{e9}".repeat(5000)
        );
        let Ok(Word::Deny(words)) = of(&body, true) else {
            panic!("no denial");
        };
        assert_eq!(words.chars().count(), WORDS);
    }
}
