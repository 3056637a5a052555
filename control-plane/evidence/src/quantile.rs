//! One quantile of the latency: "slower than stable's quantile" is an event, exact at bucket edges.

use crate::counts::Sums;
use crate::dispersion::Dispersion;
use crate::histogram::{Tail, Threshold};
use crate::logs::{exp, log1p};
use crate::margin::{self, Null};
use crate::process::Process;
use crate::shifts::RatioInterval;

/// Fewer stable latencies than this give no threshold to bet on.
const FEWEST: f64 = 20.0;
/// Beyond a clump of latencies the canary is bet to have at least this part of what it may have.
const MODEST: f64 = 0.2;
/// Guards the rounding of shifts against the rounding of logarithms.
const ROUNDING: f64 = 1e-9;

/// The tolerated slow-down: a ratio, or an absolute slack where that is more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowDown {
    pub(crate) log_gamma: f64,
    pub(crate) log_ratio: f64,
    pub(crate) slack_us: f64,
}

impl SlowDown {
    /// Log of the tolerated ratio when stable's quantile is the upper edge of bucket `bucket - 1`.
    pub(crate) fn log_tolerated(&self, bucket: usize) -> f64 {
        let quantile_us = exp((bucket as f64 - 1.0) * self.log_gamma);
        self.log_ratio.max(log1p(self.slack_us / quantile_us))
    }

    /// Whether the tolerance can be many times the quantile.
    fn has_slack(&self) -> bool {
        self.slack_us > 0.0
    }

    /// Buckets by which canary must exceed to be beyond the tolerance: rounded up.
    fn rollback_shift(&self, bucket: usize) -> usize {
        let shift = self.log_tolerated(bucket) / self.log_gamma;
        (shift - ROUNDING).ceil().max(0.0) as usize
    }

    /// Buckets by which canary may exceed at a multiple of the tolerance: rounded down.
    pub(crate) fn promote_shift(&self, bucket: usize, tolerance: f64) -> usize {
        let shift = tolerance * self.log_tolerated(bucket) / self.log_gamma;
        (shift + ROUNDING).floor().max(0.0) as usize
    }
}

/// Evidence on one quantile.
#[derive(Clone, Debug)]
pub(crate) struct QuantileMonitor {
    quantile: f64,
    process: Process,
    /// Of the same event in both variants: slower than the tolerance.
    beyond: Dispersion,
    ratio: RatioInterval,
}

crate::state::state!(QuantileMonitor { process, beyond, ratio } fixed { quantile });

/// What a slice of latencies is compared with: stable's tail before the slice, and the slice's own
/// tails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatencyTails<'a> {
    pub(crate) history: &'a Tail,
    pub(crate) canary: &'a Tail,
    pub(crate) stable: &'a Tail,
}

impl QuantileMonitor {
    pub(crate) fn new(quantile: f64, tolerances: usize, log_gamma: f64) -> Self {
        let ratio = RatioInterval::new(log_gamma);
        Self {
            quantile,
            process: Process::new(tolerances),
            beyond: Dispersion::default(),
            ratio,
        }
    }

    /// Takes one slice; skips it while stable's history is too short to place the threshold.
    pub(crate) fn fold(&mut self, tails: LatencyTails<'_>, allowed: SlowDown, tolerances: &[f64]) {
        let LatencyTails {
            history,
            canary,
            stable,
        } = tails;
        if !self.is_learnt(history) {
            return;
        }
        let threshold = history.threshold(self.quantile);
        let guess = guess(history, threshold);
        let sums_at = |shift: usize| Sums {
            canary: canary.sum(threshold.shifted(shift as isize)),
            stable: stable.sum(threshold),
        };
        let sums = sums_at(allowed.rollback_shift(threshold.bucket));
        let alternatives = margin::rollback_alternatives(guess, 1.0);
        let bets = margin::log_e_each(Null::AtMost, sums, 0.0, alternatives, guess);
        let promote = |index: usize| {
            let shift = allowed.promote_shift(threshold.bucket, tolerances[index]);
            let (sums, target) = (sums_at(shift), expected_beyond(history, threshold, shift));
            let alternatives = margin::promote_alternatives(guess, target);
            margin::log_e_each(Null::AtLeast, sums, 0.0, alternatives, guess)
        };
        self.process.fold(&bets, promote, sums);
        self.learn_noise(tails, threshold, allowed);
        self.ratio.fold(threshold, canary, stable);
    }

    /// If the tolerance is a ratio, a busy moment that slows both variants moves the two events of the comparison alike.
    /// A slack of many times the quantile is beyond reach of such moments: they move stable's event alone, and would
    /// pass for noise of the canary. The inflation is then at most that of the requests beyond the tolerance.
    fn learn_noise(&mut self, tails: LatencyTails<'_>, threshold: Threshold, allowed: SlowDown) {
        let shift = allowed.rollback_shift(threshold.bucket) as isize;
        let tolerated = threshold.shifted(shift);
        self.beyond.fold(Sums {
            canary: tails.canary.sum(tolerated),
            stable: tails.stable.sum(tolerated),
        });
        if allowed.has_slack() {
            self.process.limit_phi(self.beyond.phi());
        }
    }

    fn is_learnt(&self, history: &Tail) -> bool {
        history.total() >= FEWEST.max(1.0 / (1.0 - self.quantile))
    }

