//! Does the canary get the share of the traffic that was asked? If not, the variants are not comparable and nothing may
//! be promoted on the comparison.

use crate::assessment::{RatioEvidence, SampleRatioAssessment};
use crate::clusters::{ClusterSlice, Clusters};
use crate::contrast::Contrast;
use crate::counts::{Assigned, Counts};
use crate::dispersion::Dispersion;
use crate::logs::ln;
use crate::srm::SampleRatio;

/// Accepted chance of a false alarm without keys.
const FALSE_ALARM: f64 = 0.001;
/// With keys: standard errors beyond which two successive reports are an alarm.
const ALARM_T: f64 = 5.0;

/// The newest epoch whose share is known.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    epoch: u64,
    asked: f64,
    /// Canary requests among all requests.
    got: Counts,
}

crate::state::state!(Newest { epoch, asked, got });

/// Without keys every request is assigned on its own and requests are counted; with keys clusters are.
#[derive(Clone, Debug, Default)]
pub(crate) struct RatioMonitor {
    requests: SampleRatio,
    dispersion: Dispersion,
    by_requests: Option<Newest>,
    by_clusters: Option<Newest>,
    t: f64,
    reports_beyond: u32,
}

crate::state::state!(RatioMonitor {
    requests,
    dispersion,
    by_requests,
    by_clusters,
    t,
    reports_beyond
});

impl RatioMonitor {
    /// Takes the assignments of one slice and the share that its epoch asks for.
    pub(crate) fn fold_assignments(&mut self, epoch: u64, share: f64, assigned: Assigned) {
        if !is_inside(&share) {
            return;
        }
        let got = Counts {
            x: assigned.canary,
            n: assigned.canary + assigned.stable,
        };
        let (canary, all) = (got.x as f64, got.n as f64);
        self.requests.fold(assigned.canary, assigned.stable, share);
        self.dispersion.fold_contrast(Contrast {
            difference: canary - share * all,
            weight: all,
            variance: all * share * (1.0 - share),
        });
        match &mut self.by_requests {
            Some(newest) if newest.epoch == epoch => newest.got.add(got),
            Some(newest) if newest.epoch > epoch => {}
            newest => {
                let asked = share;
                *newest = Some(Newest { epoch, asked, got });
            }
        }
    }

    /// Takes what a report of cluster totals amounts to.
    pub(crate) fn fold_clusters(&mut self, slice: &ClusterSlice, clusters: &Clusters) {
        let (Some(t), Some(asked)) = (clusters.t(), slice.share.filter(is_inside)) else {
            return;
        };
        // The last totals of an epoch that is over are no report of their own.
        if !clusters.is_newest(slice.epoch) {
            return;
        }
        let mut got = Counts::default();
        for (canary, stable) in slice.totals.canary.iter().zip(&slice.totals.stable) {
            got.add(Counts {
                x: canary.n,
                n: canary.n + stable.n,
            });
        }
        self.t = t;
        self.reports_beyond = if t.abs() > ALARM_T {
            self.reports_beyond.saturating_add(1)
        } else {
            0
        };
        let epoch = slice.epoch;
        self.by_clusters = Some(Newest { epoch, asked, got });
    }

    pub(crate) fn read(&self) -> SampleRatioAssessment {
        let newest = self.by_clusters.or(self.by_requests);
        let (mismatch, evidence) = if self.by_clusters.is_some() {
            let evidence = RatioEvidence::Clusters {
                t: self.t,
                threshold: ALARM_T,
            };
            (self.reports_beyond >= 2, evidence)
        } else if self.by_requests.is_some() {
            let phi = self.dispersion.phi();
            let (log_e, log_threshold) = (self.requests.log_e_tempered(phi), -ln(FALSE_ALARM));
            let evidence = RatioEvidence::Requests {
                log_e,
                log_threshold,
                phi,
            };
            (log_e >= log_threshold, evidence)
        } else {
            (false, RatioEvidence::Unknown)
        };
        SampleRatioAssessment {
            mismatch,
            asked: newest.map(|newest| newest.asked),
            achieved: newest.and_then(|newest| newest.got.rate()),
            evidence,
        }
    }
}

fn is_inside(share: &f64) -> bool {
    *share > 0.0 && *share < 1.0
}

#[cfg(test)]
mod tests;
