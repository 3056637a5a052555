//! Logarithms and log-odds from `libm`, so that every machine gets the same bits.

pub(crate) use libm::{exp, log as ln, log1p, sqrt};

/// Rates are kept this far from 0 and 1 before their log-odds are taken.
const RATE_FLOOR: f64 = 1e-6;

/// Log-odds of a rate strictly between 0 and 1.
pub(crate) fn logit(p: f64) -> f64 {
    ln(p) - log1p(-p)
}

/// The rate that has the given log-odds.
pub(crate) fn expit(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// The rate, moved into `[1e-6, 1 - 1e-6]`.
pub(crate) fn clip_rate(p: f64) -> f64 {
    p.clamp(RATE_FLOOR, 1.0 - RATE_FLOOR)
}

/// `log(exp(a) + exp(b))` without overflow.
pub(crate) fn log_add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    // Below exp(-40) the smaller term is lost in rounding.
    if high - low > 40.0 || low == f64::NEG_INFINITY {
        return high;
    }
    high + log1p(exp(low - high))
}

/// `log(mean(exp(values)))`, negative infinity if every value is (or there is none).
pub(crate) fn log_mean_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return highest;
    }
    let sum: f64 = values.iter().map(|value| exp(value - highest)).sum();
    highest + ln(sum / values.len() as f64)
}

/// `log(sum(weight * exp(value)))` over pairs `(weight, value)` with weights >= 0.
pub(crate) fn log_weighted_sum(terms: &[(f64, f64)]) -> f64 {
    terms
        .iter()
        .filter(|(weight, _)| *weight > 0.0)
        .map(|(weight, value)| ln(*weight) + value)
        .fold(f64::NEG_INFINITY, log_add_exp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_survive_infinities() {
        let nothing = f64::NEG_INFINITY;
        assert_eq!(log_add_exp(nothing, nothing), nothing);
        assert_eq!(log_add_exp(nothing, -3.0), -3.0);
        assert_eq!(log_mean_exp(&[nothing, nothing]), nothing);
        assert_eq!(log_mean_exp(&[]), nothing);
        assert_eq!(log_weighted_sum(&[]), nothing);
    }

    #[test]
    fn sums_are_what_they_say() {
        assert!((log_add_exp(ln(2.0), ln(3.0)) - ln(5.0)).abs() < 1e-15);
        assert!((log_add_exp(700.0, 710.0) - (710.0 + log1p(exp(-10.0)))).abs() < 1e-12);
        assert!((log_mean_exp(&[ln(1.0), ln(2.0), ln(6.0)]) - ln(3.0)).abs() < 1e-15);
        let sum = log_weighted_sum(&[(0.25, ln(4.0)), (0.75, ln(8.0)), (0.0, 900.0)]);
        assert!((sum - ln(7.0)).abs() < 1e-15);
    }

    #[test]
    fn log_odds_invert() {
        for p in [1e-6, 0.01, 0.5, 0.999] {
            assert!((expit(logit(p)) - p).abs() < 1e-15);
        }
        assert_eq!(clip_rate(-1.0), 1e-6);
        assert_eq!(clip_rate(2.0), 1.0 - 1e-6);
    }
}
