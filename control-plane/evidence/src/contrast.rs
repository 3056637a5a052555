//! The Mantel-Haenszel contrast between canary and stable in one slice, section 3 of the design.

use crate::counts::Sums;

/// Sums over slices of `D = (x_C n_S - x_S n_C) / N`, `U = n_C n_S / N` and the variance of D.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contrast {
    pub(crate) difference: f64,
    pub(crate) weight: f64,
    pub(crate) variance: f64,
}

crate::state::state!(Contrast {
    difference,
    weight,
    variance
});

impl Contrast {
    /// The contrast of one slice; nothing if a variant has no trials.
    pub(crate) fn of(sums: impl Into<Sums>) -> Self {
        let sums = sums.into();
        if !sums.has_both() {
            return Self::default();
        }
        let Sums { canary, stable } = sums;
        let n = canary.n + stable.n;
        let (to_canary, to_stable) = (stable.n / n, canary.n / n);
        Self {
            difference: (canary.x * stable.n - stable.x * canary.n) / n,
            weight: canary.n * stable.n / n,
            variance: to_canary * to_canary * canary.variance()
                + to_stable * to_stable * stable.variance(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.difference += other.difference;
        self.weight += other.weight;
        self.variance += other.variance;
    }
}
