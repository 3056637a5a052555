//! What sidecars report per cluster of keys, and its sums over the epochs of a rollout.
//!
//! A cluster is 1/64 of all keys, chosen by a hash that does not depend on the split. A key stays in its cluster and
//! with its variant, so what differs between keys does not average out over time: only clusters show it.

mod ratio;
mod users;

use crate::counts::Counts;
use ratio::ClusterRatio;
use users::UserNoise;

/// Clusters of keys.
pub const CLUSTERS: usize = 64;
/// Epochs whose totals may still grow. Reports of several sidecars overlap at a change of the split; at most this many
/// changes fit between two of them.
const OPEN_EPOCHS: usize = 4;

/// Totals per cluster since the start of an epoch, of all sidecars together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterTotals {
    /// Per cluster: errors among requests of the variant under test (for labels: events among labelled predictions).
    pub canary: [Counts; CLUSTERS],
    /// The same of the variant that serves today.
    pub stable: [Counts; CLUSTERS],
}

crate::state::state!(ClusterTotals { canary, stable });

impl Default for ClusterTotals {
    fn default() -> Self {
        Self {
            canary: [Counts::default(); CLUSTERS],
            stable: [Counts::default(); CLUSTERS],
        }
    }
}

impl ClusterTotals {
    fn is_plausible(&self) -> bool {
        let mut all = self.canary.iter().chain(&self.stable);
        all.all(|counts| counts.is_plausible())
    }
}

/// One report of cluster totals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterSlice {
    /// The epoch in which the requests were assigned.
    pub epoch: u64,
    /// The canary's share of the keys that this epoch asks for, a fraction; none if it is not known.
    pub share: Option<f64>,
    /// Cumulative: a later report of the same epoch replaces an earlier one.
    pub totals: ClusterTotals,
}

crate::state::state!(ClusterSlice {
    epoch,
    share,
    totals
});

/// Sums over finished epochs, and the totals of those that may still grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clusters {
    /// By epoch, ascending.
    open: Vec<ClusterSlice>,
    /// Epochs up to this one are closed.
    closed_through: Option<u64>,
    closed: Sums,
    phi: f64,
    t: Option<f64>,
}

crate::state::state!(Clusters {
    open,
    closed_through,
    closed,
    phi,
    t
});

/// What is kept of an epoch: each adds up over epochs without mixing their rates or shares.
#[derive(Clone, Debug, Default)]
struct Sums {
    canary: UserNoise,
    stable: UserNoise,
    ratio: ClusterRatio,
}

crate::state::state!(Sums {
    canary,
    stable,
    ratio
});

impl Sums {
    fn add(&mut self, slice: &ClusterSlice) {
        self.canary.add(&slice.totals.canary);
        self.stable.add(&slice.totals.stable);
        if let Some(share) = slice.share {
            self.ratio.add(&slice.totals, share);
        }
    }
}

impl Clusters {
    /// Takes the present totals of an epoch; false if they cannot be true. Totals of an epoch that is long over are
    /// ignored.
    pub(crate) fn fold(&mut self, slice: &ClusterSlice) -> bool {
        if !slice.totals.is_plausible() {
            return false;
        }
        if self.closed_through.is_some_and(|last| slice.epoch <= last) {
            return true;
        }
        match self
            .open
            .binary_search_by_key(&slice.epoch, |open| open.epoch)
        {
            Ok(at) => self.open[at] = slice.clone(),
            Err(at) => self.open.insert(at, slice.clone()),
        }
        if self.open.len() > OPEN_EPOCHS {
            let oldest = self.open.remove(0);
            self.closed.add(&oldest);
            self.closed_through = Some(oldest.epoch);
        }
        let mut sums = self.closed.clone();
        self.open.iter().for_each(|open| sums.add(open));
        self.phi = sums.canary.phi().max(sums.stable.phi());
        self.t = sums.ratio.t();
        true
    }

    /// Variance inflation between users, >= 1: of the variant where it is larger.
    pub(crate) fn phi(&self) -> f64 {
        self.phi.max(1.0)
    }

    /// How far the canary's requests are from its share, in standard errors; none if no share is known.
    pub(crate) fn t(&self) -> Option<f64> {
        self.t
    }

    /// Whether this epoch is the newest one reported.
    pub(crate) fn is_newest(&self, epoch: u64) -> bool {
        self.open.last().is_some_and(|newest| newest.epoch == epoch)
    }
}

#[cfg(test)]
mod tests;
