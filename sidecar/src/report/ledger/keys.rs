//! Key statistics of several workers, each cumulative.

use crate::report::merge;
use serinus_proto::v1;
use std::collections::{BTreeMap, BTreeSet};

/// Rollout, epoch, variant.
type Subject = (String, u64, String);

/// Subjects that are kept; the one that changed longest ago goes first.
const MOST: usize = 256;

#[derive(Debug)]
pub(super) struct Keys {
    workers: usize,
    latest: BTreeMap<Subject, Latest>,
    changed: BTreeSet<Subject>,
    updates: u64,
}

/// What each worker said last.
#[derive(Debug)]
struct Latest {
    slots: Vec<Option<v1::KeyStatistics>>,
    updated: u64,
}

impl Keys {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            latest: BTreeMap::new(),
            changed: BTreeSet::new(),
            updates: 0,
        }
    }

    pub(super) fn update(&mut self, worker: usize, statistics: Vec<v1::KeyStatistics>) {
        for keys in statistics {
            let subject = (keys.rollout.clone(), keys.epoch, keys.variant.clone());
            self.updates += 1;
            let latest = self
                .latest
                .entry(subject.clone())
                .or_insert_with(|| Latest {
                    slots: vec![None; self.workers],
                    updated: 0,
                });
            latest.updated = self.updates;
            if let Some(slot) = latest.slots.get_mut(worker) {
                *slot = Some(keys);
                self.changed.insert(subject);
            }
        }
    }

    /// The sums over the workers of what changed since the last call.
    pub(super) fn take(&mut self) -> Vec<v1::KeyStatistics> {
        let changed = std::mem::take(&mut self.changed);
        let sums = changed.iter().filter_map(|subject| {
            let mut slots = self.latest.get(subject)?.slots.iter().flatten();
            let mut sum = slots.next()?.clone();
            slots.for_each(|more| merge::add_keys(&mut sum, more));
            Some(sum)
        });
        let sums = sums.collect();
        self.forget();
        sums
    }

    fn forget(&mut self) {
        while self.latest.len() > MOST {
            let oldest = self.latest.iter().min_by_key(|(_, latest)| latest.updated);
            let oldest = oldest.map(|(subject, _)| subject.clone());
            let Some(oldest) = oldest else { return };
            self.latest.remove(&oldest);
        }
    }
}
