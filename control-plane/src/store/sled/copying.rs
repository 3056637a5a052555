//! A copy as of one moment, while commits go on: whatever a commit changes for the first time since the copy began is
//! kept as it was until the copy has ended.

use super::fault::{Fault, guard};
use super::{Position, SledStore, pieces};
use crate::store::{StoreError, copy, frame};
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of old values that are kept for a copy; a reader that is slower than so many changes gets no copy.
const MOST: usize = 64 * 1024 * 1024;

/// Values as they were when the copy began, by key; `None` where there was none.
#[derive(Debug, Default)]
pub(super) struct Before {
    values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

/// Shared by the writer and the copy.
pub(super) type Shared = Arc<Mutex<Before>>;

fn locked(before: &Shared) -> MutexGuard<'_, Before> {
    // Entries are added whole.
    before.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what is there of the keys that are about to change.
pub(super) fn keep<'a>(
    before: &Shared,
    db: &sled::Db,
    keys: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<(), Fault> {
    let mut before = locked(before);
    for key in keys {
        if before.bytes > MOST || before.values.contains_key(key) {
            continue;
        }
        let old = pieces::get(db, key)?;
        before.bytes += key.len() + old.as_ref().map_or(0, Vec::len);
        before.values.insert(key.clone(), old);
    }
    Ok(())
}

impl SledStore {
    /// Writes a copy as of the last commit into `out`; commits go on meanwhile. Another copy waits for this one.
    pub(super) fn copy(&self, out: &mut dyn Write) -> Result<stored::CopyHeader, StoreError> {
        let _one = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Shared::default();
        let position = {
            let mut writer = self.writer();
            writer.copy = Some(before.clone());
            writer.position
        };
        let copied = self.copy_since(&before, &position, out);
        self.writer().copy = None;
        copied
    }

    fn copy_since(
        &self,
        before: &Shared,
        position: &Position,
        out: &mut dyn Write,
    ) -> Result<stored::CopyHeader, StoreError> {
        let header = header(position);
        let mut writer = copy::Writer::new(out, &header).map_err(StoreError::Copy)?;
        let mut cursor = Vec::new();
        loop {
            let next = guard(|| self.next_key(&cursor)).map_err(|fault| self.damaged(&fault))?;
            // What is gone by now lay between.
            let until = next.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            for (key, value) in gone(before, &cursor, until)? {
                writer.value(&key, &value).map_err(StoreError::Copy)?;
            }
            let Some(key) = next else { break };
            let read = guard(|| pieces::get(&self.db, &key));
            let kept = locked(before).values.get(&key).cloned();
            let value = match kept {
                Some(kept) => kept,
                None => read.map_err(|fault| self.damaged(&fault))?,
            };
            if let Some(value) = value {
                writer.value(&key, &value).map_err(StoreError::Copy)?;
            }
            cursor = key;
        }
        writer.finish().map_err(StoreError::Copy)?;
        Ok(header)
    }

    /// The key after one.
    fn next_key(&self, after: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let last = [after, &[u8::MAX, u8::MAX]].concat();
        let from = match after {
            [] => Bound::Unbounded,
            _ => Bound::Excluded(last),
        };
        let mut range = self.db.range((from, Bound::Unbounded));
        let Some(next) = range.next() else {
            return Ok(None);
        };
        let (piece, _) = next?;
        pieces::key_of(&piece).map(|key| Some(key.to_vec()))
    }
}

/// Values between two keys that a commit has removed since the copy began.
fn gone(
    before: &Shared,
    after: &[u8],
    until: Bound<&[u8]>,
) -> Result<Vec<pieces::Value>, StoreError> {
    let before = locked(before);
    if before.bytes > MOST {
        let slow = "too much has changed since it began; take it somewhere faster";
        return Err(StoreError::Copy(io::Error::other(slow)));
    }
    let range = before
        .values
        .range::<[u8], _>((Bound::Excluded(after), until));
    let there = range.filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    Ok(there.collect())
}

fn header(position: &Position) -> stored::CopyHeader {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    stored::CopyHeader {
        generation: position.meta.generation,
        term: position.meta.term,
        revision: position.revision,
        commit: position.commit,
        chain: position.chain.to_vec(),
        time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        writer: frame::writer(),
    }
}