    pub(crate) fn quantile(&self) -> f64 {
        self.quantile
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn ratio(&self) -> &RatioInterval {
        &self.ratio
    }
}

/// The share of stable requests expected beyond the threshold.
pub(crate) fn guess(history: &Tail, threshold: Threshold) -> f64 {
    (history.score(threshold) + 0.5) / (history.total() + 20.0)
}

/// The share of requests that the canary is bet to have beyond the shifted threshold: what an
/// equally fast one would.
pub(crate) fn expected_beyond(history: &Tail, threshold: Threshold, shift: usize) -> f64 {
    let equal = (history.score(threshold.shifted(shift as isize)) + 0.05) / (history.total() + 2.0);
    if threshold.part == 0.0 {
        return equal;
    }
    // Beyond a clump stable has next to nothing; a bet on that alone would lose to a few slow
    // requests of the canary that the quantile tolerates.
    equal.max(MODEST * guess(history, threshold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use crate::logs::ln;

    fn allowed(ratio: f64, slack_us: f64) -> SlowDown {
        SlowDown {
            log_gamma: ln(1.02),
            log_ratio: ln(ratio),
            slack_us,
        }
    }

    #[test]
    fn the_slack_counts_where_it_is_more_than_the_ratio() {
        // Bucket 117 begins at 1.02^116, about 10 microseconds.
        let tolerated = exp(allowed(1.1, 10.0).log_tolerated(117));
        assert!((1.9..2.1).contains(&tolerated), "{tolerated}");
        let tolerated = exp(allowed(1.1, 10.0).log_tolerated(700));
        assert!((tolerated - 1.1).abs() < 1e-9, "{tolerated}");
    }

    #[test]
    fn shifts_round_to_the_conservative_side() {
        assert_eq!(allowed(1.1, 0.0).rollback_shift(500), 5);
        assert_eq!(allowed(1.1, 0.0).promote_shift(500, 1.0), 4);
        assert_eq!(allowed(1.02, 0.0).rollback_shift(500), 1);
        assert_eq!(allowed(1.02, 0.0).promote_shift(500, 1.0), 1);
        assert_eq!(allowed(1.0, 0.0).promote_shift(500, 10.0), 0);
    }

    /// All latencies in one bucket: an equal canary must be able to pass, one with a slow tail must
    /// not.
    #[test]
    fn a_constant_latency_can_be_judged() {
        let run = |slow: u64| {
            let mut monitor = QuantileMonitor::new(0.95, 1, ln(1.02));
            let stable = Histogram::from_sparse(&[(300, 500)]);
            let canary = Histogram::from_sparse(&[(300, 500 - slow), (400, slow)]).tail();
            let mut history = stable.clone();
            for _ in 0..100 {
                let tails = LatencyTails {
                    history: &history.tail(),
                    canary: &canary,
                    stable: &stable.tail(),
                };
                monitor.fold(tails, allowed(1.1, 0.0), &[1.0]);
                history.discount_and_add(0.99, &stable, 1.0);
            }
            let process = monitor.process();
            (process.log_e_rollback(), process.log_e_promote(0))
        };
        assert!(run(0).1 > 5.0 && run(0).0 < 0.0, "{:?}", run(0));
        // 1 % slow requests leave the 95th percentile alone, 10 % do not.
        assert!(run(5).1 > 5.0 && run(5).0 < 0.0, "{:?}", run(5));
        assert!(run(50).0 > 5.0 && run(50).1 < 0.0, "{:?}", run(50));
    }

    /// Busy moments that slow both variants tenfold are not noise of the canary, however large the slack is.
    #[test]
    fn shared_busy_moments_do_not_mute_a_slack() {
        let mut monitor = QuantileMonitor::new(0.5, 1, ln(1.02));
        let calm = Histogram::from_sparse(&[(300, 250), (310, 250)]);
        let busy = Histogram::from_sparse(&[(300, 10), (410, 490)]);
        let mut history = calm.clone();
        for slice in 0..120 {
            let now = if slice % 20 < 2 { &busy } else { &calm };
            let tails = LatencyTails {
                history: &history.tail(),
                canary: &now.tail(),
                stable: &now.tail(),
            };
            monitor.fold(tails, allowed(1.1, 20_000.0), &[1.0]);
            history.discount_and_add(0.99, now, 1.0);
        }
        assert!(monitor.process().phi() < 2.0, "{}", monitor.process().phi());
        assert!(monitor.process().log_e_promote(0) > 5.0);
    }

    /// Two clumps of latency with nothing between: a shift that lands in the gap must not turn the
    /// bet around, so that a slower canary would earn promotion.
    #[test]
    fn a_gap_in_the_distribution_does_not_promote_a_slower_canary() {
        let stable = Histogram::from_sparse(&[(100, 300), (200, 200)]);
        let slow = Histogram::from_sparse(&[(100, 200), (200, 300)]);
        let mut monitor = QuantileMonitor::new(0.5, 1, ln(1.02));
        let mut history = stable.clone();
        for _ in 0..100 {
            let tails = LatencyTails {
                history: &history.tail(),
                canary: &slow.tail(),
                stable: &stable.tail(),
            };
            monitor.fold(tails, allowed(1.1, 0.0), &[1.0]);
            history.discount_and_add(0.99, &stable, 1.0);
        }
        assert!(monitor.process().log_e_promote(0) <= 0.0);
    }
}
