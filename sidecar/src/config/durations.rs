//! Durations as text: `250ms`, `10s`, `5m`, `1h`, or several parts such as `1m30s`.

use serde::{Deserialize as _, Deserializer, Serializer, de};
use std::time::Duration;

/// Longest duration that makes sense in a sidecar's file.
const MAX: Duration = Duration::from_secs(86_400 * 365);

pub(super) fn serialize<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    let millis = duration.as_millis();
    if millis.is_multiple_of(1000) {
        out.serialize_str(&format!("{}s", millis / 1000))
    } else {
        out.serialize_str(&format!("{millis}ms"))
    }
}

pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| {
        de::Error::custom(format!(
            "\"{text}\" is no duration: write a number and a unit, such as \"250ms\", \"10s\", \"5m\" or \"1h\""
        ))
    })
}

/// Reads a duration; `None` where it is none, or longer than a year.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| digits + at);
        let unit_ms = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum += Duration::from_millis(number.checked_mul(unit_ms)?);
        if sum > MAX {
            return None;
        }
        rest = &rest[unit_end..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn numbers_with_units() {
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(parse("0s"), Some(Duration::ZERO));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "10sec",
            "99999999999999999999s",
            "900d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
