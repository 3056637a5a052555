//! Chances of many bad runs.

use crate::logs::{exp, ln, log1p};

/// Stable's bursts are few and large ones fewer: what is not seen is taken to be half a burst.
const UNSEEN: f64 = 0.5;

/// Chernoff bound of "at least `x` of `n` trials", each with the chance `p`; 1 where `x` is no more than expected.
pub(super) fn binomial_bound(n: f64, x: f64, p: f64) -> f64 {
    let part = x / n;
    if p >= part {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    let rest = if part < 1.0 {
        (1.0 - part) * (log1p(-part) - log1p(-p))
    } else {
        0.0
    };
    exp(-n * (part * ln(part / p) + rest))
}

/// The chance of at least `count` bursts, where `seen` of them came in stable and the canary has `share` times stable's
/// requests, beside `chance` expected otherwise.
///
/// With a Gamma prior on the rate of bursts the count is negative binomial (shape `seen + 1/2`); the other mean is added to
/// its mean at the same shape, which makes the tail no lighter than that of the sum.
pub(super) fn upper_tail(seen: f64, share: f64, chance: f64, count: u32) -> f64 {
    let shape = seen + UNSEEN;
    let odds = share + chance / shape;
    // P(k) = Gamma(k + shape) / (k! Gamma(shape)) * (1 / (1 + odds))^shape * (odds / (1 + odds))^k
    let mut term = exp(-shape * log1p(odds));
    let mut below = 0.0;
    for k in 0..count {
        below += term;
        term *= (f64::from(k) + shape) / f64::from(k + 1) * odds / (1.0 + odds);
    }
    // Where the difference from 1 is lost in rounding, the next terms are the tail.
    if below < 1.0 - 1e-6 {
        return 1.0 - below;
    }
    let mut tail = 0.0;
    for k in count..count + 60 {
        tail += term;
        term *= (f64::from(k) + shape) / f64::from(k + 1) * odds / (1.0 + odds);
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_bounds() {
        // P(X >= 3) for 6 trials at 1.5 % is 6.5e-5.
        let bound = binomial_bound(6.0, 3.0, 0.015);
        assert!((6.5e-5..1e-3).contains(&bound), "{bound}");
        assert!((binomial_bound(3.0, 3.0, 0.1) - 1e-3).abs() < 1e-12);
        assert_eq!(binomial_bound(10.0, 5.0, 0.6), 1.0);
        assert_eq!(binomial_bound(10.0, 5.0, 0.0), 0.0);
    }

    #[test]
    fn tails_are_those_of_the_negative_binomial() {
        assert!((upper_tail(3.0, 0.2, 0.0, 0) - 1.0).abs() < 1e-12);
        let none = exp(-0.5 * log1p(0.1));
        assert!((upper_tail(0.0, 0.1, 0.0, 1) - (1.0 - none)).abs() < 1e-12);
        let small = upper_tail(0.0, 0.002, 0.0, 3);
        assert!((2e-9..3e-9).contains(&small), "{small}");
        // Many bursts: nearly Poisson, here with mean 2.
        let poisson = 1.0 - 5.0 * exp(-2.0);
        assert!((upper_tail(2e5, 1e-5, 0.0, 3) - poisson).abs() < 1e-4);
        assert!(upper_tail(10.0, 0.01, 0.5, 3) > upper_tail(10.0, 0.01, 0.0, 3));
    }
}
