//! How much an arm's error rate wanders by itself, learnt from stable, and what that makes of a slice's evidence.
//!
//! Canary and stable are taken to obey one law: the log of each error rate wanders as an Ornstein-Uhlenbeck process
//! around its mean. Stable has most of the traffic and was there before the rollout, so its law is known before
//! the canary has had a handful of errors. Whether both wander together, which is harmless, only the contrast can tell.
//! Derivation: `docs/noise-and-flapping.md`.

mod contrast;
mod fit;
mod incidents;
mod pairs;
mod stable;

use crate::counts::{Counts, Pair};
use contrast::ContrastScales;
use fit::Fit;
use stable::StableScales;

/// Slices between two fits of the law.
const REFIT_EVERY: u64 = 8;
/// Time scales of 1, 2, 4 ... 256 seconds.
const SCALES: usize = 9;
/// Length of the blocks of scale 0.
const SHORTEST_S: f64 = 1.0;

/// The length of the blocks of a scale, in seconds.
fn block_seconds(scale: usize) -> f64 {
    SHORTEST_S * (1u64 << scale) as f64
}

/// The law of the error rate's own movements, learnt slice by slice.
#[derive(Clone, Debug)]
pub(crate) struct NoiseLaw {
    stable: StableScales,
    contrast: ContrastScales,
    fit: Fit,
    slices: u64,
    seconds: f64,
    intensity_s: f64,
}

crate::state::state!(NoiseLaw {
    stable,
    contrast,
    fit,
    slices,
    seconds,
    intensity_s
});

impl NoiseLaw {
    /// Starts from stable's seconds before the rollout, oldest first.
    pub(crate) fn new(history: &[Counts]) -> Self {
        let mut law = Self {
            stable: StableScales::new(history),
            contrast: ContrastScales::default(),
            fit: Fit::new(),
            slices: 0,
            seconds: history.len() as f64,
            intensity_s: 0.0,
        };
        law.refit();
        law
    }

    /// Takes one slice.
    pub(crate) fn fold(&mut self, pair: Pair, seconds: f64) {
        let seconds = usable(seconds);
        self.stable.fold(pair.stable, seconds);
        self.contrast.fold(pair, seconds, self.stable.mean_rate());
        self.seconds += seconds;
        self.slices += 1;
        if self.slices.is_multiple_of(REFIT_EVERY) {
            self.refit();
        }
    }

    fn refit(&mut self) {
        let (stable, contrast) = (self.stable.moments(), self.contrast.moments());
        self.intensity_s = self.fit.intensity(&stable, &contrast, self.seconds);
    }

    /// The variance inflation that a slice of these sizes can have over long times, >= 1. It knows nothing of
    /// the slice's outcomes.
    pub(crate) fn inflation(&self, pair: Pair, seconds: f64) -> f64 {
        if !pair.has_both() {
            return 1.0;
        }
        let (canary, stable) = (pair.canary.n as f64, pair.stable.n as f64);
        let per_second = canary * stable / (canary + stable) / usable(seconds);
        let rate = self.stable.mean_rate();
        1.0 + 2.0 * per_second * rate / (1.0 - rate) * self.intensity_s
    }
}

/// A duration that can be divided by: one second where none was measured.
fn usable(seconds: f64) -> f64 {
    if seconds.is_finite() && seconds > 0.0 {
        seconds
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests;
