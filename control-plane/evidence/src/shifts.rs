//! The interval shown for a ratio of quantiles: canary buckets are shifted against stable's until
//! the section-3 interval of the exceedance difference excludes 0.

use crate::contrast::Contrast;
use crate::counts::Sums;
use crate::histogram::{Tail, Threshold};
use crate::interval::{RHO, is_enough, normal_mixture_radius};
use crate::logs::{exp, ln};

/// Ratios up to this are candidates for the ends of the interval.
const LARGEST_RATIO: f64 = 64.0;
/// Beyond a few single buckets, candidates are this much further apart than the one before.
const GROWTH: f64 = 0.2;

#[derive(Clone, Copy, Debug, Default)]
struct Shift {
    buckets: isize,
    difference: f64,
    variance: f64,
}

crate::state::state!(Shift {
    buckets,
    difference,
    variance
});

/// Mantel-Haenszel sums of the exceedance difference at a fixed number of candidate shifts.
#[derive(Clone, Debug)]
pub(crate) struct RatioInterval {
    log_gamma: f64,
    weight: f64,
    shifts: Vec<Shift>,
}

crate::state::state!(RatioInterval { weight, shifts } fixed { log_gamma });

impl RatioInterval {
    /// Candidates between 1/64 and 64, single buckets near 1 and wider apart further away.
    pub(crate) fn new(log_gamma: f64) -> Self {
        let mut steps = vec![0isize];
        let mut last = 0isize;
        while (last as f64) * log_gamma < ln(LARGEST_RATIO) {
            last += ((last as f64 * GROWTH) as isize).max(1);
            steps.push(last);
            steps.push(-last);
        }
        steps.sort_unstable();
        let shift = |buckets| Shift {
            buckets,
            difference: 0.0,
            variance: 0.0,
        };
        Self {
            log_gamma,
            weight: 0.0,
            shifts: steps.into_iter().map(shift).collect(),
        }
    }

    /// Takes one slice with stable's threshold.
    pub(crate) fn fold(&mut self, threshold: Threshold, canary: &Tail, stable: &Tail) {
        let stable = stable.sum(threshold);
        for (index, shift) in self.shifts.iter_mut().enumerate() {
            let canary = canary.sum(threshold.shifted(shift.buckets));
            let contrast = Contrast::of(Sums { canary, stable });
            shift.difference += contrast.difference;
            shift.variance += contrast.variance;
            if index == 0 {
                self.weight += contrast.weight;
            }
        }
    }

    /// Lower and upper end of the ratio of the quantiles; none until both ends are known.
    pub(crate) fn interval(&self, phi: f64, alpha: f64) -> Option<(f64, f64)> {
        let unshifted = self.shifts.iter().find(|shift| shift.buckets == 0)?;
        if self.weight <= 0.0 || !is_enough(unshifted.variance) {
            return None;
        }
        let radius = |shift: &Shift| normal_mixture_radius(phi * shift.variance, RHO, alpha);
        let slower = self
            .shifts
            .iter()
            .rposition(|shift| shift.difference > radius(shift))?;
        let faster = self
            .shifts
            .iter()
            .position(|shift| shift.difference < -radius(shift))?;
        let ratio = |index: usize| exp(self.shifts[index].buckets as f64 * self.log_gamma);
        Some((ratio(slower), ratio(faster)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    const GAMMA: f64 = 1.02;
    const EDGE: Threshold = Threshold {
        bucket: 350,
        part: 0.0,
    };

    /// A flat latency distribution over 100 buckets, moved by `shift` buckets.
    fn flat(shift: u16, each: u64) -> Tail {
        let counts: Vec<_> = (0..100).map(|i| (300 + shift + i, each)).collect();
        Histogram::from_sparse(&counts).tail()
    }

    #[test]
    fn the_true_ratio_is_inside_and_the_interval_narrows() {
        let mut interval = RatioInterval::new(ln(GAMMA));
        let (canary, stable) = (flat(10, 2), flat(0, 3));
        let truth = exp(10.0 * ln(GAMMA));
        let mut widths = Vec::new();
        for slice in 0..100 {
            interval.fold(EDGE, &canary, &stable);
            if slice % 33 == 0 {
                let (low, high) = interval.interval(1.0, 0.05).unwrap();
                assert!(low <= truth && truth <= high, "{low} {truth} {high}");
                widths.push(high / low);
            }
        }
        assert!(
            widths.windows(2).all(|pair| pair[1] <= pair[0]),
            "{widths:?}"
        );
        let (low, high) = interval.interval(1.0, 0.05).unwrap();
        assert!(low > 1.0 && high < 1.5, "{low} {high}");
    }

    #[test]
    fn without_data_there_is_no_interval() {
        let mut interval = RatioInterval::new(ln(GAMMA));
        assert_eq!(interval.interval(1.0, 0.05), None);
        interval.fold(EDGE, &Tail::default(), &flat(0, 100));
        assert_eq!(interval.interval(1.0, 0.05), None);
    }

    #[test]
    fn the_number_of_candidates_is_small() {
        for gamma in [1.005, 1.02, 2.0] {
            let candidates = RatioInterval::new(ln(gamma)).shifts.len();
            assert!((13..=101).contains(&candidates), "{gamma}: {candidates}");
        }
    }
}
