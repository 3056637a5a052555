//! Latency as counts per bucket: mergeable by addition, relative error 1 % (Masson, Rim, Lee: DDSketch, VLDB 2019).
//!
//! Bucket i counts values in (gamma^(i-1), gamma^i] microseconds with gamma = 1.01/0.99; bucket 0 counts values up to 1.

use std::collections::BTreeMap;

/// Ratio of two neighbouring bucket edges.
pub const GAMMA: f64 = 1.01 / 0.99;

/// Natural logarithm of [`GAMMA`].
const LN_GAMMA: f64 = 0.020000666706669435;

/// Buckets are 0..BUCKETS; the last one counts everything above about 1.4 hours.
pub const BUCKETS: usize = 1120;

/// Bucket of a value in microseconds.
#[must_use]
pub fn index(micros: u64) -> u16 {
    if micros <= 1 {
        return 0;
    }
    let position = (libm::log(micros as f64) / LN_GAMMA).ceil();
    // At most ln(2^64)/ln(gamma) = 2218, so the cast cannot wrap.
    (position as u16).min(BUCKETS as u16 - 1)
}

/// Upper edge of a bucket in microseconds.
#[must_use]
pub fn upper_edge(index: u16) -> f64 {
    libm::pow(GAMMA, f64::from(index))
}

/// A merged or finished sketch: only the buckets that have counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    counts: BTreeMap<u16, u64>,
}

impl Sketch {
    /// Counts `n` values in one bucket.
    pub fn add(&mut self, index: u16, n: u64) {
        if n > 0 {
            let count = self
                .counts
                .entry(index.min(BUCKETS as u16 - 1))
                .or_default();
            *count = count.saturating_add(n);
        }
    }

    /// Adds another sketch; commutative and associative.
    pub fn merge(&mut self, other: &Self) {
        for (&index, &n) in &other.counts {
            self.add(index, n);
        }
    }

    /// Number of values.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts
            .values()
            .fold(0, |sum, &n| sum.saturating_add(n))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Buckets with counts, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.counts.iter().map(|(&index, &n)| (index, n))
    }

    /// The q-quantile in microseconds, at the middle of its bucket (relative error 1 %); `None` without values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let index = self.quantile_bucket(q)?;
        Some(upper_edge(index) * 2.0 / (GAMMA + 1.0))
    }

    /// The bucket that the q-quantile is in; `None` without values.
    #[must_use]
    pub fn quantile_bucket(&self, q: f64) -> Option<u16> {
        let rank = (q * (self.total().checked_sub(1)? as f64)) as u64;
        let mut seen = 0u64;
        for (&index, &n) in &self.counts {
            seen = seen.saturating_add(n);
            if seen > rank {
                return Some(index);
            }
        }
        None
    }
}

/// A recorder with every bucket in place: no allocation at a record.
#[derive(Clone, Debug)]
pub struct Recorder {
    counts: Box<[u32; BUCKETS]>,
    touched: bool,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            touched: false,
        }
    }
}

impl Recorder {
    /// Counts one value.
    pub fn record(&mut self, micros: u64) {
        let count = &mut self.counts[usize::from(index(micros))];
        *count = count.saturating_add(1);
        self.touched = true;
    }

    /// What was counted since the last call.
    pub fn take(&mut self) -> Sketch {
        let mut sketch = Sketch::default();
        if std::mem::take(&mut self.touched) {
            for (index, count) in self.counts.iter_mut().enumerate() {
                // BUCKETS fits in u16.
                sketch.add(index as u16, u64::from(std::mem::take(count)));
            }
        }
        sketch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_logarithm_is_that_of_gamma() {
        assert!((LN_GAMMA / GAMMA.ln() - 1.0).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(micros in 2u64..4_000_000_000) {
            let i = index(micros);
            let v = micros as f64;
            prop_assert!(v <= upper_edge(i) * (1.0 + 1e-12));
            prop_assert!(v > upper_edge(i - 1) * (1.0 - 1e-12));
        }

        #[test]
        fn merging_in_any_order_is_the_same(a in prop::collection::vec(1u64..10_000_000, 0..50), b in prop::collection::vec(1u64..10_000_000, 0..50)) {
            let of = |values: &[u64]| { let mut r = Recorder::default(); values.iter().for_each(|&v| r.record(v)); r.take() };
            let (x, y) = (of(&a), of(&b));
            let (mut xy, mut yx) = (x.clone(), y.clone());
            xy.merge(&y);
            yx.merge(&x);
            prop_assert_eq!(&xy, &yx);
            prop_assert_eq!(xy.total(), (a.len() + b.len()) as u64);
        }
    }

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut recorder = Recorder::default();
        (1..=10_000u64).for_each(|v| recorder.record(v));
        let sketch = recorder.take();
        for q in [0.01, 0.5, 0.95, 0.99, 1.0] {
            let exact = 1.0 + q * 9999.0;
            let got = sketch.quantile(q).unwrap();
            assert!((got / exact - 1.0).abs() < 0.0102, "{q}: {got} for {exact}");
        }
        assert!(Sketch::default().quantile(0.5).is_none());
        assert!(recorder.take().is_empty());
    }

    #[test]
    fn extremes_do_not_panic() {
        assert_eq!(index(0), 0);
        assert_eq!(index(u64::MAX), BUCKETS as u16 - 1);
    }
}
