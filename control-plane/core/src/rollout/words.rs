//! Numbers as people read them.

use serinus_common::ppm::Ppm;

/// A share in percent, without trailing zeros: "2.5%".
pub(super) fn percent(share: Ppm) -> String {
    format!("{}%", trimmed(share.fraction() * 100.0, 4))
}

/// A count with thousands separated: "74,120".
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An estimate of a count, rounded up to two digits that mean something: "9,100".
pub(super) fn about(estimate: f64) -> String {
    let whole = if estimate.is_finite() {
        estimate.max(0.0).ceil()
    } else {
        0.0
    };
    // A float beyond the range of integers ends at its edge.
    let whole = whole as u64;
    let mut unit = 1;
    while whole / unit >= 100 {
        unit *= 10;
    }
    count(whole.div_ceil(unit).saturating_mul(unit))
}

/// A stretch of time in its handiest unit, rounded up: "38 s", "6 min", "24 h", "3 d".
pub(super) fn span(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds.div_ceil(60)),
        6_000..=179_999 => format!("{} h", seconds.div_ceil(3_600)),
        _ => format!("{} d", seconds.div_ceil(86_400)),
    }
}

/// A difference of rates in percentage points: "+0.25 pp".
pub(super) fn points(fraction: f64) -> String {
    format!("{:+.2} pp", fraction * 100.0)
}

/// A rate in percent with two digits: "92.10%".
pub(super) fn rate(fraction: f64) -> String {
    format!("{:.2}%", fraction * 100.0)
}

/// A factor: "x1.07".
pub(super) fn factor(ratio: f64) -> String {
    format!("x{ratio:.2}")
}

/// Milliseconds: "41 ms", "0.8 ms".
pub(super) fn millis(ms: f64) -> String {
    if ms < 10.0 {
        format!("{} ms", trimmed(ms, 1))
    } else {
        format!("{ms:.0} ms")
    }
}

/// A plain number without trailing zeros: "2.5".
pub(super) fn number(n: f64) -> String {
    trimmed(n, 2)
}

fn trimmed(n: f64, digits: usize) -> String {
    let text = format!("{n:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let text = |ppm| percent(Ppm::new(ppm).unwrap());
        assert_eq!(text(100_000), "10%");
        assert_eq!(text(25_000), "2.5%");
        assert_eq!(text(1), "0.0001%");
        assert_eq!(text(1_000_000), "100%");
    }

    #[test]
    fn counts_and_estimates() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(74_120), "74,120");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(about(37.2), "38");
        assert_eq!(about(9_012.0), "9,100");
        assert_eq!(about(f64::NAN), "0");
        assert_eq!(about(f64::INFINITY), "0");
    }

    #[test]
    fn spans() {
        assert_eq!(span(0), "0 s");
        assert_eq!(span(17_100), "18 s");
        assert_eq!(span(360_000), "6 min");
        assert_eq!(span(24 * 3_600_000), "24 h");
        assert_eq!(span(7 * 24 * 3_600_000), "7 d");
    }
}
