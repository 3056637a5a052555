//! A canary that fails in bursts: most of its requests, for a second or two, again and again, while stable is well.
//!
//! Evidence of slices cannot see it in time: a slice's evidence is capped, and bursts are what the measured spread calls
//! noise. Counted are therefore bad runs of the last minute, against how often stable has bursts of that size itself.
//! Derivation: `docs/noise-and-flapping.md`.

mod bursts;
mod tail;
mod window;

use crate::counts::{Counts, Pair};
pub(crate) use bursts::StableBursts;
use tail::upper_tail;
use window::Window;

/// A run needs this many canary requests, and a bad one this many errors.
const FEWEST: u64 = 3;
/// Bad runs in a row that are not separated by good ones count as one episode; a single episode needs this many.
const LONG_EPISODE: u32 = 3;
/// Chance of a false alarm in a whole rollout.
const ALPHA: f64 = 0.01;
/// Times by which a healthy canary's error rate may exceed stable's for a while.
const WANDER: f64 = 3.0;

/// Watches for bursts of canary failures. Tripped it stays.
#[derive(Clone, Debug)]
pub(crate) struct Flapping {
    margin: f64,
    stable: StableBursts,
    window: Window,
    /// The shortest run of newest slices that may hold enough canary requests.
    run: Vec<Pair>,
    /// Bad runs of the rollout so far.
    bad_runs: u64,
    tripped: bool,
}

crate::state::state!(Flapping { stable, window, run, bad_runs, tripped } fixed { margin });

impl Flapping {
    /// Starts from stable's seconds before the rollout; `margin` is the tolerated rise of the error rate.
    pub(crate) fn new(history: &[Counts], margin: f64) -> Self {
        let mut stable = StableBursts::default();
        history.iter().for_each(|second| stable.fold(*second));
        Self {
            margin,
            stable,
            window: Window::default(),
            run: Vec::new(),
            bad_runs: 0,
            tripped: false,
        }
    }

    /// Takes one slice.
    pub(crate) fn fold(&mut self, pair: Pair, seconds: f64) {
        let chance = chance_of_bad_run(pair, self.stable.rate());
        self.window.push(pair, seconds, chance);
        self.stable.fold(pair.stable);
        if let Some(errors) = self.close_bad_run(pair) {
            self.bad_runs += 1;
            self.window.mark(errors);
            self.tripped |= self.is_improbable();
        }
    }

    /// Stable's bursts so far.
    pub(crate) fn stable(&self) -> &StableBursts {
        &self.stable
    }

    pub(crate) fn is_tripped(&self) -> bool {
        self.tripped
    }

    /// Canary errors of the newest run, if it is bad. Every slice with canary requests ends a run, the shortest one of
    /// such slices that holds enough; a bad one is used up.
    fn close_bad_run(&mut self, pair: Pair) -> Option<u64> {
        if pair.canary.n == 0 {
            return None;
        }
        self.run.push(pair);
        let mut requests: u64 = self.run.iter().map(|part| part.canary.n).sum();
        let mut spare = 0;
        for part in &self.run {
            requests -= part.canary.n;
            if requests < FEWEST {
                break;
            }
            spare += 1;
        }
        self.run.drain(..spare);
        let mut total = Pair::default();
        self.run.iter().for_each(|part| total.add(*part));
        let bad = is_bad(total);
        if bad {
            self.run.clear();
        }
        bad.then_some(total.canary.x)
    }

    /// Whether the bad runs of the last minute are beyond what stable's bursts and chance give a canary that is well.
    fn is_improbable(&self) -> bool {
        let Some(seen) = self.window.summary() else {
            return false;
        };
        let separate = seen.episodes >= 2 || seen.bad_runs >= LONG_EPISODE;
        let beyond_margin = seen.extra_rate.is_some_and(|extra| extra > self.margin);
        if !separate || !beyond_margin {
            return false;
        }
        let (bursts, requests) = self.stable.at_least(seen.fewest_errors);
        let share = seen.canary_requests / requests.max(1.0);
        // The newest bad run is the occasion of the question; the others are the answer.
        let tail = upper_tail(bursts, share, seen.chance, seen.bad_runs - 1);
        let asked = self.bad_runs as f64;
        tail <= ALPHA / (asked * (asked - 1.0).max(1.0))
    }
}

/// At least half of the canary's requests fail, and few of stable's.
fn is_bad(run: Pair) -> bool {
    let fails = run.canary.x >= FEWEST && run.canary.x.saturating_mul(2) >= run.canary.n;
    fails && run.stable.rate().is_some_and(|rate| rate < 0.1)
}

/// Upper bound of the chance that a healthy canary's run that ends with this slice is bad.
fn chance_of_bad_run(pair: Pair, stable_rate: f64) -> f64 {
    let requests = pair.canary.n.max(FEWEST);
    let errors = FEWEST.max(requests.div_ceil(2));
    tail::binomial_bound(requests as f64, errors as f64, WANDER * stable_rate)
}

#[cfg(test)]
mod tests;
