//! How sure a simulated probability is.

/// An interval for a probability, both ends in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// The exact 95 % interval (Clopper and Pearson, 1934) of `hits` in `n` independent trials; everything without trials.
#[must_use]
pub fn clopper_pearson(hits: u64, n: u64) -> Interval {
    const TAIL: f64 = 0.025;
    if n == 0 {
        return Interval {
            lower: 0.0,
            upper: 1.0,
        };
    }
    // Each end is the probability at which the result's tail has 2.5 %; the tail is monotone in it.
    let lower = if hits == 0 {
        0.0
    } else {
        bisect(|p| 1.0 - at_most(hits - 1, n, p) < TAIL)
    };
    let upper = if hits >= n {
        1.0
    } else {
        bisect(|p| at_most(hits, n, p) > TAIL)
    };
    Interval { lower, upper }
}

/// Where `below` turns from true to false.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if below(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    0.5 * (low + high)
}

/// Probability of at most `hits` successes in `n` trials.
fn at_most(hits: u64, n: u64, p: f64) -> f64 {
    let log_odds = p.ln() - (-p).ln_1p();
    let mut log_term = n as f64 * (-p).ln_1p();
    let mut sum = log_term.exp();
    for k in 0..hits {
        log_term += ((n - k) as f64 / (k + 1) as f64).ln() + log_odds;
        sum += log_term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hits: u64, n: u64, lower: f64, upper: f64) {
        let interval = clopper_pearson(hits, n);
        assert!((interval.lower - lower).abs() < 1e-4, "{interval:?}");
        assert!((interval.upper - upper).abs() < 1e-4, "{interval:?}");
    }

    /// Values of scipy.stats.binomtest(...).proportion_ci(method="exact").
    #[test]
    fn known_intervals() {
        check(0, 100, 0.0, 0.036_217);
        check(5, 100, 0.016_432, 0.112_835);
        check(100, 100, 0.963_783, 1.0);
        check(50, 1000, 0.037_354, 0.065_390);
        check(0, 0, 0.0, 1.0);
    }
}
