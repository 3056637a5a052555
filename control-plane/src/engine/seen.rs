//! Which labels were counted: one bit per (rollout, guardrail, issuer, row, sequence), in blocks on disk.

use crate::store::{Store, StoreError};
use serinus_common::prediction_id::PredictionId;
use std::collections::{BTreeMap, BTreeSet};

/// Sequences per block: 1 KiB.
const BLOCK_BITS: u64 = 8192;
/// Blocks kept in memory that are on disk as well.
const KEPT: usize = 1024;
/// Blocks that may be in use within one commit, beside those that it changes.
const MOST: usize = 4 * KEPT;

/// The blocks that are in use, and which of them a commit must write.
#[derive(Debug, Default)]
pub(super) struct Seen {
    blocks: BTreeMap<Vec<u8>, Vec<u8>>,
    changed: BTreeSet<Vec<u8>>,
}

/// One bit.
pub(super) struct Bit<'a> {
    block: &'a mut Vec<u8>,
    changed: &'a mut BTreeSet<Vec<u8>>,
    key: Vec<u8>,
    byte: usize,
    mask: u8,
}

impl Bit<'_> {
    pub(super) fn is_set(&self) -> bool {
        self.block
            .get(self.byte)
            .is_some_and(|byte| byte & self.mask != 0)
    }

    pub(super) fn set(self) {
        if let Some(byte) = self.block.get_mut(self.byte) {
            *byte |= self.mask;
            self.changed.insert(self.key);
        }
    }
}

impl Seen {
    /// The bit of one label; reads its block from the store if it is not here.
    pub(super) fn bit(
        &mut self,
        id: &PredictionId,
        guardrail: u32,
        row: u32,
        store: &dyn Store,
    ) -> Result<Bit<'_>, StoreError> {
        let key = key(id, guardrail, row);
        if !self.blocks.contains_key(&key) {
            if self.blocks.len() >= MOST {
                let changed = &self.changed;
                self.blocks.retain(|key, _| changed.contains(key));
            }
            let mut block = store.seen(&key)?.unwrap_or_default();
            block.resize((BLOCK_BITS / 8) as usize, 0);
            self.blocks.insert(key.clone(), block);
        }
        let within = id.sequence % BLOCK_BITS;
        Ok(Bit {
            block: self.blocks.entry(key.clone()).or_default(),
            changed: &mut self.changed,
            key,
            byte: (within / 8) as usize,
            mask: 1 << (within % 8),
        })
    }

    /// What the next commit must write. Blocks beyond the limit are forgotten: they are on disk.
    pub(super) fn take_changed(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let keys = std::mem::take(&mut self.changed);
        let out = keys
            .into_iter()
            .filter_map(|key| self.blocks.get(&key).cloned().map(|block| (key, block)))
            .collect();
        while self.blocks.len() > KEPT {
            self.blocks.pop_first();
        }
        out
    }
}

fn key(id: &PredictionId, guardrail: u32, row: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(36);
    key.extend_from_slice(&id.rollout);
    key.extend_from_slice(&guardrail.to_be_bytes());
    key.extend_from_slice(&id.issuer.to_be_bytes());
    key.extend_from_slice(&row.to_be_bytes());
    key.extend_from_slice(&(id.sequence / BLOCK_BITS).to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::{Disk, MemoryStore};

    fn id(sequence: u64) -> PredictionId {
        PredictionId {
            key_id: 1,
            rollout: [1; 16],
            epoch: 1,
            variant: 1,
            cluster: 0,
            issuer: 7,
            sequence,
            second: 100,
        }
    }

    #[test]
    fn each_label_has_its_own_bit() {
        let store = MemoryStore::open(Disk::default());
        let mut seen = Seen::default();
        for (sequence, guardrail, row) in [
            (0, 0, 0),
            (1, 0, 0),
            (8191, 0, 0),
            (8192, 0, 0),
            (0, 1, 0),
            (0, 0, 1),
        ] {
            let bit = seen.bit(&id(sequence), guardrail, row, &store).unwrap();
            assert!(!bit.is_set());
            bit.set();
            assert!(
                seen.bit(&id(sequence), guardrail, row, &store)
                    .unwrap()
                    .is_set()
            );
        }
        assert_eq!(seen.take_changed().len(), 4);
        assert!(seen.take_changed().is_empty());
    }

    #[test]
    fn blocks_that_were_only_read_do_not_pile_up() {
        let store = MemoryStore::open(Disk::default());
        let mut seen = Seen::default();
        seen.bit(&id(0), 0, 0, &store).unwrap().set();
        for row in 1..10_000 {
            seen.bit(&id(0), 0, row, &store).unwrap();
            assert!(seen.blocks.len() <= MOST);
        }
        assert!(seen.bit(&id(0), 0, 0, &store).unwrap().is_set());
    }
}
