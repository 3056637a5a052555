//! Do the clusters get the share of the canary that was asked? Section 5 of the product design.

use super::{CLUSTERS, ClusterTotals};
use crate::logs::sqrt;

/// What the canary got more than its share, per cluster, summed over epochs.
#[derive(Clone, Debug)]
pub(super) struct ClusterRatio {
    /// `n_C - w n`.
    excess: [f64; CLUSTERS],
    /// Requests of both variants.
    requests: [f64; CLUSTERS],
    /// Variance of the excess of all clusters together, if requests were independent.
    variance: f64,
}

crate::state::state!(ClusterRatio {
    excess,
    requests,
    variance
});

impl Default for ClusterRatio {
    fn default() -> Self {
        Self {
            excess: [0.0; CLUSTERS],
            requests: [0.0; CLUSTERS],
            variance: 0.0,
        }
    }
}

impl ClusterRatio {
    /// Adds an epoch. A share at its edge says nothing.
    pub(super) fn add(&mut self, totals: &ClusterTotals, share: f64) {
        if !(share > 0.0 && share < 1.0) {
            return;
        }
        for h in 0..CLUSTERS {
            let canary = totals.canary[h].n as f64;
            let requests = canary + totals.stable[h].n as f64;
            self.excess[h] += canary - share * requests;
            self.requests[h] += requests;
            self.variance += requests * share * (1.0 - share);
        }
    }

    /// The mean excess over its standard error; none without requests.
    ///
    /// The standard error is the one measured between clusters, but at least the one expected if the share is right.
    /// While the canary has hardly any users the measured one is far too small: without a single one, every cluster has
    /// the same small deficit. The expected one is that of independent requests, inflated by how much the clusters'
    /// traffic is clumped into users (the variance of their requests over its mean).
    pub(super) fn t(&self) -> Option<f64> {
        let (mean, between) = moments(&self.excess);
        let (traffic, spread) = moments(&self.requests);
        if traffic <= 0.0 || self.variance <= 0.0 {
            return None;
        }
        let clumping = (spread / traffic).max(1.0);
        let of_all = CLUSTERS as f64;
        let expected = clumping * self.variance / (of_all * of_all);
        Some(mean / sqrt((between / of_all).max(expected)))
    }
}

/// Mean and variance.
fn moments(values: &[f64; CLUSTERS]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / CLUSTERS as f64;
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    (mean, squares / (CLUSTERS - 1) as f64)
}
