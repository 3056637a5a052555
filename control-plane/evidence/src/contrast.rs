//! The Mantel-Haenszel contrast between canary and stable in one slice, section 3 of the design.

use crate::counts::Pair;

/// Sums over slices of `D = (x_C n_S - x_S n_C) / N`, `U = n_C n_S / N` and the variance of D.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contrast {
    pub(crate) difference: f64,
    pub(crate) weight: f64,
    pub(crate) variance: f64,
}

impl Contrast {
    /// The contrast of one slice; nothing if a variant has no trials.
    pub(crate) fn of(pair: Pair) -> Self {
        if !pair.has_both() {
            return Self::default();
        }
        let (x_canary, n_canary) = (pair.canary.x as f64, pair.canary.n as f64);
        let (x_stable, n_stable) = (pair.stable.x as f64, pair.stable.n as f64);
        let n = n_canary + n_stable;
        let (to_canary, to_stable) = (n_stable / n, n_canary / n);
        Self {
            difference: (x_canary * n_stable - x_stable * n_canary) / n,
            weight: n_canary * n_stable / n,
            variance: to_canary * to_canary * pair.canary.variance()
                + to_stable * to_stable * pair.stable.variance(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.difference += other.difference;
        self.weight += other.weight;
        self.variance += other.variance;
    }
}
