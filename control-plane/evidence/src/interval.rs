//! The interval shown for a difference of rates, section 3 of the design. It informs; it does not
//! decide.

use crate::contrast::Contrast;
use crate::counts::Pair;
use crate::logs::{ln, sqrt};

/// Where the normal mixture is tightest, in units of the accumulated variance.
pub const RHO: f64 = 10.0;
/// Below this accumulated variance no interval is shown: the normal approximation is not good
/// enough.
const LEAST_VARIANCE: f64 = 5.0;

/// Half-width, times the accumulated weight, of an always-valid interval for a sum with accumulated
/// variance `v`.
///
/// Robbins' normal mixture: `sqrt((v + rho) (ln((v + rho) / rho) + 2 ln(1 / alpha)))`.
pub fn normal_mixture_radius(v: f64, rho: f64, alpha: f64) -> f64 {
    sqrt((v + rho) * (ln((v + rho) / rho) + 2.0 * ln(1.0 / alpha)))
}

/// Sums of the Mantel-Haenszel risk difference over slices.
///
/// Slices are weighted by `n_C n_S / N`, so neither a changing split nor a drifting base rate can
/// turn the sign.
#[derive(Clone, Copy, Debug, Default)]
pub struct RiskDifference {
    sum: Contrast,
    canary: f64,
}

crate::state::state!(RiskDifference { sum, canary });

impl RiskDifference {
    /// Takes one slice; a slice without both variants adds nothing.
    pub fn fold(&mut self, pair: Pair) {
        if !pair.has_both() {
            return;
        }
        self.sum.add(Contrast::of(pair));
        let (n_canary, n_stable) = (pair.canary.n as f64, pair.stable.n as f64);
        self.canary += pair.canary.x as f64 * (n_stable / (n_canary + n_stable));
    }

    /// Weighted mean difference canary - stable, a fraction in -1..=1; none before the first slice
    /// with both.
    pub fn estimate(&self) -> Option<f64> {
        (self.sum.weight > 0.0).then(|| self.sum.difference / self.sum.weight)
    }

    /// The canary's and the stable's rate, weighted like [`Self::estimate`], which is exactly their
    /// difference.
    pub fn rates(&self) -> Option<(f64, f64)> {
        let canary = self.canary / self.sum.weight;
        (self.sum.weight > 0.0).then(|| {
            (
                canary,
                ((self.canary - self.sum.difference) / self.sum.weight).max(0.0),
            )
        })
    }

    /// The estimated difference, moved towards 0 by one standard error: what is left is hardly
    /// chance. 0 while there is too little data.
    pub(crate) fn beyond_noise(&self, phi: f64) -> f64 {
        let Some(estimate) = self.estimate().filter(|_| is_enough(self.sum.variance)) else {
            return 0.0;
        };
        let noise = sqrt(phi * self.sum.variance) / self.sum.weight;
        (estimate.abs() - noise).max(0.0).copysign(estimate)
    }

    /// The interval for the difference that holds at all times with probability 1 - `alpha`; none
    /// while there is too little data. `phi` is the measured variance inflation.
    pub fn interval(&self, phi: f64, alpha: f64) -> Option<(f64, f64)> {
        if !is_enough(self.sum.variance) {
            return None;
        }
        let estimate = self.estimate()?;
        let radius = normal_mixture_radius(phi * self.sum.variance, RHO, alpha) / self.sum.weight;
        Some((estimate - radius, estimate + radius))
    }
}

pub(crate) fn is_enough(variance: f64) -> bool {
    variance >= LEAST_VARIANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simpsons_paradox_does_not_turn_the_sign() {
        let mut difference = RiskDifference::default();
        // The base rate rises with the share: in each slice the canary is better, in the pooled
        // counts worse.
        difference.fold(Pair::new(0, 10, 10, 990));
        difference.fold(Pair::new(45, 500, 50, 500));
        let estimate = difference.estimate().unwrap();
        assert!(estimate < 0.0, "{estimate}");
        let (canary, stable) = difference.rates().unwrap();
        assert!((canary - stable - estimate).abs() < 1e-15);
    }

    #[test]
    fn nothing_is_shown_too_early() {
        let mut difference = RiskDifference::default();
        assert_eq!(difference.estimate(), None);
        assert_eq!(difference.rates(), None);
        difference.fold(Pair::new(0, 0, 5, 100));
        assert_eq!(difference.estimate(), None);
        difference.fold(Pair::new(2, 100, 5, 100));
        assert!(difference.estimate().is_some());
        assert_eq!(difference.interval(1.0, 0.05), None);
    }

    #[test]
    fn the_interval_narrows_and_widens_with_dispersion() {
        let mut difference = RiskDifference::default();
        (0..100).for_each(|_| difference.fold(Pair::new(5, 100, 45, 900)));
        let width = |(low, high): (f64, f64)| high - low;
        let early = width(difference.interval(1.0, 0.05).unwrap());
        assert!(width(difference.interval(4.0, 0.05).unwrap()) > early);
        (0..900).for_each(|_| difference.fold(Pair::new(5, 100, 45, 900)));
        assert!(width(difference.interval(1.0, 0.05).unwrap()) < early / 2.0);
    }
}
