//! What a commit changes, key by key, before it is cut into pieces.

use super::fault::{Fault, guard};
use super::{Position, key, pieces};
use crate::store::Batch;
use crate::store::frame::{self, seal};
use prost::Message as _;
use std::collections::BTreeMap;

/// New values by key; `None` removes. The last one of a key counts.
#[derive(Default)]
pub(super) struct Staged(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Staged {
    /// Stages a batch after `end`, and moves `end` behind it.
    pub(super) fn new(batch: &Batch, end: &mut Position) -> Self {
        let mut staged = Self::default();
        staged.number(end);
        staged.records(batch, end);
        staged.evidence(batch);
        staged.sources(batch);
        if batch.held_restored {
            staged.0.insert(vec![key::RESTORED], None);
        }
        if let Some(meta) = batch.meta {
            end.meta = meta;
            staged.put(vec![key::META], &meta.encode_to_vec());
        }
        staged
    }

    /// Makes it the next commit.
    pub(super) fn number(&mut self, end: &mut Position) {
        end.commit += 1;
        self.put(vec![key::COMMIT], &end.commit.to_be_bytes());
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.0.insert(key, None);
    }

    /// Puts an entry of the log that has its checksum already.
    pub(super) fn keep(&mut self, key: Vec<u8>, entry: Vec<u8>) {
        self.0.insert(key, Some(entry));
    }

    fn records(&mut self, batch: &Batch, end: &mut Position) {
        for record in &batch.records {
            end.revision += 1;
            let payload = record.encode_to_vec();
            let entry = frame::entry(&end.chain, &payload);
            end.chain = frame::chain(&end.chain, &payload);
            self.0.insert(key::event(end.revision), Some(entry));
        }
    }

    fn evidence(&mut self, batch: &Batch) {
        for (rollout, seq, slice) in &batch.slices {
            let key = key::numbered(key::SLICE, rollout.as_bytes(), *seq);
            self.put(key, &slice.encode_to_vec());
        }
        for (rollout, seq, slice) in &batch.label_slices {
            let key = key::numbered(key::LABELS, rollout.as_bytes(), *seq);
            self.put(key, &slice.encode_to_vec());
        }
        for (rollout, of) in &batch.checkpoints {
            let key = key::numbered(key::CHECKPOINT, rollout.as_bytes(), of.slices);
            self.put(key, &of.encode_to_vec());
        }
        for (rollout, slices) in &batch.drop_checkpoints {
            self.remove(key::numbered(key::CHECKPOINT, rollout.as_bytes(), *slices));
        }
        for rollout in &batch.drop_pending {
            self.0
                .insert(key::named(key::PENDING, rollout.as_bytes()), None);
        }
        for (rollout, pending) in &batch.pending {
            let key = key::named(key::PENDING, rollout.as_bytes());
            self.put(key, &pending.encode_to_vec());
        }
    }

    fn sources(&mut self, batch: &Batch) {
        for source in &batch.sources {
            let key = key::numbered(key::SOURCE, source.sidecar.as_bytes(), source.incarnation);
            self.put(key, &source.encode_to_vec());
        }
        for (sidecar, incarnation) in &batch.drop_sources {
            self.remove(key::numbered(key::SOURCE, sidecar.as_bytes(), *incarnation));
        }
        for webhook in &batch.webhooks {
            let key = key::named(key::WEBHOOK, webhook.name.as_bytes());
            self.put(key, &webhook.encode_to_vec());
        }
        for (name, block) in &batch.seen {
            self.put(key::named(key::SEEN, name), block);
        }
    }

    /// Puts a value.
    pub(super) fn put(&mut self, key: Vec<u8>, value: &[u8]) {
        let sealed = seal(&key, value);
        self.0.insert(key, Some(sealed));
    }

    /// The keys that change.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.keys()
    }

    /// Cuts the values into pieces and removes what is left of longer ones.
    pub(super) fn split(&self, db: &sled::Db) -> Result<sled::Batch, Fault> {
        let mut batch = sled::Batch::default();
        guard(|| {
            self.0.iter().try_for_each(|(key, value)| match value {
                Some(value) => pieces::put(db, &mut batch, key, value),
                None => pieces::remove(db, &mut batch, key),
            })
        })?;
        Ok(batch)
    }
}
