//! The predictable stable rate: what a slice's bets may know about stable before the slice.

use crate::counts::Counts;

/// What older slices still weigh after each slice.
pub(crate) const DISCOUNT: f64 = 0.99;
const PRIOR_EVENTS: f64 = 0.5;
const PRIOR_TRIALS: f64 = 20.0;
/// Fewer stable trials than this say too little to bet on; a bad first guess could never be won
/// back.
const ENOUGH: u64 = 100;

/// A discounted estimate of the stable rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StableRate {
    events: f64,
    trials: f64,
    seen: u64,
}

crate::state::state!(StableRate {
    events,
    trials,
    seen
});

impl StableRate {
    /// Starts from the stable traffic just before the rollout (zero counts if there is none).
    pub(crate) fn new(baseline: Counts) -> Self {
        let (events, trials) = (baseline.x as f64, baseline.n as f64);
        Self {
            events: events + PRIOR_EVENTS,
            trials: trials + PRIOR_TRIALS,
            seen: baseline.n,
        }
    }

    pub(crate) fn fold(&mut self, stable: Counts) {
        self.events = PRIOR_EVENTS + DISCOUNT * (self.events - PRIOR_EVENTS) + stable.x as f64;
        self.trials = PRIOR_TRIALS + DISCOUNT * (self.trials - PRIOR_TRIALS) + stable.n as f64;
        self.seen = self.seen.saturating_add(stable.n);
    }

    /// The guess for the next slice, a fraction in 0..=1.
    pub(crate) fn guess(&self) -> f64 {
        self.events / self.trials
    }

    /// The same without the caution of a bet: what stable does, as far as it was seen.
    pub(crate) fn estimate(&self) -> f64 {
        self.events / (self.trials - PRIOR_TRIALS + 2.0 * PRIOR_EVENTS)
    }

    /// Whether enough of stable was seen to bet on the guess.
    pub(crate) fn is_learnt(&self) -> bool {
        self.seen >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_slices_fade() {
        let mut rate = StableRate::new(Counts { x: 500, n: 1000 });
        assert!((rate.guess() - 500.5 / 1020.0).abs() < 1e-15);
        (0..2000).for_each(|_| rate.fold(Counts { x: 1, n: 100 }));
        assert!((rate.guess() - 0.01).abs() < 1e-3, "{}", rate.guess());
    }

    #[test]
    fn without_a_baseline_it_learns_first() {
        let mut rate = StableRate::new(Counts::default());
        assert!(!rate.is_learnt());
        rate.fold(Counts { x: 0, n: 100 });
        assert!(rate.is_learnt());
    }
}
