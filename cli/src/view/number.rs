//! Numbers as people read them.

use prost_types::{Duration as ProtoDuration, Timestamp};
use std::time::Duration;

/// Shown where there is no number.
pub(crate) const NONE: &str = "-";

/// `74,120`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Rounded to a whole number, with thousands; the sign is kept.
pub(crate) fn whole(number: f64) -> String {
    let sign = if number.round() < 0.0 { "-" } else { "" };
    // `as` saturates, which is right for a display.
    format!("{sign}{}", thousands(number.abs().round() as u64))
}

/// `25.00%`, with up to four decimals where two would hide a part of the share.
pub(crate) fn share(fraction: f64) -> String {
    let exact_in_two = (fraction * 1e4 - (fraction * 1e4).round()).abs() < 1e-6;
    percent(fraction, if exact_in_two { 2 } else { 4 })
}

/// A measured share: two decimals are all that sampling allows.
pub(crate) fn measured_share(fraction: f64) -> String {
    percent(fraction, 2)
}

/// `0.48%`.
pub(crate) fn percent(fraction: f64, decimals: usize) -> String {
    format!(
        "{:.decimals$}%",
        without_negative_zero(fraction * 100.0, decimals)
    )
}

/// Percentage points with their sign and no unit: `+0.04`.
pub(crate) fn points(fraction: f64, decimals: usize) -> String {
    format!(
        "{:+.decimals$}",
        without_negative_zero(fraction * 100.0, decimals)
    )
}

/// Decimals of percentage points that show two digits of a margin: 2 for 0.25 pp, 1 for 1 pp.
pub(crate) fn decimals_for(margin: f64) -> usize {
    let points = (margin * 100.0).abs();
    if !points.is_finite() || points == 0.0 {
        return 2;
    }
    // A hair up, so that 0.01 * 100 counts as a whole point whatever its last bit.
    let magnitude = (points * (1.0 + 1e-9)).log10().floor();
    (1.0 - magnitude).clamp(1.0, 4.0) as usize
}

/// Milliseconds with the digits that matter: `41ms`, `2.4ms`, `0.35ms`, `12.3s`.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms.abs() {
        size if size >= 10_000.0 => format!("{:.1}s", ms / 1000.0),
        size if size >= 9.95 => format!("{ms:.0}ms"),
        size if size >= 0.995 => format!("{ms:.1}ms"),
        _ => format!("{:.2}ms", without_negative_zero(ms, 2)),
    }
}

/// The two largest units: `14s`, `2m14s`, `2h14m`, `3d4h`; below ten seconds with a decimal if there is one.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 if duration.subsec_millis() >= 50 => format!("{:.1}s", duration.as_secs_f64()),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// As [`duration`], in whole seconds: for clocks that tick.
pub(crate) fn clock(ms: u64) -> String {
    duration(Duration::from_secs(ms / 1000))
}

/// e to the power of a log evidence, `inf` when it is beyond any number: `24.5`, `1,310`, `3e21`.
pub(crate) fn factor(log: f64) -> String {
    let value = log.exp();
    match value {
        value if value >= 1e9 => format!("{value:.0e}"),
        value if value >= 1000.0 => whole(value),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.01 => format!("{value:.2}"),
        value => format!("{value:.0e}"),
    }
}

/// Unix milliseconds; times before 1970 count as 0.
pub(crate) fn unix_ms(time: &Timestamp) -> u64 {
    let ms = time.seconds.saturating_mul(1000) + i64::from(time.nanos) / 1_000_000;
    u64::try_from(ms).unwrap_or(0)
}

/// Seconds, negative ones as they are.
pub(crate) fn seconds(duration: &ProtoDuration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

/// RFC 3339 in UTC with milliseconds; empty for a time that no calendar has.
pub(crate) fn rfc3339(time: &Timestamp) -> String {
    jiff::Timestamp::new(time.seconds, time.nanos)
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default()
}

fn without_negative_zero(number: f64, decimals: usize) -> f64 {
    let half_of_last_digit = 0.5 * 10f64.powi(-(decimals as i32));
    if number.abs() < half_of_last_digit {
        0.0
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_and_shares() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(74_120), "74,120");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(whole(-1234.4), "-1,234");
        assert_eq!(whole(-0.3), "0");
        assert_eq!(share(0.25), "25.00%");
        assert_eq!(share(0.0001), "0.01%");
        assert_eq!(share(0.000_001), "0.0001%");
        assert_eq!(measured_share(0.249_12), "24.91%");
    }

    #[test]
    fn points_show_two_digits_of_the_margin() {
        assert_eq!(decimals_for(0.0025), 2);
        assert_eq!(decimals_for(0.01), 1);
        assert_eq!(decimals_for(0.005), 2);
        assert_eq!(decimals_for(0.2), 1);
        assert_eq!(decimals_for(0.000_05), 4);
        assert_eq!(decimals_for(0.0), 2);
        assert_eq!(points(-0.000_01, 2), "+0.00");
        assert_eq!(points(f64::INFINITY, 2), "+inf");
    }

    #[test]
    fn latencies_and_durations() {
        assert_eq!(milliseconds(41.2), "41ms");
        assert_eq!(milliseconds(9.97), "10ms");
        assert_eq!(milliseconds(2.44), "2.4ms");
        assert_eq!(milliseconds(0.351), "0.35ms");
        assert_eq!(milliseconds(12_345.0), "12.3s");
        assert_eq!(duration(Duration::from_secs(134)), "2m14s");
        assert_eq!(duration(Duration::from_secs(8_040)), "2h14m");
        assert_eq!(duration(Duration::from_secs(273_600)), "3d4h");
        assert_eq!(duration(Duration::from_millis(2500)), "2.5s");
        assert_eq!(clock(14_900), "14s");
    }

    #[test]
    fn evidence_as_a_factor() {
        assert_eq!(factor(0.0), "1.00");
        assert_eq!(factor(3.2), "24.5");
        assert_eq!(factor(7.178), "1,310");
        assert_eq!(factor(50.0), "5e21");
        assert_eq!(factor(-20.0), "2e-9");
        assert_eq!(factor(f64::INFINITY), "inf");
    }

    #[test]
    fn times_are_utc() {
        let time = Timestamp {
            seconds: 1_790_000_000,
            nanos: 5_000_000,
        };
        assert_eq!(rfc3339(&time), "2026-09-21T14:13:20.005Z");
        assert_eq!(unix_ms(&time), 1_790_000_000_005);
        let impossible = Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert_eq!(rfc3339(&impossible), "");
    }

    proptest! {
        #[test]
        fn thousands_lose_no_digit(number: u64) {
            prop_assert_eq!(thousands(number).replace(',', ""), number.to_string());
        }

        #[test]
        fn no_number_is_a_negative_zero(fraction in -1.0f64..1.0, decimals in 0usize..5) {
            let text = points(fraction, decimals);
            let zero = text[1..].chars().all(|c| c == '0' || c == '.');
            prop_assert!(!(zero && text.starts_with('-')), "{}", text);
        }
    }
}
