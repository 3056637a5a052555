//! An absolute latency limit: the canary's quantile against a fixed time.
//!
//! It acts only if stable itself keeps the limit: the rollback evidence is the smaller of "canary
//! exceeds more often than allowed" and "canary exceeds more often than stable". The smaller of two
//! e-values is valid under either null.

use crate::counts::{Counts, Pair};
use crate::dispersion::Dispersion;
use crate::histogram::Tail;
use crate::logs::ln;
use crate::margin::{self, Null};
use crate::process::{rollback_level, rollback_wealth};
use crate::stable_rate::StableRate;
use crate::wealth::{PlainWealth, RestartWealth, TEMPERING, level_for};

/// The canary is bet to stay at this part of the allowed rate, if stable does not suggest less.
const MODEST: f64 = 0.8;

/// Evidence on one limit.
#[derive(Clone, Debug)]
pub(crate) struct LimitMonitor {
    quantile: f64,
    limit_ms: f64,
    /// From this bucket on a request certainly exceeds the limit.
    certain: usize,
    /// From this bucket on a request may exceed the limit.
    possible: usize,
    absolute: RestartWealth<10>,
    relative: RestartWealth<10>,
    promote: PlainWealth<3>,
    dispersion: Dispersion,
    stable_certain: StableRate,
    stable_possible: StableRate,
    canary_possible: Counts,
}

crate::state::state!(LimitMonitor { absolute, relative, promote, dispersion, stable_certain, stable_possible, canary_possible } fixed { quantile, limit_ms, certain, possible });

impl LimitMonitor {
    pub(crate) fn new(gamma: f64, quantile: f64, limit_ms: f64, baseline: &Tail) -> Self {
        let edge = ln(limit_ms * 1000.0) / ln(gamma);
        let certain = (edge - 1e-9).ceil().max(0.0) as usize + 1;
        let possible = (edge + 1e-9).floor().max(0.0) as usize + 1;
        Self {
            quantile,
            limit_ms,
            certain,
            possible,
            absolute: rollback_wealth(),
            relative: rollback_wealth(),
            promote: PlainWealth::default(),
            dispersion: Dispersion::default(),
            stable_certain: StableRate::new(baseline.counts_from(certain)),
            stable_possible: StableRate::new(baseline.counts_from(possible)),
            canary_possible: Counts::default(),
        }
    }

    pub(crate) fn fold(&mut self, canary: &Tail, stable: &Tail) {
        let pair_at = |bucket| Pair {
            canary: canary.counts_from(bucket),
            stable: stable.counts_from(bucket),
        };
        let (certain, possible) = (pair_at(self.certain), pair_at(self.possible));
        let allowed = self.allowed_rate();
        let alternatives = margin::rollback_alternatives(allowed, 1.0);
        let beyond = margin::log_e_limit_each(certain.canary, allowed, alternatives);
        self.absolute.fold(&beyond);
        self.fold_relative(certain);
        let target = self.target();
        let alternatives = margin::promote_alternatives(allowed, target);
        let within = margin::log_e_limit_each(possible.canary, allowed, alternatives);
        self.promote.fold(&within);
        self.dispersion.fold(certain);
        self.stable_certain.fold(certain.stable);
        self.stable_possible.fold(possible.stable);
        self.canary_possible.add(possible.canary);
    }

    fn fold_relative(&mut self, pair: Pair) {
        if !self.stable_certain.is_learnt() {
            self.relative.fold(&[0.0; 10]);
            return;
        }
        let guess = self.stable_certain.guess();
        let alternatives = margin::rollback_alternatives(guess, 1.0);
        let worse = margin::log_e_each(Null::AtMost, pair, 0.0, alternatives, guess);
        self.relative.fold(&worse);
    }

    /// Log evidence that the canary breaks the limit, whatever stable does.
    pub(crate) fn log_e_absolute(&self) -> f64 {
        self.absolute.log_e(rollback_level(self.phi()))
    }

    /// Log evidence that the canary breaks the limit and exceeds it more often than stable.
    pub(crate) fn log_e_rollback(&self) -> f64 {
        self.log_e_absolute()
            .min(self.relative.log_e(rollback_level(self.phi())))
    }

    /// Log evidence that the canary keeps the limit.
    pub(crate) fn log_e_promote(&self) -> f64 {
        level_for(self.phi()).map_or(f64::NEG_INFINITY, |level| self.promote.log_e(level))
    }

    /// Log wealth of each promotion bet and the variance inflation it was divided by.
    pub(crate) fn promote_bets(&self) -> Option<([f64; 3], f64)> {
        let level = level_for(self.phi())?;
        Some((self.promote.bets(level), TEMPERING[level]))
    }

    pub(crate) fn phi(&self) -> f64 {
        self.dispersion.phi()
    }

    /// The share of requests that may exceed the limit, 1 - q.
    pub(crate) fn allowed_rate(&self) -> f64 {
        1.0 - self.quantile
    }

    /// The rate that the canary is bet to have.
    pub(crate) fn target(&self) -> f64 {
        self.stable_possible
            .guess()
            .min(MODEST * self.allowed_rate())
    }

    /// The share of canary requests that may have exceeded the limit.
    pub(crate) fn canary_rate(&self) -> Option<f64> {
        self.canary_possible.rate()
    }

    pub(crate) fn quantile(&self) -> f64 {
        self.quantile
    }

    pub(crate) fn limit_ms(&self) -> f64 {
        self.limit_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    const GAMMA: f64 = 1.02;

    /// 100 requests of which `slow` take about 400 ms, the others about 40 ms; the limit is 250 ms.
    fn requests(slow: u64) -> Tail {
        Histogram::from_sparse(&[(535, 100 - slow), (652, slow)]).tail()
    }

    fn run(canary: u64, stable: u64, slices: usize) -> LimitMonitor {
        let mut monitor = LimitMonitor::new(GAMMA, 0.95, 250.0, &Tail::default());
        (0..slices).for_each(|_| monitor.fold(&requests(canary), &requests(stable)));
        monitor
    }

    #[test]
    fn a_canary_that_alone_breaks_the_limit_is_harmful() {
        assert!(run(15, 1, 60).log_e_rollback() > 5.0);
    }

    #[test]
    fn a_canary_that_is_worse_than_stable_but_keeps_the_limit_is_not_harmful() {
        let monitor = run(3, 0, 200);
        assert!(monitor.relative.log_e(0) > 5.0);
        assert!(monitor.log_e_rollback() < 0.0);
    }

    #[test]
    fn a_limit_that_stable_breaks_too_does_not_act() {
        let monitor = run(15, 15, 200);
        assert!(monitor.log_e_absolute() > 5.0);
        assert!(monitor.log_e_rollback() < 0.0);
        assert!(monitor.log_e_promote() < 0.0);
    }

    #[test]
    fn a_canary_that_keeps_the_limit_is_safe() {
        let monitor = run(1, 1, 60);
        assert!(monitor.log_e_promote() > 5.0);
        assert!(monitor.log_e_rollback() < 0.0);
    }

    #[test]
    fn the_bucket_that_holds_the_limit_counts_against_promotion_only() {
        let monitor = run(1, 1, 1);
        assert_eq!(monitor.certain, monitor.possible + 1);
        let edge = 1.02f64;
        let exact = LimitMonitor::new(edge, 0.95, edge * edge / 1000.0, &Tail::default());
        assert_eq!((exact.certain, exact.possible), (3, 3));
    }
}
