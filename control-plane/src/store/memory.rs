//! A store without a disk, for tests and simulations. What a "disk" holds outlives the store: a store that is opened
//! again on the same [`Disk`] is one that crashed and came back.

use super::batch::revision;
use super::{Batch, Loaded, SCHEMA, Store, StoreError};
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What would be on disk. Cheap to clone; all clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    meta: stored::Meta,
    records: Vec<stored::LogRecord>,
    slices: BTreeMap<(String, u64), stored::Slice>,
    label_slices: BTreeMap<(String, u64), stored::LabelSlice>,
    checkpoints: BTreeMap<(String, u64), stored::Checkpoint>,
    pending: BTreeMap<String, stored::Pending>,
    sources: BTreeMap<(String, u64), stored::Source>,
    seen: BTreeMap<Vec<u8>, Vec<u8>>,
    webhooks: BTreeMap<String, stored::Webhook>,
    restored: Option<stored::Restored>,
}

/// A store on such a disk.
#[derive(Debug)]
pub struct MemoryStore {
    disk: Disk,
}

impl MemoryStore {
    /// Starts a new term on this disk.
    #[must_use]
    pub fn open(disk: Disk) -> Self {
        {
            let mut content = disk.content();
            content.meta.generation = content.meta.generation.max(1);
            content.meta.term += 1;
            content.meta.schema = SCHEMA;
        }
        Self { disk }
    }
}

impl Disk {
    /// As `serinus restore` leaves it: a new generation, and a note of where it came from.
    pub fn restore(&self, detail: &str) {
        let mut content = self.content();
        content.meta.generation += 1;
        content.restored = Some(stored::Restored {
            revision: content.last_revision(),
            detail: detail.to_owned(),
        });
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Nothing panics while holding it; and what a panicking holder left is checked by the reader's assertions.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn last_revision(&self) -> u64 {
        let last = self.records.last();
        last.and_then(|record| revision(record).ok()).unwrap_or(0)
    }

    fn apply(&mut self, batch: Batch) {
        self.records.extend(batch.records);
        let slices = batch.slices.into_iter();
        self.slices
            .extend(slices.map(|(rollout, seq, slice)| ((rollout, seq), slice)));
        let labels = batch.label_slices.into_iter();
        self.label_slices
            .extend(labels.map(|(rollout, seq, slice)| ((rollout, seq), slice)));
        let checkpoints = batch.checkpoints.into_iter();
        self.checkpoints
            .extend(checkpoints.map(|(rollout, of)| ((rollout, of.slices), of)));
        for old in &batch.drop_checkpoints {
            self.checkpoints.remove(old);
        }
        for rollout in &batch.drop_pending {
            self.pending.remove(rollout);
        }
        self.pending.extend(batch.pending);
        let sources = batch.sources.into_iter();
        self.sources
            .extend(sources.map(|s| ((s.sidecar.clone(), s.incarnation), s)));
        for source in batch.drop_sources {
            self.sources.remove(&source);
        }
        self.seen.extend(batch.seen);
        let webhooks = batch.webhooks.into_iter();
        self.webhooks
            .extend(webhooks.map(|of| (of.name.clone(), of)));
        if let Some(meta) = batch.meta {
            self.meta = meta;
        }
        if batch.held_restored {
            self.restored = None;
        }
    }
}

fn of_rollout<T: Clone>(
    all: &BTreeMap<(String, u64), T>,
    rollout: &str,
    after: u64,
    limit: usize,
) -> Vec<(u64, T)> {
    let first = (rollout.to_owned(), after.saturating_add(1));
    let range = all.range(first..=(rollout.to_owned(), u64::MAX));
    range
        .take(limit)
        .map(|((_, seq), slice)| (*seq, slice.clone()))
        .collect()
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let content = self.disk.content();
        Ok(Loaded {
            meta: content.meta,
            requests: Vec::new(),
            sources: content.sources.values().cloned().collect(),
            pending: content.pending.clone().into_iter().collect(),
            restored: content.restored.clone(),
        })
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut content = self.disk.content();
        batch.check(content.last_revision(), &content.meta)?;
        content.apply(batch.clone());
        Ok(())
    }

    fn records(
        &self,
        after_revision: u64,
        limit: usize,
    ) -> Result<Vec<stored::LogRecord>, StoreError> {
        let content = self.disk.content();
        let later = |record: &&stored::LogRecord| {
            let event = record.event.as_ref();
            event.is_some_and(|event| event.revision > after_revision)
        };
        let records = content.records.iter().filter(later);
        Ok(records.take(limit).cloned().collect())
    }

    fn slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::Slice)>, StoreError> {
        let content = self.disk.content();
        Ok(of_rollout(&content.slices, rollout, after, limit))
    }

    fn label_slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::LabelSlice)>, StoreError> {
        let content = self.disk.content();
        Ok(of_rollout(&content.label_slices, rollout, after, limit))
    }

    fn checkpoints(&self, rollout: &str) -> Result<Vec<stored::Checkpoint>, StoreError> {
        let content = self.disk.content();
        let all = of_rollout(&content.checkpoints, rollout, 0, usize::MAX);
        Ok(all.into_iter().map(|(_, of)| of).collect())
    }

    fn seen(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.disk.content().seen.get(key).cloned())
    }

    fn webhooks(&self) -> Result<Vec<stored::Webhook>, StoreError> {
        Ok(self.disk.content().webhooks.values().cloned().collect())
    }

    fn oldest_revision(&self) -> Result<u64, StoreError> {
        self.disk.content().records.first().map_or(Ok(0), revision)
    }

    fn last_revision(&self) -> u64 {
        self.disk.content().last_revision()
    }
}
