//! Movements of the canary-stable contrast at the time scales of the law: what is shared cancels in it.

use super::pairs::{Moments, PairSums};
use super::{SCALES, block_seconds};
use crate::contrast::Contrast;
use crate::counts::Pair;

#[derive(Clone, Copy, Debug, Default)]
struct Scale {
    open: Contrast,
    seconds: f64,
    previous: Option<Contrast>,
    pairs: PairSums,
}

crate::state::state!(Scale {
    open,
    seconds,
    previous,
    pairs
});

/// Dyadic blocks of the contrast.
#[derive(Clone, Debug, Default)]
pub(super) struct ContrastScales {
    scales: [Scale; SCALES],
}

crate::state::state!(ContrastScales { scales });

impl ContrastScales {
    /// Takes one slice; `rate` is the error rate of which the movements are fractions.
    pub(super) fn fold(&mut self, pair: Pair, seconds: f64, rate: f64) {
        let (mut block, mut lasted) = (Contrast::of(pair), seconds);
        for (index, scale) in self.scales.iter_mut().enumerate() {
            scale.open.add(block);
            scale.seconds += lasted;
            if scale.seconds < 0.999 * block_seconds(index) {
                return;
            }
            (block, lasted) = (
                std::mem::take(&mut scale.open),
                std::mem::take(&mut scale.seconds),
            );
            let previous = scale.previous.take();
            if lasted > 1.999 * block_seconds(index) || block.weight <= 0.0 {
                continue;
            }
            scale.previous = Some(block);
            if let Some(previous) = previous {
                scale.compare(previous, block, rate);
            }
        }
    }

    pub(super) fn moments(&self) -> [Option<Moments>; SCALES] {
        self.scales.map(|scale| scale.pairs.moments())
    }
}

impl Scale {
    /// Half of the squared relative difference: two arms move, and the law is that of one.
    fn compare(&mut self, before: Contrast, now: Contrast, rate: f64) {
        let total = before.weight + now.weight;
        let (share_before, share_now) = (before.weight / total, now.weight / total);
        let difference = now.difference * share_before - before.difference * share_now;
        let counting =
            now.variance * share_before * share_before + before.variance * share_now * share_now;
        let expected = before.weight * share_now * rate;
        if counting > 0.0 && expected > 0.0 {
            let relative = 0.5 / (expected * expected);
            self.pairs
                .add(difference * difference * relative, counting * relative);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(slice: impl Fn(u64) -> Pair) -> Vec<f64> {
        let mut scales = ContrastScales::default();
        (0..256).for_each(|second| scales.fold(slice(second), 1.0, 0.01));
        let known = scales.moments().into_iter().flatten();
        known.map(|moments| moments.square).collect()
    }

    #[test]
    fn what_is_shared_does_not_move_the_contrast() {
        let level = |second: u64| {
            if (second / 16).is_multiple_of(2) {
                1
            } else {
                3
            }
        };
        let shared = squares(|s| Pair::new(level(s), 100, 9 * level(s), 900));
        assert!(shared.iter().all(|square| *square < 1e-20), "{shared:?}");
        let alone = squares(|s| Pair::new(level(s), 100, 18, 900));
        // The canary's levels differ by twice the rate, and half of the square counts.
        assert!((alone[4] - 2.0).abs() < 1e-9, "{alone:?}");
    }
}
