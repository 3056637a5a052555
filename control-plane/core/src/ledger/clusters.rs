//! What sidecars count per cluster of keys: cumulative totals of every source, summed per epoch and handed to the engine
//! every 10 s.

use crate::evidence::cluster_slice;
use serinus_evidence::{CLUSTERS, ClusterTotals, Counts};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::{BTreeMap, BTreeSet};

/// Epochs that are kept, the newest ones: as many as the engine lets grow.
const EPOCHS: usize = 4;
/// Totals are folded at most this often, milliseconds: what the alarm of two successive reports counts in.
const INTERVAL_MS: u64 = 10_000;
/// What one source can have counted of one cluster.
const LIMIT: u64 = 1 << 48;
/// Standard errors of the ratio by which it may be off for requests that were assigned and are not judged.
const OFF: f64 = 2.0;
/// A share of 1, ppm.
const WHOLE: u32 = 1_000_000;

/// The cluster totals of one rollout.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    /// Epoch, source.
    totals: BTreeMap<u64, BTreeMap<u64, Box<ClusterTotals>>>,
    /// The canary's share of each epoch, ppm.
    shares: BTreeMap<u64, u32>,
    unjudged: BTreeMap<u64, Unjudged>,
    /// What was folded last, by epoch.
    folded: BTreeMap<u64, stored::ClusterTotals>,
    folded_ms: u64,
    unsaved: BTreeSet<u64>,
}

/// Requests of one epoch that the split has assigned and that are in no slice as judged ones: under way, cancelled, or
/// sent elsewhere by a breaker.
#[derive(Clone, Copy, Debug, Default)]
struct Unjudged {
    canary: f64,
    stable: f64,
}

impl Clusters {
    /// An epoch began, with this share of the canary.
    pub fn begin(&mut self, epoch: u64, ppm: u32) {
        self.shares.insert(epoch, ppm);
    }

    /// The canary's share of an epoch, ppm; 0 if it is not known.
    #[must_use]
    pub fn asked_ppm(&self, epoch: u64) -> u32 {
        self.shares.get(&epoch).copied().unwrap_or(0)
    }

    /// Takes what a source has counted of one variant since its start. Says whether that changed anything: totals that
    /// cannot be true, of an epoch that never began or is long over, or that are smaller than before, do not.
    pub fn absorb(&mut self, source: u64, is_canary: bool, keys: &v1::KeyStatistics) -> bool {
        let known = self.shares.contains_key(&keys.epoch);
        let Some(new) = counts(&keys.cluster_requests, &keys.cluster_errors).filter(|_| known)
        else {
            return false;
        };
        if self.is_over(keys.epoch) || requests(&new) == 0 {
            return false;
        }
        let sources = self.totals.entry(keys.epoch).or_default();
        let of = sources.entry(source).or_default();
        let arm = if is_canary {
            &mut of.canary
        } else {
            &mut of.stable
        };
        if requests(&new) <= requests(arm) {
            return false;
        }
        *arm = new;
        self.unsaved.insert(source);
        self.forget();
        true
    }

    /// Follows a slice of requests, live or from disk, before it is folded.
    pub fn count(&mut self, slice: &stored::Slice) {
        let judged = |arm: Option<&stored::Arm>| arm.map_or(0, |arm| arm.requests) as f64;
        let of = self.unjudged.entry(slice.epoch).or_default();
        of.canary += slice.canary_assigned as f64 - judged(slice.canary.as_ref());
        of.stable += slice.stable_assigned as f64 - judged(slice.stable.as_ref());
    }

    /// What is to be folded along with a slice at `now_ms`: the totals of every epoch that are not those folded last.
    #[must_use]
    pub fn due(&self, now_ms: u64) -> Vec<stored::ClusterTotals> {
        if now_ms < self.folded_ms.saturating_add(INTERVAL_MS) {
            return Vec::new();
        }
        let all = self.totals.iter().map(|(&epoch, sources)| {
            let mut sum = ClusterTotals::default();
            sources.values().for_each(|totals| add(&mut sum, totals));
            let ppm = self.comparable_ppm(epoch, &sum);
            to_stored(epoch, ppm, &sum)
        });
        all.filter(|new| self.folded.get(&new.epoch) != Some(new))
            .collect()
    }

    /// Follows a slice that was folded, live or from disk. The first totals wait for their interval too: a few requests
    /// tell nothing of users.
    pub fn folded(&mut self, slice: &stored::Slice) {
        if self.folded_ms == 0 {
            self.folded_ms = slice.folded_ms;
        }
        for totals in &slice.clusters {
            self.folded_ms = self.folded_ms.max(slice.folded_ms);
            self.folded.insert(totals.epoch, totals.clone());
        }
        while self.folded.len() > EPOCHS {
            self.folded.pop_first();
        }
    }

