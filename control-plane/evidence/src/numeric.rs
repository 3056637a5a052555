//! Means of numeric scores, from (n, sum, sum of squares) per slice. Section 7 of the design.
//! Asymptotic: it relies on the central limit theorem within a slice.

use crate::logs::sqrt;
use crate::margin::PROMOTE_TILTS;
use crate::stable_rate::DISCOUNT;
use crate::wealth::{PlainWealth, RestartWealth};

/// Rollback alternatives, in standard deviations of the stable score.
const STEPS: [f64; 7] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
/// Rollback steps below this stay out during the burn-in.
const SMALLEST_UNMUTED: f64 = 0.5;
/// A slice with fewer values of either variant says nothing.
pub(crate) const FEWEST: f64 = 30.0;

/// The first moments of a set of values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub n: f64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_of_squares: f64,
}

crate::state::state!(Moments {
    n,
    sum,
    sum_of_squares
});

impl Moments {
    pub(crate) fn mean(self) -> f64 {
        self.sum / self.n.max(1.0)
    }

    pub(crate) fn variance(self) -> f64 {
        let n = self.n.max(1.0);
        (self.sum_of_squares - self.sum * self.sum / n) / (n - 1.0).max(1.0)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            sum: self.sum + other.sum,
            sum_of_squares: self.sum_of_squares + other.sum_of_squares,
        }
    }

    /// Whether a set of values within `1e12` of 0 can have these moments.
    pub(crate) fn is_plausible(self) -> bool {
        let Self {
            n,
            sum,
            sum_of_squares,
        } = self;
        let most = 1e12 * n;
        let whole = (0.0..f64::from(u32::MAX)).contains(&n) && n == n.trunc();
        // Cauchy and Schwarz, with room for the rounding of the sums.
        let possible = sum * sum <= n * sum_of_squares * (1.0 + 1e-9);
        whole && sum.abs() <= most && sum_of_squares <= 1e12 * most && possible
    }

    fn discount_and_add(&mut self, other: Self) {
        self.n = DISCOUNT * self.n + other.n;
        self.sum = DISCOUNT * self.sum + other.sum;
        self.sum_of_squares = DISCOUNT * self.sum_of_squares + other.sum_of_squares;
    }
}

/// Evidence on the mean of one score.
#[derive(Clone, Debug)]
pub struct NumericMonitor {
    sign: f64,
    margin: f64,
    tolerances: Vec<f64>,
    stable: Moments,
    rollback: RestartWealth<7>,
    promote: Vec<PlainWealth<3>>,
}

crate::state::state!(NumericMonitor { stable, rollback } each { promote } fixed { sign, margin, tolerances });

impl NumericMonitor {
    /// No slice seen. `sign` is +1 if a higher mean is worse, -1 if a lower one is; `margin` is in
    /// units of the score.
    pub fn new(sign: f64, margin: f64, tolerances: Vec<f64>, baseline: Moments) -> Self {
        Self {
            sign,
            margin,
            stable: baseline,
            rollback: RestartWealth::new(STEPS.map(|step| step < SMALLEST_UNMUTED)),
            promote: vec![PlainWealth::default(); tolerances.len()],
            tolerances,
        }
    }

    /// Takes one slice. Values that are not finite, or fewer than 30 per variant, make it neutral.
    pub fn fold(&mut self, canary: Moments, stable: Moments) {
        let reference = if self.stable.n >= FEWEST {
            self.stable
        } else {
            stable
        };
        let spread = reference.variance().max(1e-300);
        // The canary may be noisier: the larger of stable's variance and its own in this slice.
        let noise = canary.variance().max(spread) / canary.n.max(1.0) + spread / stable.n.max(1.0);
        let difference = self.sign * (canary.mean() - stable.mean());
        let usable = canary.n >= FEWEST && stable.n >= FEWEST && (difference / noise).is_finite();
        let log_e = |boundary: f64, step: f64| {
            let log_e = step * (difference - boundary) / noise - 0.5 * step * step / noise;
            if usable && !log_e.is_nan() {
                log_e
            } else {
                0.0
            }
        };
        self.rollback
            .fold(&STEPS.map(|step| log_e(self.margin, step * sqrt(spread))));
        for (wealth, tolerance) in self.promote.iter_mut().zip(&self.tolerances) {
            let boundary = self.margin * tolerance;
            wealth.fold(&PROMOTE_TILTS.map(|tilt| log_e(boundary, -boundary * tilt)));
        }
        if stable.n.is_finite() && stable.sum.is_finite() && stable.sum_of_squares.is_finite() {
            self.stable.discount_and_add(stable);
        }
    }

    /// Log wealth against "within the margin" at a tempering level.
    pub fn log_e_rollback(&self, level: usize) -> f64 {
        self.rollback.log_e(level)
    }

    /// Log wealth of each promotion bet.
    pub(crate) fn promote_bets(&self, tolerance: usize, level: usize) -> Option<[f64; 3]> {
        self.promote.get(tolerance).map(|wealth| wealth.bets(level))
    }

    /// Log wealth against "worse than the tolerance with this index" at a tempering level.
    pub fn log_e_promote(&self, tolerance: usize, level: usize) -> f64 {
        self.promote
            .get(tolerance)
            .map_or(f64::NEG_INFINITY, |wealth| wealth.log_e(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(n: f64, mean: f64) -> Moments {
        Moments {
            n,
            sum: n * mean,
            sum_of_squares: n * (mean * mean + 0.04),
        }
    }

    fn run(canary_mean: f64) -> NumericMonitor {
        let mut monitor = NumericMonitor::new(-1.0, 0.05, vec![1.0], Moments::default());
        (0..60).for_each(|_| monitor.fold(scores(50.0, canary_mean), scores(450.0, 0.8)));
        monitor
    }

    #[test]
    fn a_lower_mean_is_harm_and_an_equal_one_is_not() {
        assert!(run(0.6).log_e_rollback(0) > 5.0);
        assert!(run(0.6).log_e_promote(0, 0) < 0.0);
        assert!(run(0.8).log_e_rollback(0) < 0.0);
        assert!(run(0.8).log_e_promote(0, 0) > 5.0);
    }

    #[test]
    fn broken_scores_are_neutral() {
        let mut monitor = NumericMonitor::new(1.0, 0.05, vec![1.0], Moments::default());
        let broken = Moments {
            n: 50.0,
            sum: f64::NAN,
            sum_of_squares: f64::INFINITY,
        };
        for _ in 0..50 {
            monitor.fold(broken, scores(450.0, 0.8));
            monitor.fold(scores(50.0, 0.8), broken);
            monitor.fold(scores(5.0, 0.8), scores(450.0, 0.8));
        }
        assert!(monitor.log_e_rollback(0).abs() < 1e-12);
        assert_eq!(monitor.log_e_promote(0, 0), 0.0);
    }
}
