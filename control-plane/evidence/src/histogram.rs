//! Latency histograms over logarithmic buckets, and the counts above a bucket that the engine bets on.

/// Bucket indices at or above this count as the highest bucket. With the finest gamma that is allowed (1.005) it
/// lies at 12 minutes.
pub const MAX_BUCKETS: usize = 4096;
/// Discounted weights below this are dropped, before they become subnormal and slow.
const NEGLIGIBLE: f64 = 1e-12;

/// Weights per bucket, dense between the lowest and the highest bucket seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    first: usize,
    weights: Vec<f64>,
}

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
                *value = if *value < NEGLIGIBLE { 0.0 } else { *value * keep };
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
        Tail { first: self.first, at_or_above }
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

    /// The smallest bucket b with at most the fraction 1 - q of the count at or above it, so that the upper edge of
    /// bucket b - 1 is the quantile q.
    pub fn above_quantile(&self, q: f64) -> usize {
        let allowed = (1.0 - q) * self.total() + 1e-9;
        self.first + self.at_or_above.partition_point(|count| *count > allowed)
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
            for bucket in 0..MAX_BUCKETS {
                prop_assert_eq!(forward.tail().at(bucket), parts.tail().at(bucket));
            }
        }
    }
}