    /// What the slices have made of it, into a checkpoint.
    pub fn save(&self, checkpoint: &mut stored::Checkpoint) {
        let unjudged = self.unjudged.iter();
        checkpoint.unjudged = unjudged
            .map(|(&epoch, of)| stored::UnjudgedTotals {
                epoch,
                canary: of.canary,
                stable: of.stable,
            })
            .collect();
        checkpoint.folded = self.folded.values().cloned().collect();
        checkpoint.folded_ms = self.folded_ms;
    }

    /// Goes on with what [`Clusters::save`] gave, as if the slices up to it had been followed.
    pub fn resume(&mut self, checkpoint: &stored::Checkpoint) {
        let unjudged = checkpoint.unjudged.iter();
        self.unjudged = unjudged
            .map(|of| {
                let (canary, stable) = (of.canary, of.stable);
                (of.epoch, Unjudged { canary, stable })
            })
            .collect();
        let folded = checkpoint.folded.iter();
        self.folded = folded.map(|of| (of.epoch, of.clone())).collect();
        self.folded_ms = checkpoint.folded_ms;
    }

    /// What sources have said since this was asked last, each for a record of its own.
    pub fn take_unsaved(&mut self) -> Vec<(u64, Vec<stored::ClusterTotals>)> {
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        unsaved
            .map(|source| (source, self.of_source(source)))
            .collect()
    }

    /// Every source that has said something.
    #[must_use]
    pub fn sources(&self) -> BTreeSet<u64> {
        self.totals
            .values()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect()
    }

    /// Takes back what [`Clusters::take_unsaved`] gave of a source.
    pub fn restore(&mut self, source: u64, stored: &[stored::ClusterTotals]) {
        for of in stored {
            let totals = Box::new(cluster_slice(of).totals);
            self.totals
                .entry(of.epoch)
                .or_default()
                .insert(source, totals);
        }
        self.forget();
    }

    fn of_source(&self, source: u64) -> Vec<stored::ClusterTotals> {
        let of = self.totals.iter().filter_map(|(&epoch, sources)| {
            let totals = sources.get(&source)?;
            Some(to_stored(epoch, 0, totals))
        });
        of.collect()
    }

    /// The share that the totals of an epoch can be held against, 0 if there is none: judged requests show how the split
    /// assigned them only while those that it assigned and that are not judged would not change the picture.
    fn comparable_ppm(&self, epoch: u64, totals: &ClusterTotals) -> u32 {
        let ppm = self.asked_ppm(epoch);
        if ppm == 0 || ppm >= WHOLE {
            return 0;
        }
        let share = f64::from(ppm) / f64::from(WHOLE);
        let unjudged = self.unjudged.get(&epoch).copied().unwrap_or_default();
        let off = (1.0 - share) * unjudged.canary - share * unjudged.stable;
        let n = (requests(&totals.canary) + requests(&totals.stable)) as f64;
        let variance = n * share * (1.0 - share);
        if off * off <= OFF * OFF * variance {
            ppm
        } else {
            0
        }
    }

    fn is_over(&self, epoch: u64) -> bool {
        let oldest = self.totals.keys().next();
        self.totals.len() >= EPOCHS && oldest.is_some_and(|&oldest| epoch < oldest)
    }

    fn forget(&mut self) {
        while self.totals.len() > EPOCHS {
            self.totals.pop_first();
        }
    }
}

type Arm = [Counts; CLUSTERS];

fn requests(arm: &Arm) -> u64 {
    arm.iter().map(|counts| counts.n).sum()
}

fn add(sum: &mut ClusterTotals, more: &ClusterTotals) {
    for h in 0..CLUSTERS {
        for (sum, more) in [
            (&mut sum.canary[h], more.canary[h]),
            (&mut sum.stable[h], more.stable[h]),
        ] {
            sum.n += more.n;
            sum.x += more.x;
        }
    }
}

/// One variant of a report; `None` if it cannot be true.
fn counts(requests: &[u64], errors: &[u64]) -> Option<Arm> {
    let requests: &[u64; CLUSTERS] = requests.try_into().ok()?;
    let errors: &[u64; CLUSTERS] = errors.try_into().ok()?;
    let plausible = |(&n, &x): (&u64, &u64)| x <= n && n < LIMIT;
    requests.iter().zip(errors).all(plausible).then(|| {
        std::array::from_fn(|h| Counts {
            x: errors[h],
            n: requests[h],
        })
    })
}

fn to_stored(epoch: u64, canary_ppm: u32, totals: &ClusterTotals) -> stored::ClusterTotals {
    let requests = |arm: &Arm| arm.iter().map(|counts| counts.n).collect();
    let errors = |arm: &Arm| arm.iter().map(|counts| counts.x).collect();
    stored::ClusterTotals {
        epoch,
        canary_ppm,
        canary_requests: requests(&totals.canary),
        canary_errors: errors(&totals.canary),
        stable_requests: requests(&totals.stable),
        stable_errors: errors(&totals.stable),
    }
}

#[cfg(test)]
mod tests;
