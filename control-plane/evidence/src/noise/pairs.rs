//! Successive blocks of a time scale, compared: how much they differ, and how much counting alone makes them differ.

/// Keeps a pair without counting noise from having all the weight.
const LEAST_NOISE: f64 = 0.05;
/// Successive pairs share a block: so many pairs are worth one independent pair.
const OVERLAP: f64 = 1.5;

/// What a time scale knows of the squared relative differences between neighbouring blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    /// Independent pairs it is worth.
    pub(super) pairs: f64,
    /// Mean squared relative difference.
    pub(super) square: f64,
    /// What of that is expected from counting.
    pub(super) counting: f64,
}

/// Weighted sums over the pairs of one scale.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PairSums {
    weight: f64,
    weight_squared: f64,
    square: f64,
    counting: f64,
}

crate::state::state!(PairSums {
    weight,
    weight_squared,
    square,
    counting
});

impl PairSums {
    /// Adds a pair by its squared relative difference and the part that counting alone is expected to give. A pair weighs
    /// by the inverse variance that it has without noise.
    pub(super) fn add(&mut self, square: f64, counting: f64) {
        let spread = counting + LEAST_NOISE;
        let weight = 1.0 / (spread * spread);
        let usable = square.is_finite() && weight.is_finite() && weight > 0.0;
        if !usable {
            return;
        }
        self.weight += weight;
        self.weight_squared += weight * weight;
        self.square += weight * square;
        self.counting += weight * counting;
    }

    /// The means; none without pairs.
    pub(super) fn moments(&self) -> Option<Moments> {
        // The squares of very small weights vanish.
        let usable = self.weight_squared > 0.0;
        usable.then(|| Moments {
            pairs: self.weight * self.weight / self.weight_squared / OVERLAP,
            square: self.square / self.weight,
            counting: self.counting / self.weight,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pairs_count_alike() {
        let mut sums = PairSums::default();
        assert_eq!(sums.moments(), None);
        (0..30).for_each(|pair| sums.add(f64::from(pair % 2), 0.5));
        let moments = sums.moments().unwrap();
        assert!((moments.pairs - 20.0).abs() < 1e-9);
        assert!((moments.square - 0.5).abs() < 1e-12);
        assert!((moments.counting - 0.5).abs() < 1e-12);
    }

    #[test]
    fn pairs_of_few_events_weigh_little() {
        let mut sums = PairSums::default();
        sums.add(0.1, 0.1);
        sums.add(4.0, 4.0);
        assert!(sums.moments().unwrap().square < 0.11);
        sums.add(f64::NAN, 1.0);
        sums.add(1.0, f64::INFINITY);
        assert!(sums.moments().unwrap().square < 0.11);
    }
}
