//! Whom a sidecar has met: what it counts per key, cumulative since its start.

use serinus_common::bucket::{self, CLUSTERS};
use serinus_common::distinct::Distinct;
use serinus_proto::v1;
use std::collections::BTreeMap;

/// Seconds between two reports of keys.
const EVERY: u64 = 10;

/// By epoch and position of the variant.
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<(u64, usize), Met>);

#[derive(Debug)]
struct Met {
    distinct: Distinct,
    requests: [u64; CLUSTERS as usize],
    errors: [u64; CLUSTERS as usize],
    changed: bool,
}

impl Default for Met {
    fn default() -> Self {
        Self {
            distinct: Distinct::default(),
            requests: [0; CLUSTERS as usize],
            errors: [0; CLUSTERS as usize],
            changed: false,
        }
    }
}

/// The key of a user.
pub(super) fn key(user: u64) -> String {
    format!("user-{user}")
}

impl Keys {
    pub(super) fn count(&mut self, epoch: u64, variant: usize, key: &str, failed: bool) {
        let met = self.0.entry((epoch, variant)).or_default();
        let cluster = usize::from(bucket::cluster(key.as_bytes()));
        met.distinct.insert(bucket::distinct_hash(key.as_bytes()));
        met.requests[cluster] += 1;
        met.errors[cluster] += u64::from(failed);
        met.changed = true;
    }

    /// What a report of this second says of keys.
    pub(super) fn report(
        &mut self,
        assignment: &v1::Assignment,
        second: u64,
    ) -> Vec<v1::KeyStatistics> {
        if !second.is_multiple_of(EVERY) {
            return Vec::new();
        }
        let of = |(&(epoch, variant), met): (&(u64, usize), &mut Met)| {
            let name = &assignment.variants.get(variant)?.name;
            std::mem::take(&mut met.changed).then(|| v1::KeyStatistics {
                rollout: assignment.rollout.clone(),
                epoch,
                variant: name.clone(),
                registers: met.distinct.registers().to_vec(),
                cluster_requests: met.requests.to_vec(),
                cluster_errors: met.errors.to_vec(),
            })
        };
        self.0.iter_mut().filter_map(of).collect()
    }
}
