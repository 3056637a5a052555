//! Durations as people write them: `500ms`, `60s`, `1h30m`, `7d`. The resolution is one microsecond.

use prost_types::Duration as Proto;
use std::time::Duration;

/// Units from the largest, in microseconds.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The longest duration of a plan: 366 days, in microseconds.
const LONGEST: u64 = 366 * 86_400_000_000;

/// How to write one, for messages.
pub(super) const FORM: &str = "write it with a unit, such as 500ms, 60s, 1h30m or 7d";

/// Reads `1h30m`, `0.5s`, `500us`: numbers with units, the largest first.
///
/// # Errors
/// Says what is wrong and how to write it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{}\" is no duration; {FORM}", shortened(text));
    let mut rest = text.trim();
    let mut micros = 0u64;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (name, tail) = tail.split_at(letters);
        let unit = UNITS
            .iter()
            .find(|unit| unit.0 == name)
            .ok_or_else(wrong)?
            .1;
        if unit >= last {
            return Err(wrong());
        }
        let part = scaled(number, unit).ok_or_else(wrong)?;
        micros = micros.saturating_add(part);
        (last, rest) = (unit, tail);
    }
    if micros > LONGEST {
        return Err(format!("{} is longer than 366 days", shortened(text)));
    }
    Ok(Duration::from_micros(micros))
}

/// A decimal number of units as whole microseconds; `None` if it is no number or finer than that.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 11 {
        return None;
    }
    let mut micros = whole.parse::<u64>().ok()?.saturating_mul(unit);
    if number.contains('.') {
        let digits = u32::try_from(fraction.len()).ok()?;
        let scale = 10u64.pow(digits);
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit);
        if part % u128::from(scale) != 0 {
            return None;
        }
        micros = micros.saturating_add(u64::try_from(part / u128::from(scale)).ok()?);
    }
    Some(micros)
}

/// The shortest form that [`parse`] reads back: `1h30m`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, unit) in UNITS {
        if micros >= unit {
            text.push_str(&format!("{}{name}", micros / unit));
            micros %= unit;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// From the contract's form.
///
/// # Errors
/// If it is negative, longer than 366 days, finer than a microsecond, or malformed.
pub(super) fn checked(proto: &Proto) -> Result<Duration, String> {
    let seconds = u64::try_from(proto.seconds);
    let nanos = u32::try_from(proto.nanos);
    let (Ok(seconds), Ok(nanos)) = (seconds, nanos) else {
        return Err("is negative".to_owned());
    };
    if nanos >= 1_000_000_000 || seconds > LONGEST / 1_000_000 {
        return Err("is longer than 366 days".to_owned());
    }
    if nanos % 1_000 != 0 {
        return Err("is finer than a microsecond".to_owned());
    }
    Ok(Duration::new(seconds, nanos))
}

/// From the contract's form; whatever is not a valid duration of a plan is 0.
#[must_use]
pub fn to_std(proto: Option<&Proto>) -> Duration {
    proto
        .and_then(|proto| checked(proto).ok())
        .unwrap_or_default()
}

/// To the contract's form.
pub(super) fn to_proto(duration: Duration) -> Proto {
    Proto {
        // At most 366 days, by `parse` and `checked`.
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let of = |text: &str| parse(text).unwrap().as_micros();
        assert_eq!(of("60s"), 60_000_000);
        assert_eq!(of("30m"), 1_800_000_000);
        assert_eq!(of("1h30m"), 5_400_000_000);
        assert_eq!(of("500ms"), 500_000);
        assert_eq!(of("7d"), 604_800_000_000);
        assert_eq!(of("0.5s"), 500_000);
        assert_eq!(of("1.5h"), 5_400_000_000);
        assert_eq!(of("250us"), 250);
        assert_eq!(of("0s"), 0);
    }

    #[test]
    fn whatever_is_none_is_refused_with_the_form() {
        for text in [
            "",
            "60",
            "s",
            "-5s",
            "1m1h",
            "5 s",
            "5S",
            "1.s5",
            ".5s",
            "1e3s",
            "0.5us",
            "1m1m",
            "9999999d",
            "99999999999999999999s",
            "1..5s",
        ] {
            let message = parse(text).unwrap_err();
            assert!(
                message.contains("60s") || message.contains("366"),
                "{text}: {message}"
            );
        }
    }

    proptest! {
        #[test]
        fn formatted_ones_read_back(micros in 0u64..LONGEST) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse(&format(duration)).unwrap(), duration);
            prop_assert_eq!(checked(&to_proto(duration)).unwrap(), duration);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
