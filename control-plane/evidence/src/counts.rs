//! What the engine takes: counts per variant and slice.

use crate::numeric::Moments;

/// A count at or above this in one slice is a saturated or corrupt counter, not traffic.
const IMPLAUSIBLE: u64 = u32::MAX as u64;

/// Events among trials, e.g. errors among requests. Meaningful if `x <= n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub x: u64,
    /// Trials.
    pub n: u64,
}

crate::state::state!(Counts { x, n });

impl Counts {
    pub(crate) fn is_plausible(self) -> bool {
        self.x <= self.n && self.n < IMPLAUSIBLE
    }

    /// Events as a fraction of trials, 0..=1; none without trials.
    pub(crate) fn rate(self) -> Option<f64> {
        (self.n > 0).then(|| self.x as f64 / self.n as f64)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.x = self.x.saturating_add(other.x);
        self.n = self.n.saturating_add(other.n);
    }
}

/// The counts of both variants in the same slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The variant under test.
    pub canary: Counts,
    /// The variant that serves today.
    pub stable: Counts,
}

crate::state::state!(Pair { canary, stable });

impl Pair {
    /// The counts `x_C` of `n_C` and `x_S` of `n_S`.
    pub fn new(x_canary: u64, n_canary: u64, x_stable: u64, n_stable: u64) -> Self {
        Self {
            canary: Counts {
                x: x_canary,
                n: n_canary,
            },
            stable: Counts {
                x: x_stable,
                n: n_stable,
            },
        }
    }

    /// Whether both variants have trials, so that they can be compared.
    pub fn has_both(self) -> bool {
        self.canary.n > 0 && self.stable.n > 0
    }

    pub(crate) fn is_plausible(self) -> bool {
        self.canary.is_plausible() && self.stable.is_plausible()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.canary.add(other.canary);
        self.stable.add(other.stable);
    }
}

/// The sum of `n` values that lie in 0..=1. With values 0 and 1 it is a count of events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Sum of the values.
    pub x: f64,
    /// Number of values.
    pub n: f64,
}

crate::state::state!(Sum { x, n });

impl Sum {
    /// Estimated variance of the sum, `x (n - x) / (n - 1)`; 0 for fewer than two values. It is
    /// exact for events and an upper bound for other values.
    pub(crate) fn variance(self) -> f64 {
        if self.n > 1.0 {
            self.x * (self.n - self.x) / (self.n - 1.0)
        } else {
            0.0
        }
    }
}

impl From<Counts> for Sum {
    fn from(counts: Counts) -> Self {
        Self {
            x: counts.x as f64,
            n: counts.n as f64,
        }
    }
}

/// Sums of both variants in the same slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// The variant under test.
    pub canary: Sum,
    /// The variant that serves today.
    pub stable: Sum,
}

impl Sums {
    pub(crate) fn has_both(self) -> bool {
        self.canary.n > 0.0 && self.stable.n > 0.0
    }
}

impl From<Pair> for Sums {
    fn from(pair: Pair) -> Self {
        Self {
            canary: pair.canary.into(),
            stable: pair.stable.into(),
        }
    }
}

/// The requests of one variant in one slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arm {
    /// Requests that ended, without those that the caller cancelled.
    pub requests: u64,
    /// Requests that failed, of any class, before rescue. At most `requests`.
    pub errors: u64,
    /// Sparse latency histogram `(bucket, count)`: bucket `i` holds `(gamma^(i-1), gamma^i]`
    /// microseconds. Its total is its own number of trials and may differ from `requests`.
    pub latency: Vec<(u16, u64)>,
}

impl Arm {
    /// Adds the counts of another part of the same slice. The order of additions does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        for &(bucket, count) in &other.latency {
            match self
                .latency
                .binary_search_by_key(&bucket, |&(present, _)| present)
            {
                Ok(at) => self.latency[at].1 = self.latency[at].1.saturating_add(count),
                Err(at) => self.latency.insert(at, (bucket, count)),
            }
        }
    }

    pub(crate) fn errors(&self) -> Counts {
        Counts {
            x: self.errors,
            n: self.requests,
        }
    }

    pub(crate) fn is_plausible(&self) -> bool {
        self.errors().is_plausible() && total(&self.latency) < IMPLAUSIBLE
    }
}

/// One slice of requests: the shortest run of closed cells of one epoch that the engine takes at
/// once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestSlice {
    /// The epoch in which the requests were assigned.
    pub epoch: u64,
    /// How long the slice lasted, in seconds: the time scale of noise, and of what is said to be missing. One that
    /// cannot be divided by counts as a second of noise.
    pub seconds: f64,
    /// The variant under test.
    pub canary: Arm,
    /// The variant that serves today.
    pub stable: Arm,
}

