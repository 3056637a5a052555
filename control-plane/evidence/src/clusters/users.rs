//! Variance between users, from cluster totals: section 6 of the design.

use super::CLUSTERS;
use crate::counts::Counts;
use crate::logs::sqrt;

/// Standard errors by which the inflation must exceed 1 to count.
const SIGNIFICANCE: f64 = 1.5;
/// Traffic in fewer clusters comes from too few users to tell them apart.
const FEWEST_CLUSTERS: usize = 8;

/// How far the clusters of one variant are from the variant's own rate.
///
/// The rate is taken per epoch: neither a constant effect of the canary nor a drift of both variants between epochs is
/// a difference between users. The deviations are signed and add up over epochs, so that what a user does in every
/// epoch is seen even where no single epoch is enough to see it.
#[derive(Clone, Debug)]
pub(super) struct UserNoise {
    deviation: [f64; CLUSTERS],
    /// Of the deviation, if requests were independent.
    variance: [f64; CLUSTERS],
    /// Its fourth cumulant.
    tail: [f64; CLUSTERS],
}

crate::state::state!(UserNoise {
    deviation,
    variance,
    tail
});

impl Default for UserNoise {
    fn default() -> Self {
        Self {
            deviation: [0.0; CLUSTERS],
            variance: [0.0; CLUSTERS],
            tail: [0.0; CLUSTERS],
        }
    }
}

impl UserNoise {
    /// Adds an epoch.
    pub(super) fn add(&mut self, totals: &[Counts; CLUSTERS]) {
        let mut all = Counts::default();
        totals.iter().for_each(|counts| all.add(*counts));
        let Some(rate) = all.rate() else {
            return;
        };
        let spread = rate * (1.0 - rate);
        for (h, counts) in totals.iter().enumerate() {
            let n = counts.n as f64;
            self.deviation[h] += counts.x as f64 - n * rate;
            self.variance[h] += n * spread;
            self.tail[h] += n * spread * (1.0 - 6.0 * spread);
        }
    }

    /// `sum_h deviation_h^2 / variance_h / (B - 1)` over the B clusters with traffic, if it is significant, else 1.
    ///
    /// Significant is more than 1.5 standard errors above 1. With many events per cluster that is
    /// `1 + 1.5 sqrt(2 / 63) = 1.27`; a few events over many clusters scatter more, by the fourth cumulant of their
    /// counts, and the bound is wider.
    pub(super) fn phi(&self) -> f64 {
        let (mut statistic, mut scatter, mut used) = (0.0, 0.0, 0usize);
        for h in 0..CLUSTERS {
            let variance = self.variance[h];
            if variance > 0.0 {
                statistic += self.deviation[h] * self.deviation[h] / variance;
                scatter += 2.0 + (self.tail[h] / variance / variance).max(0.0);
                used += 1;
            }
        }
        if used < FEWEST_CLUSTERS {
            return 1.0;
        }
        let freedom = (used - 1) as f64;
        let phi = statistic / freedom;
        let error = sqrt(scatter / used as f64 / freedom);
        if phi > 1.0 + SIGNIFICANCE * error {
            phi
        } else {
            1.0
        }
    }
}
