//! The latencies shown: quantiles of both variants over the whole rollout, weighted alike.

use crate::counts::{Counts, Pair};
use crate::histogram::{Histogram, Tail};
use crate::logs::exp;

/// Histograms of both variants. A slice adds the canary's with weight `n_S / N` and stable's with
/// `n_C / N`, the weights of the Mantel-Haenszel difference, so that a changing split cannot
/// distort the comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShownLatency {
    canary: Histogram,
    stable: Histogram,
    total: Pair,
}

crate::state::state!(ShownLatency {
    canary,
    stable,
    total
});

impl ShownLatency {
    pub(crate) fn fold(&mut self, canary: &Histogram, stable: &Histogram, pair: Pair) {
        self.total.add(pair);
        if pair.has_both() {
            let (n_canary, n_stable) = (pair.canary.n as f64, pair.stable.n as f64);
            let n = n_canary + n_stable;
            self.canary.discount_and_add(1.0, canary, n_stable / n);
            self.stable.discount_and_add(1.0, stable, n_canary / n);
        }
    }

    /// Timed requests of both variants.
    pub(crate) fn total(&self) -> Pair {
        self.total
    }

    pub(crate) fn tails(&self) -> (Tail, Tail) {
        (self.canary.tail(), self.stable.tail())
    }
}

/// The trials of a slice of latencies, without events.
pub(crate) fn timed(canary: &Tail, stable: &Tail) -> Pair {
    let trials = |tail: &Tail| Counts {
        x: 0,
        n: tail.total() as u64,
    };
    Pair {
        canary: trials(canary),
        stable: trials(stable),
    }
}

/// A quantile in milliseconds, the upper edge of its bucket; none without data.
pub(crate) fn quantile_ms(tail: &Tail, q: f64, log_gamma: f64) -> Option<f64> {
    let below = tail.above_quantile(q) as f64 - 1.0;
    (tail.total() > 0.0).then(|| exp(below * log_gamma) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::ln;

    #[test]
    fn a_changing_split_does_not_make_identical_variants_differ() {
        let mut shown = ShownLatency::default();
        // A fast minute with a small canary, then a slow one with a large canary.
        for (bucket, n_canary, n_stable) in [(300, 10, 990), (500, 500, 500)] {
            let canary = Histogram::from_sparse(&[(bucket, n_canary)]);
            let stable = Histogram::from_sparse(&[(bucket, n_stable)]);
            shown.fold(&canary, &stable, timed(&canary.tail(), &stable.tail()));
        }
        let (canary, stable) = shown.tails();
        for q in [0.01, 0.03, 0.5, 0.99] {
            assert_eq!(canary.above_quantile(q), stable.above_quantile(q));
        }
        assert_eq!(shown.total().canary.n, 510);
    }

    #[test]
    fn quantiles_are_in_milliseconds() {
        let tail = Histogram::from_sparse(&[(349, 100)]).tail();
        let shown = quantile_ms(&tail, 0.5, ln(1.02)).unwrap();
        assert!((shown - exp(349.0 * ln(1.02)) / 1000.0).abs() < 1e-12);
        assert_eq!(quantile_ms(&Tail::default(), 0.5, ln(1.02)), None);
    }
}
