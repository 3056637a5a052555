//! What a commit changes, key by key, before it is cut into pieces.

use super::fault::{Fault, guard};
use super::{Position, key, pieces};
use crate::store::Batch;
use crate::store::frame::{self, seal};
use prost::Message as _;
use std::collections::BTreeMap;

/// New values by key; `None` removes. The last one of a key counts.
pub(super) struct Staged(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Staged {
    /// Stages a batch after `end`, and moves `end` behind it.
    pub(super) fn new(batch: &Batch, end: &mut Position) -> Self {
        let mut staged = Self(BTreeMap::new());
        staged.records(batch, end);
        staged.evidence(batch);
        staged.sources(batch);
        end.commit += 1;
        staged.put(vec![key::COMMIT], &end.commit.to_be_bytes());
        if let Some(meta) = batch.meta {
            end.meta = meta;
            staged.put(vec![key::META], &meta.encode_to_vec());
        }
        staged
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
        for (name, block) in &batch.seen {
            self.put(key::named(key::SEEN, name), block);
        }
    }

    fn put(&mut self, key: Vec<u8>, value: &[u8]) {
        let sealed = seal(&key, value);
        self.0.insert(key, Some(sealed));
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
