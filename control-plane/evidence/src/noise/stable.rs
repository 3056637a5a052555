//! Stable's own movements at the time scales of the law.

use super::incidents::UsualRate;
use super::pairs::{Moments, PairSums};
use super::{SCALES, block_seconds};
use crate::counts::{Counts, Sum};

/// Blocks of this scale and longer are left out if they are incidents. In shorter ones a burst of one second would be
/// taken for an incident.
const SHORTEST_INCIDENT: usize = 3;
/// The scale whose blocks say what is usual.
const USUAL: usize = 4;
/// The mean rate starts at this.
const PRIOR: Sum = Sum { x: 0.5, n: 100.0 };
const HIGHEST_RATE: f64 = 0.5;

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    sum: Sum,
    seconds: f64,
}

crate::state::state!(Block { sum, seconds });

#[derive(Clone, Copy, Debug, Default)]
struct Scale {
    open: Block,
    previous: Option<Sum>,
    pairs: PairSums,
}

crate::state::state!(Scale {
    open,
    previous,
    pairs
});

/// Dyadic blocks of stable's errors.
#[derive(Clone, Debug)]
pub(super) struct StableScales {
    scales: [Scale; SCALES],
    usual: UsualRate,
    calm: Sum,
}

crate::state::state!(StableScales {
    scales,
    usual,
    calm
});

impl StableScales {
    pub(super) fn new(history: &[Counts]) -> Self {
        let mut scales = Self {
            scales: [Scale::default(); SCALES],
            usual: UsualRate::default(),
            calm: PRIOR,
        };
        // What is usual is known first, so that an incident in the oldest minute is one.
        for seconds in history.chunks(1 << USUAL) {
            let mut sum = Counts::default();
            seconds.iter().for_each(|second| sum.add(*second));
            scales.usual.add(sum.into());
        }
        history.iter().for_each(|second| scales.fold(*second, 1.0));
        scales
    }

    pub(super) fn fold(&mut self, counts: Counts, seconds: f64) {
        let mut block = Block {
            sum: counts.into(),
            seconds,
        };
        for index in 0..SCALES {
            let scale = &mut self.scales[index];
            scale.open.sum.x += block.sum.x;
            scale.open.sum.n += block.sum.n;
            scale.open.seconds += block.seconds;
            // Seconds are sums of fractions: a block is full a little early.
            if scale.open.seconds < 0.999 * block_seconds(index) {
                return;
            }
            block = std::mem::take(&mut scale.open);
            self.close(index, &mut block);
        }
    }

    /// Compares a full block with the one before it; an incident is emptied, so that no longer block holds it.
    fn close(&mut self, index: usize, block: &mut Block) {
        if index == USUAL {
            self.usual.add(block.sum);
        }
        if index >= SHORTEST_INCIDENT && self.usual.is_incident(block.sum) {
            block.sum = Sum::default();
        }
        if index == SHORTEST_INCIDENT {
            self.calm.x += block.sum.x;
            self.calm.n += block.sum.n;
        }
        let scale = &mut self.scales[index];
        let previous = scale.previous.take();
        // Slices can be longer than the blocks of a scale: that scale then has nothing to say.
        if block.seconds > 1.999 * block_seconds(index) || block.sum.n <= 0.0 {
            return;
        }
        scale.previous = Some(block.sum);
        let Some(previous) = previous else {
            return;
        };
        let inside = self.usual.is_incident(previous) && self.usual.is_incident(block.sum);
        if let (Some((square, counting)), false) = (compare(previous, block.sum), inside) {
            scale.pairs.add(square, counting);
        }
    }

    pub(super) fn moments(&self) -> [Option<Moments>; SCALES] {
        self.scales.map(|scale| scale.pairs.moments())
    }

    /// Stable's error rate outside incidents, a fraction at most 1/2.
    pub(super) fn mean_rate(&self) -> f64 {
        (self.calm.x / self.calm.n).min(HIGHEST_RATE)
    }
}

/// The squared relative difference of two blocks, and what counting alone gives; none without errors.
fn compare(before: Sum, now: Sum) -> Option<(f64, f64)> {
    let total = before.n + now.n;
    let rate = (before.x + now.x) / total;
    if before.x + now.x < 1.0 || rate >= HIGHEST_RATE {
        return None;
    }
    let expected = before.n * now.n / total * rate;
    let difference = (before.x * now.n - now.x * before.n) / total;
    let relative = difference / expected;
    Some((relative * relative, (1.0 - rate) / expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(x: u64) -> Counts {
        Counts { x, n: 300 }
    }

    #[test]
    fn a_level_that_alternates_shows_at_its_time_scale() {
        let history: Vec<_> = (0..600)
            .map(|s| second(if s / 16 % 2 == 0 { 2 } else { 6 }))
            .collect();
        let moments = StableScales::new(&history).moments();
        // The two levels differ by their mean.
        let square = moments[4].unwrap().square;
        assert!((square - 1.0).abs() < 1e-9, "{square}");
        assert!(moments[0].unwrap().square < 0.1);
        assert!(moments[5].unwrap().square < 1e-9);
    }

    #[test]
    fn incidents_are_left_out() {
        let history: Vec<_> = (0..600)
            .map(|s| second(if (200..290).contains(&s) { 60 } else { 2 }))
            .collect();
        let scales = StableScales::new(&history);
        assert!(
            (scales.mean_rate() - 2.0 / 300.0).abs() < 1e-3,
            "{}",
            scales.mean_rate()
        );
        for moments in scales.moments()[3..].iter().flatten() {
            assert!(moments.square < 0.2, "{moments:?}");
        }
    }

    #[test]
    fn long_slices_say_nothing_of_short_times() {
        let mut scales = StableScales::new(&[]);
        (0..100).for_each(|_| scales.fold(second(2), 20.0));
        let moments = scales.moments();
        assert!(moments[..4].iter().all(Option::is_none));
        assert!(moments[4..7].iter().all(Option::is_some));
    }
}
