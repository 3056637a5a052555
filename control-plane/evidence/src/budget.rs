//! Extra errors: what the canary failed more than stable would have, section 5 of the product
//! design.

use crate::assessment::ExtraErrors;
use crate::counts::{Pair, Sums};
use crate::dispersion::Dispersion;
use crate::interval::{RHO, normal_mixture_radius};

/// Without a budget in the plan, this many extra errors beyond the margin are one.
const DEFAULT_BUDGET: f64 = 50.0;

/// The excess of canary errors over slices with stable traffic.
#[derive(Clone, Debug)]
pub(crate) struct ErrorBudget {
    written: Option<f64>,
    margin: f64,
    excess: f64,
    excess_beyond_margin: f64,
    variance: f64,
    /// The same with each slice inflated by the noise of single arms.
    noisy_variance: f64,
    dispersion: Dispersion,
}

crate::state::state!(ErrorBudget { excess, excess_beyond_margin, variance, noisy_variance, dispersion } fixed { written, margin });

impl ErrorBudget {
    /// `written` is the budget of the plan; without one the default applies to the excess beyond
    /// `margin`.
    pub(crate) fn new(written: Option<f64>, margin: f64) -> Self {
        Self {
            written,
            margin,
            excess: 0.0,
            excess_beyond_margin: 0.0,
            variance: 0.0,
            noisy_variance: 0.0,
            dispersion: Dispersion::default(),
        }
    }

    /// Takes one slice, in which the noise of single arms may inflate the variance by `inflation`.
    pub(crate) fn fold(&mut self, pair: Pair, inflation: f64) {
        self.dispersion.fold(pair);
        if pair.stable.n == 0 {
            return;
        }
        let Sums { canary, stable } = pair.into();
        let scale = canary.n / stable.n;
        self.excess += canary.x - scale * stable.x;
        self.excess_beyond_margin += canary.x - canary.n * (stable.x / stable.n + self.margin);
        let variance = canary.variance() + scale * scale * stable.variance();
        self.variance += variance;
        self.noisy_variance += inflation * variance;
    }

    /// The state of the budget; the lower ends hold at all times with probability 1 - `alpha`. `phi_users` is the variance
    /// inflation between users.
    pub(crate) fn read(&self, alpha: f64, phi_users: f64) -> ExtraErrors {
        let phi = self.dispersion.phi().max(phi_users);
        let variance = (phi * self.variance).max(self.noisy_variance);
        let radius = normal_mixture_radius(variance, RHO, alpha);
        let lower = self.excess - radius;
        let lower_beyond_margin = self.excess_beyond_margin - radius;
        let (budget, charged) = match self.written {
            Some(budget) => (budget, lower),
            None => (DEFAULT_BUDGET, lower_beyond_margin),
        };
        ExtraErrors {
            sum: self.excess,
            lower,
            charged,
            budget,
            spent: charged >= budget,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(written: Option<f64>, canary_errors: u64, slices: usize) -> ExtraErrors {
        let mut budget = ErrorBudget::new(written, 0.01);
        (0..slices).for_each(|_| budget.fold(Pair::new(canary_errors, 100, 9, 900), 1.0));
        budget.read(0.05, 1.0)
    }

    #[test]
    fn a_written_budget_counts_every_extra_error() {
        let extra = run(Some(20.0), 2, 20);
        assert!((extra.sum - 20.0).abs() < 1e-9);
        assert!(extra.lower < extra.sum && !extra.spent);
        assert!(run(Some(20.0), 2, 100).spent);
        assert!(!run(Some(20.0), 1, 100_000).spent);
    }

    #[test]
    fn noise_charges_later() {
        let mut budget = ErrorBudget::new(Some(20.0), 0.0);
        let spent = |budget: &ErrorBudget| budget.read(0.05, 1.0).spent;
        (0..60).for_each(|_| budget.fold(Pair::new(2, 100, 9, 900), 20.0));
        assert!(!spent(&budget) && run(Some(20.0), 2, 60).spent);
        (0..600).for_each(|_| budget.fold(Pair::new(2, 100, 9, 900), 20.0));
        assert!(spent(&budget));
    }

    #[test]
    fn the_default_counts_only_what_is_beyond_the_margin() {
        assert!(!run(None, 2, 10_000).spent);
        assert!(run(None, 3, 200).spent);
    }

    #[test]
    fn slices_without_stable_are_not_charged() {
        let mut budget = ErrorBudget::new(Some(1.0), 0.0);
        (0..100).for_each(|_| budget.fold(Pair::new(100, 100, 0, 0), 1.0));
        assert_eq!(budget.read(0.05, 1.0).sum, 0.0);
        assert!(!budget.read(0.05, 1.0).spent);
    }
}