impl RequestSlice {
    pub(crate) fn errors(&self) -> Pair {
        Pair {
            canary: self.canary.errors(),
            stable: self.stable.errors(),
        }
    }
}

/// Predictions of both variants, whether or not a label came for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Of the variant under test.
    pub canary: u64,
    /// Of the variant that serves today.
    pub stable: u64,
}

/// One sealed slice of labels of one metric, by the time of the prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelSlice {
    /// The epoch in which the labelled requests were assigned.
    pub epoch: u64,
    /// How long the slice lasted, in seconds; only used to say how long missing evidence will take.
    pub seconds: f64,
    /// Events (correct predictions, clicks ...) among labelled predictions.
    pub pair: Pair,
    /// The predictions of the slice that could have got a label; none if they were not counted, which leaves unchecked
    /// whether both variants get as many labels.
    pub assigned: Option<Assigned>,
}

/// Pairs of answers to the same requests in one slice, in shadow mode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShadowSlice {
    /// The epoch in which the requests were assigned.
    pub epoch: u64,
    /// How long the slice lasted, in seconds; only used to say how long missing evidence will take.
    pub seconds: f64,
    /// Disagreements among compared pairs.
    pub pairs: Counts,
}

/// Sketches of the scores of both variants in one slice.
///
/// A bucket (0..=4095; higher ones count as the last) is any monotone function of the score, the same for both variants
/// and all slices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreSlice {
    /// Sparse histogram `(bucket, count)` of the variant under test.
    pub canary: Vec<(u16, u64)>,
    /// The same of the variant that serves today.
    pub stable: Vec<(u16, u64)>,
}

impl ScoreSlice {
    pub(crate) fn is_plausible(&self) -> bool {
        total(&self.canary) < IMPLAUSIBLE && total(&self.stable) < IMPLAUSIBLE
    }
}

/// The total of a sparse histogram.
fn total(sparse: &[(u16, u64)]) -> u64 {
    sparse
        .iter()
        .fold(0u64, |sum, (_, count)| sum.saturating_add(*count))
}

/// The scores of both variants in one slice.
///
/// Sums of floating-point numbers depend on their order: to get the same evidence from any order of reports, sum them
/// as integers (e.g. millionths) and convert once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanSlice {
    /// The epoch in which the scored requests were assigned.
    pub epoch: u64,
    /// How long the slice lasted, in seconds; only used to say how long missing evidence will take.
    pub seconds: f64,
    /// Scores of the variant under test, within 1e12 of 0.
    pub canary: Moments,
    /// Scores of the variant that serves today.
    pub stable: Moments,
}

impl MeanSlice {
    pub(crate) fn is_plausible(&self) -> bool {
        self.canary.is_plausible() && self.stable.is_plausible()
    }

    /// The number of scores, as trials without events.
    pub(crate) fn trials(&self) -> Pair {
        Pair::new(0, self.canary.n as u64, 0, self.stable.n as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arm() -> impl Strategy<Value = Arm> {
        (
            0..1000u64,
            0..1000u64,
            prop::collection::vec((0..50u16, 0..9u64), 0..20),
        )
            .prop_map(|(requests, errors, latency)| {
                let mut sorted = Arm {
                    requests,
                    errors,
                    latency: Vec::new(),
                };
                sorted.merge(&Arm {
                    requests: 0,
                    errors: 0,
                    latency,
                });
                sorted
            })
    }

    proptest! {
        #[test]
        fn merging_is_commutative_and_associative(a in arm(), b in arm(), c in arm()) {
            let sum = |parts: [&Arm; 3]| {
                let mut total = Arm::default();
                parts.into_iter().for_each(|part| total.merge(part));
                total
            };
            let mut pair = b.clone();
            pair.merge(&c);
            let mut nested = a.clone();
            nested.merge(&pair);
            prop_assert_eq!(sum([&a, &b, &c]), sum([&c, &a, &b]));
            prop_assert_eq!(sum([&a, &b, &c]), nested);
        }
    }

    #[test]
    fn corrupt_counters_are_not_plausible() {
        assert!(Counts { x: 0, n: 0 }.is_plausible());
        assert!(!Counts { x: 2, n: 1 }.is_plausible());
        assert!(!Counts { x: 0, n: u64::MAX }.is_plausible());
        assert!(
            !Counts {
                x: 0,
                n: u64::from(u32::MAX)
            }
            .is_plausible()
        );
        let saturated = vec![(1, u64::MAX), (2, u64::MAX)];
        assert!(
            !Arm {
                requests: 1,
                errors: 0,
                latency: saturated
            }
            .is_plausible()
        );
    }
}
