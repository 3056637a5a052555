//! The last minute of slices.

use crate::counts::{Pair, Sums};
use std::collections::VecDeque;

const SECONDS: f64 = 60.0;
/// Slices last a second or longer; shorter ones make the window shorter.
const MOST_SLICES: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    pair: Pair,
    seconds: f64,
    /// Chance that a healthy canary has a bad run here.
    chance: f64,
    /// Canary errors of the bad run that ended here.
    bad: Option<u64>,
}

crate::state::state!(Slice {
    pair,
    seconds,
    chance,
    bad
});

/// What the window holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) bad_runs: u32,
    /// Groups of bad runs with a slice that ended none between them.
    pub(super) episodes: u32,
    /// Canary errors of the smallest bad run.
    pub(super) fewest_errors: u64,
    pub(super) canary_requests: f64,
    /// Expected bad runs of a healthy canary, bursts apart.
    pub(super) chance: f64,
    /// By how much the canary's error rate exceeds stable's; none without traffic of both.
    pub(super) extra_rate: Option<f64>,
}

/// Slices of the last 60 seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    slices: VecDeque<Slice>,
}

crate::state::state!(Window { slices });

impl Window {
    pub(super) fn push(&mut self, pair: Pair, seconds: f64, chance: f64) {
        // Without a duration a slice counts as a second.
        let usable = seconds.is_finite() && seconds > 0.0;
        let seconds = if usable { seconds } else { 1.0 };
        let slice = Slice {
            pair,
            seconds,
            chance,
            bad: None,
        };
        self.slices.push_back(slice);
        let mut total: f64 = self.slices.iter().map(|slice| slice.seconds).sum();
        while self.slices.len() > 1 && (total > SECONDS || self.slices.len() > MOST_SLICES) {
            total -= self.slices.pop_front().map_or(0.0, |slice| slice.seconds);
        }
    }

    /// A bad run with so many canary errors ended with the newest slice.
    pub(super) fn mark(&mut self, errors: u64) {
        if let Some(newest) = self.slices.back_mut() {
            newest.bad = Some(errors);
        }
    }

    /// None without a bad run.
    pub(super) fn summary(&self) -> Option<Summary> {
        let mut total = Pair::default();
        let (mut bad_runs, mut episodes, mut after_bad, mut chance) = (0, 0, false, 0.0);
        for slice in &self.slices {
            total.add(slice.pair);
            chance += slice.chance;
            if slice.bad.is_some() {
                bad_runs += 1;
                episodes += u32::from(!after_bad);
            }
            after_bad = slice.bad.is_some();
        }
        let fewest_errors = self.slices.iter().filter_map(|slice| slice.bad).min()?;
        let Sums { canary, stable } = total.into();
        let both = canary.n > 0.0 && stable.n > 0.0;
        Some(Summary {
            bad_runs,
            episodes,
            fewest_errors,
            canary_requests: canary.n,
            chance,
            extra_rate: both.then(|| canary.x / canary.n - stable.x / stable.n),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_a_minute() {
        let mut window = Window::default();
        for second in 0..200u64 {
            window.push(Pair::new(0, 6, 0, 294), 1.0, 0.001);
            if second % 10 == 0 || second % 10 == 1 {
                window.mark(second);
            }
        }
        let summary = window.summary().unwrap();
        assert_eq!((summary.bad_runs, summary.episodes), (12, 6));
        assert_eq!(summary.fewest_errors, 140);
        assert_eq!(summary.canary_requests, 360.0);
        assert!((summary.chance - 0.06).abs() < 1e-12);
    }

    #[test]
    fn slices_of_any_length_are_bounded() {
        let mut window = Window::default();
        for seconds in [0.0, f64::NAN, 1e-9, 1e9, 90.0] {
            (0..300).for_each(|_| window.push(Pair::default(), seconds, 0.0));
            assert!((1..=MOST_SLICES).contains(&window.slices.len()));
        }
        assert_eq!(window.summary(), None);
    }
}
