//! A guardrail known from labels: its rate, how complete its labels are, and what the late ones say.

use crate::assessment::{LabelAssessment, LateLabelAssessment};
use crate::clusters::{ClusterSlice, Clusters};
use crate::count::{CountMonitor, Worse};
use crate::counts::{Counts, LabelSlice};
use crate::label_rate::LabelRate;
use crate::logs::ln;
use crate::traffic::Traffic;

/// Evidence from the labels of one guardrail.
#[derive(Clone, Debug)]
pub(crate) struct LabelMonitor {
    alpha: f64,
    rate: CountMonitor,
    traffic: Traffic,
    clusters: Clusters,
    completeness: LabelRate,
    late: LateLabels,
}

crate::state::state!(LabelMonitor { rate, traffic, clusters, completeness, late } fixed { alpha });

/// Labels that came after their window. They bet on rollback only, with wealth of their own, so that they can never
/// enter a running gate: which labels are late may depend on the variant.
#[derive(Clone, Debug)]
struct LateLabels {
    rate: CountMonitor,
    reopened: bool,
}

crate::state::state!(LateLabels { rate, reopened });

impl LabelMonitor {
    /// No label seen. `alpha` is the accepted chance of a false alarm, `tolerances` are the multiples of the margin that steps ask to exclude.
    pub(crate) fn new(worse: Worse, margin: f64, tolerances: Vec<f64>, alpha: f64) -> Self {
        // The baseline holds requests, not labels.
        let rate = |tolerances| CountMonitor::new(worse, margin, tolerances, Counts::default());
        Self {
            alpha,
            rate: rate(tolerances),
            traffic: Traffic::default(),
            clusters: Clusters::default(),
            completeness: LabelRate::new(margin),
            late: LateLabels {
                rate: rate(Vec::new()),
                reopened: false,
            },
        }
    }

    pub(crate) fn fold(&mut self, slice: &LabelSlice) {
        self.rate.fold_when_learnt(slice.pair, 1.0);
        self.traffic.fold(slice.epoch, slice.seconds, slice.pair);
        self.completeness.fold(slice);
    }

    /// False if the totals cannot be true.
    pub(crate) fn fold_clusters(&mut self, slice: &ClusterSlice) -> bool {
        let taken = self.clusters.fold(slice);
        let phi = self.clusters.phi();
        self.rate.know_users(phi);
        self.late.rate.know_users(phi);
        taken
    }

    /// A crossing counts at any time: once reopened, it stays so.
    pub(crate) fn fold_late(&mut self, slice: &LabelSlice) {
        let late = &mut self.late;
        late.rate.fold_when_learnt(slice.pair, 1.0);
        late.reopened |= late.rate.process().log_e_rollback() >= -ln(self.alpha);
    }

    pub(crate) fn rate(&self) -> &CountMonitor {
        &self.rate
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Whether labels are too unlike in number for the rate to count for promotion.
    pub(crate) fn blocks(&self) -> bool {
        self.completeness.blocks(self.alpha)
    }

    /// Log evidence against "worse than the tolerance with this index", none while labels are too unlike in number.
    pub(crate) fn log_e_promote(&self, tolerance: usize) -> f64 {
        if self.blocks() {
            f64::NEG_INFINITY
        } else {
            self.rate.process().log_e_promote(tolerance)
        }
    }

    pub(crate) fn read(&self) -> LabelAssessment {
        let process = self.late.rate.process();
        let total = self.late.rate.total();
        let late = (total.canary.n + total.stable.n > 0).then(|| LateLabelAssessment {
            n_canary: total.canary.n,
            n_stable: total.stable.n,
            log_e_rollback: process.log_e_rollback(),
            log_threshold: -ln(self.alpha),
            phi: process.phi(),
            reopened: self.late.reopened,
        });
        LabelAssessment {
            rate: self.completeness.read(self.alpha),
            late,
        }
    }
}

#[cfg(test)]
mod tests;
