//! Latency relative to stable, from sketches: one monitor per quantile. Section 5 of the design.

use crate::histogram::{Histogram, Tail};
use crate::logs::{ln, log_mean_exp};
use crate::quantile::{LatencyTails, QuantileMonitor, SlowDown};
use crate::stable_rate::DISCOUNT;

/// Stable's discounted latency histogram, from which the next slice's thresholds come.
#[derive(Clone, Debug, Default)]
pub struct StableLatency(Histogram);

impl crate::state::State for StableLatency {
    fn walk(&mut self, tape: &mut crate::state::Tape) {
        self.0.walk(tape);
    }
}

impl StableLatency {
    /// Starts from the latencies of stable just before the rollout.
    pub fn new(baseline: Histogram) -> Self {
        Self(baseline)
    }

    /// The counts at or above each bucket, before the next slice.
    pub fn tail(&self) -> Tail {
        self.0.tail()
    }

    /// Takes the stable latencies of one slice.
    pub fn fold(&mut self, stable: &Histogram) {
        self.0.discount_and_add(DISCOUNT, stable, 1.0);
    }
}

/// Evidence on the latency at several quantiles.
#[derive(Clone, Debug)]
pub struct LatencyMonitor {
    allowed: SlowDown,
    tolerances: Vec<f64>,
    quantiles: Vec<QuantileMonitor>,
}

crate::state::state!(LatencyMonitor {  } each { quantiles } fixed { allowed, tolerances });

impl LatencyMonitor {
    /// No slice seen. The canary's quantile may be `ratio` times stable's or `slack_ms` more,
    /// whichever is more; `tolerances` are multiples of the log of that.
    pub fn new(
        gamma: f64,
        ratio: f64,
        slack_ms: f64,
        quantiles: &[f64],
        tolerances: Vec<f64>,
    ) -> Self {
        let allowed = SlowDown {
            log_gamma: ln(gamma),
            log_ratio: ln(ratio),
            slack_us: slack_ms * 1000.0,
        };
        let monitor = |q: &f64| QuantileMonitor::new(*q, tolerances.len(), allowed.log_gamma);
        Self {
            allowed,
            quantiles: quantiles.iter().map(monitor).collect(),
            tolerances,
        }
    }

    /// Takes one slice: stable's tail before it ([`StableLatency::tail`]) and the tails of both
    /// variants in it.
    pub fn fold(&mut self, history: &Tail, canary: &Tail, stable: &Tail) {
        let tails = LatencyTails {
            history,
            canary,
            stable,
        };
        for monitor in &mut self.quantiles {
            monitor.fold(tails, self.allowed, &self.tolerances);
        }
    }

    /// Log of the mean of the rollback wealths of the quantiles. Finite.
    pub fn log_e_rollback(&self) -> f64 {
        let each: Vec<f64> = self
            .quantiles
            .iter()
            .map(|monitor| monitor.process().log_e_rollback())
            .collect();
        log_mean_exp(&each)
    }

    /// The smallest of the promotion log wealths of the quantiles: every one must pass.
    pub fn log_e_promote(&self, tolerance: usize) -> f64 {
        self.quantiles
            .iter()
            .map(|monitor| monitor.process().log_e_promote(tolerance))
            .fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn quantiles(&self) -> &[QuantileMonitor] {
        &self.quantiles
    }

    pub(crate) fn allowed(&self) -> SlowDown {
        self.allowed
    }

    pub(crate) fn tolerances(&self) -> &[f64] {
        &self.tolerances
    }
}
