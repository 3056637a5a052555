//! Latency histograms over logarithmic buckets, and the counts above a bucket that the engine bets
//! on.

use crate::counts::{Counts, Sum};

/// Bucket indices at or above this count as the highest bucket. With the finest gamma that is
/// allowed (1.005) it lies at 12 minutes.
pub const MAX_BUCKETS: usize = 4096;
/// Discounted weights below this are dropped, before they become subnormal and slow.
const NEGLIGIBLE: f64 = 1e-12;

/// Weights per bucket, dense between the lowest and the highest bucket seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    first: usize,
    weights: Vec<f64>,
}

crate::state::state!(Histogram { first, weights });

impl Histogram {
    /// From sparse counts in any order; buckets given twice are summed.
    pub fn from_sparse(counts: &[(u16, u64)]) -> Self {
        let index = |bucket: u16| usize::from(bucket).min(MAX_BUCKETS - 1);
        let mut histogram = Self::default();
        let lowest = counts.iter().map(|(bucket, _)| index(*bucket)).min();
        let highest = counts.iter().map(|(bucket, _)| index(*bucket)).max();
        if let (Some(lowest), Some(highest)) = (lowest, highest) {
            histogram.cover(lowest, highest);
            for (bucket, count) in counts {
                histogram.weights[index(*bucket) - lowest] += *count as f64;
            }
        }
        histogram
    }

    fn cover(&mut self, lowest: usize, highest: usize) {
        if self.weights.is_empty() {
            self.first = lowest;
        }
        if lowest < self.first {
            let missing = self.first - lowest;
            self.weights.splice(0..0, std::iter::repeat_n(0.0, missing));
            self.first = lowest;
        }
        if highest >= self.first + self.weights.len() {
            self.weights.resize(highest + 1 - self.first, 0.0);
        }
    }

    /// Keeps the fraction `keep` of what is here, then adds `weight` times the other histogram.
    pub fn discount_and_add(&mut self, keep: f64, other: &Self, weight: f64) {
        if keep < 1.0 {
            for value in &mut self.weights {
                *value = if *value < NEGLIGIBLE {
                    0.0
                } else {
                    *value * keep
                };
            }
        }
        if other.weights.is_empty() {
            return;
        }
        self.cover(other.first, other.first + other.weights.len() - 1);
        let offset = other.first - self.first;
        for (value, added) in self.weights[offset..].iter_mut().zip(&other.weights) {
            *value += weight * added;
        }
    }

    /// The counts at or above each bucket.
    pub fn tail(&self) -> Tail {
        let mut at_or_above = self.weights.clone();
        let mut sum = 0.0;
        for value in at_or_above.iter_mut().rev() {
            sum += *value;
            *value = sum;
        }
        Tail {
            first: self.first,
            at_or_above,
        }
    }
}

/// Counts at or above each bucket of a histogram.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    first: usize,
    at_or_above: Vec<f64>,
}

impl Tail {
    /// The total count.
    pub fn total(&self) -> f64 {
        self.at_or_above.first().copied().unwrap_or(0.0)
    }

    /// The count in buckets >= `bucket`.
    pub fn at(&self, bucket: usize) -> f64 {
        let index = bucket.saturating_sub(self.first);
        self.at_or_above.get(index).copied().unwrap_or(0.0)
    }

    /// The count in buckets >= `bucket` as events among all counts; for unit weights only.
    pub(crate) fn counts_from(&self, bucket: usize) -> Counts {
        Counts {
            x: self.at(bucket) as u64,
            n: self.total() as u64,
        }
    }

    /// The smallest bucket b with at most the fraction 1 - q of the count at or above it, so that
    /// the upper edge of bucket b - 1 is the quantile q.
    pub fn above_quantile(&self, q: f64) -> usize {
        let allowed = (1.0 - q) * self.total() + 1e-9;
        self.first + self.at_or_above.partition_point(|count| *count > allowed)
    }

    /// The threshold of "slower than the quantile q", which about the fraction 1 - q of the count
    /// exceeds.
    pub fn threshold(&self, q: f64) -> Threshold {
        let bucket = self.above_quantile(q);
        let (wanted, above) = ((1.0 - q) * self.total(), self.at(bucket));
        let tied = self.at(bucket.saturating_sub(1)) - above;
        let clumped = above < 0.5 * wanted && tied > 0.0;
        let part = if clumped {
            (wanted - above) / tied
        } else {
            0.0
        };
        Threshold { bucket, part }
    }

