//! Measured variance inflation of the canary-stable contrast, section 6 of the design.
//!
//! It comes from successive differences of dyadic blocks of slices, at scales of 1 to 64 slices.
//! What both variants share (drift, incidents) cancels, and so does a constant effect; the largest
//! pair is dropped, so that the sudden break of a bad canary does not count as noise.

use crate::contrast::Contrast;
use crate::counts::Sums;
use crate::logs::sqrt;

const SCALES: usize = 7;
const SIGNIFICANCE: f64 = 1.5;
const FEWEST_PAIRS: f64 = 3.0;

/// One time scale: blocks of `2^level` slices and the sums over successive pairs of them.
#[derive(Clone, Copy, Debug, Default)]
struct Scale {
    open: Contrast,
    previous: Contrast,
    squares: f64,
    expected: f64,
    pairs: f64,
    largest_square: f64,
    largest_expected: f64,
}

crate::state::state!(Scale {
    open,
    previous,
    squares,
    expected,
    pairs,
    largest_square,
    largest_expected
});

impl Scale {
    /// Closes the open block, compares it with the one before it and returns it.
    fn close(&mut self) -> Contrast {
        let (now, before) = (self.open, self.previous);
        let total = now.weight + before.weight;
        if now.weight > 0.0 && before.weight > 0.0 {
            let (share_before, share_now) = (before.weight / total, now.weight / total);
            let contrast =
                (now.difference * before.weight - before.difference * now.weight) / total;
            let square = contrast * contrast;
            let expected = now.variance * share_before * share_before
                + before.variance * share_now * share_now;
            if expected > 0.0 {
                self.add_pair(square, expected);
            }
        }
        self.previous = now;
        self.open = Contrast::default();
        now
    }

    fn add_pair(&mut self, square: f64, expected: f64) {
        self.squares += square;
        self.expected += expected;
        self.pairs += 1.0;
        if square > self.largest_square {
            self.largest_square = square;
            self.largest_expected = expected;
        }
    }

    /// The inflation at this scale if it is significant, else 1.
    fn phi(&self) -> f64 {
        let squares = self.squares - self.largest_square;
        let expected = self.expected - self.largest_expected;
        let pairs = self.pairs - 1.0;
        if pairs < FEWEST_PAIRS || expected <= 0.0 {
            return 1.0;
        }
        let ratio = squares / expected;
        // 1.5: successive pairs share a block, so they are correlated.
        let effective = 1.0 / (1.5 / pairs + 0.5 / expected);
        if ratio > 1.0 + SIGNIFICANCE * sqrt(2.0 / effective) {
            ratio
        } else {
            1.0
        }
    }
}

/// The dispersion of one comparison at all time scales.
#[derive(Clone, Debug, Default)]
pub struct Dispersion {
    slices: u64,
    scales: [Scale; SCALES],
}

crate::state::state!(Dispersion { slices, scales });

impl Dispersion {
    /// Takes one slice. A slice without both variants counts as time but carries no contrast.
    pub fn fold(&mut self, sums: impl Into<Sums>) {
        self.fold_contrast(Contrast::of(sums));
    }

    /// Takes the contrast of one slice.
    pub(crate) fn fold_contrast(&mut self, contrast: Contrast) {
        self.scales[0].open.add(contrast);
        self.slices += 1;
        for level in 0..SCALES {
            if !self.slices.is_multiple_of(1 << level) {
                break;
            }
            let closed = self.scales[level].close();
            if let Some(next) = self.scales.get_mut(level + 1) {
                next.open.add(closed);
            }
        }
    }

    /// The variance inflation phi >= 1: the largest over the time scales.
    pub fn phi(&self) -> f64 {
        self.scales.iter().map(Scale::phi).fold(1.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Pair;

    #[test]
    fn a_constant_effect_is_not_noise() {
        let mut dispersion = Dispersion::default();
        (0..300).for_each(|_| dispersion.fold(Pair::new(20, 100, 9, 900)));
        assert_eq!(dispersion.phi(), 1.0);
    }

    #[test]
    fn one_sudden_break_is_not_noise() {
        let mut dispersion = Dispersion::default();
        for slice in 0..300 {
            let errors = if slice < 128 {
                1 + slice % 2
            } else {
                90 + slice % 2
            };
            dispersion.fold(Pair::new(errors, 100, 9 + slice % 3, 900));
        }
        assert_eq!(dispersion.phi(), 1.0);
    }

    #[test]
    fn what_both_variants_share_is_not_noise() {
        let mut dispersion = Dispersion::default();
        for slice in 0..300 {
            let incident = if slice % 50 < 10 { 30 } else { 1 };
            dispersion.fold(Pair::new(incident, 100, 9 * incident, 900));
        }
        assert_eq!(dispersion.phi(), 1.0);
    }

    #[test]
    fn bursts_of_one_variant_are_noise() {
        let mut dispersion = Dispersion::default();
        for slice in 0..300 {
            let burst = if slice % 10 < 5 { 12 } else { 0 };
            dispersion.fold(Pair::new(burst, 100, 54, 900));
        }
        assert!(dispersion.phi() > 3.0, "{}", dispersion.phi());
    }

    #[test]
    fn slices_without_both_variants_carry_nothing() {
        let mut dispersion = Dispersion::default();
        for _ in 0..100 {
            dispersion.fold(Pair::new(50, 100, 0, 0));
            dispersion.fold(Pair::default());
        }
        assert_eq!(dispersion.phi(), 1.0);
    }
}