    /// The score beyond a threshold: the sum over the counts of 1 from its bucket on, and of its
    /// part just below.
    pub fn score(&self, threshold: Threshold) -> f64 {
        let above = self.at(threshold.bucket);
        if threshold.part == 0.0 {
            return above;
        }
        above + threshold.part * (self.at(threshold.bucket.saturating_sub(1)) - above)
    }

    pub(crate) fn sum(&self, threshold: Threshold) -> Sum {
        Sum {
            x: self.score(threshold),
            n: self.total(),
        }
    }
}

/// A latency from which on requests count as slow.
///
/// Where many latencies share the bucket of a quantile, no bucket edge has the fraction 1 - q
/// beyond it; hardly any stable request would exceed the next edge, and no canary could be proven
/// to exceed it less. So the bucket just below counts in part. In smooth distributions the part is
/// 0 and slow is an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// From this bucket on a request counts fully.
    pub bucket: usize,
    /// How much a request in the bucket below counts, 0..=1.
    pub part: f64,
}

impl Threshold {
    /// The threshold moved by a number of buckets.
    pub fn shifted(self, buckets: isize) -> Self {
        Self {
            bucket: self.bucket.saturating_add_signed(buckets),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_bucket_edges() {
        let tail = Histogram::from_sparse(&[(10, 50), (20, 40), (30, 10)]).tail();
        assert_eq!(tail.total(), 100.0);
        assert_eq!(tail.above_quantile(0.5), 11);
        assert_eq!(tail.above_quantile(0.51), 21);
        assert_eq!(tail.above_quantile(0.9), 21);
        assert_eq!(tail.above_quantile(0.95), 31);
        assert_eq!(tail.at(0), 100.0);
        assert_eq!(tail.at(20), 50.0);
        assert_eq!(tail.at(31), 0.0);
    }

    #[test]
    fn a_threshold_splits_a_clump_and_leaves_smooth_tails_alone() {
        let clump = Histogram::from_sparse(&[(10, 900), (20, 100)]).tail();
        let threshold = clump.threshold(0.99);
        assert_eq!(threshold.bucket, 21);
        assert!((clump.score(threshold) - 10.0).abs() < 1e-9);
        assert_eq!(clump.score(threshold.shifted(1)), 0.0);
        assert!((clump.score(threshold.shifted(-1)) - 100.0).abs() < 1e-9);
        let (bucket, part) = (11, 0.0);
        assert_eq!(clump.threshold(0.9), Threshold { bucket, part });
        let smooth: Vec<_> = (0..100).map(|bucket| (bucket, 10)).collect();
        let smooth = Histogram::from_sparse(&smooth).tail();
        assert_eq!(smooth.threshold(0.95), Threshold { bucket: 95, part });
        assert_eq!(Tail::default().threshold(0.5).part, 0.0);
    }

    #[test]
    fn an_empty_histogram_has_no_counts() {
        let tail = Histogram::default().tail();
        assert_eq!((tail.total(), tail.at(3)), (0.0, 0.0));
    }

    #[test]
    fn old_counts_fade_to_nothing() {
        let mut histogram = Histogram::from_sparse(&[(5, 1)]);
        let nothing = Histogram::default();
        (0..100_000).for_each(|_| histogram.discount_and_add(0.99, &nothing, 1.0));
        assert_eq!(histogram.tail().total(), 0.0);
    }

    proptest! {
        #[test]
        fn the_order_of_counts_does_not_matter(
            mut counts in prop::collection::vec((any::<u16>(), 0..1000u64), 0..40),
        ) {
            let forward = Histogram::from_sparse(&counts);
            counts.reverse();
            prop_assert_eq!(&forward, &Histogram::from_sparse(&counts));
            let mut parts = Histogram::default();
            for part in counts.chunks(3) {
                parts.discount_and_add(1.0, &Histogram::from_sparse(part), 1.0);
            }
            prop_assert_eq!(forward.tail().total(), parts.tail().total());
            for bucket in (0..MAX_BUCKETS).step_by(97) {
                prop_assert_eq!(forward.tail().at(bucket), parts.tail().at(bucket));
            }
        }
    }
}
