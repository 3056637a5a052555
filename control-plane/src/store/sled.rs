//! The store on disk.
//!
//! One tree with keys by kind ([`key`]), one [`sled::Batch`] per commit. A batch over one tree is recovered as a whole
//! or not at all, by the same mechanism as a transaction over several trees; but there is one writer, so the closure
//! that sled may run several times, its read set and its conflicts would protect nothing.
//!
//! A commit is: batch, `flush`, `sync_data` of the `db` file through a handle of our own, HEAD. `flush` alone calls
//! `sync_file_range` on Linux, which writes neither the file's size nor the disk's cache out, so a power cut would take
//! back what was acknowledged. A failed sync ends the store: the system may have dropped the pages that it could not
//! write, and a second sync would answer success.
//!
//! Opening reads everything: checksums, the chain of the log, holes, and whether the log reaches HEAD; sled silently
//! drops a damaged tail.

mod fault;
mod head;
mod key;
mod open;
mod pieces;
mod staged;
mod verify;

#[cfg(test)]
mod tests;

pub use open::Options;

use super::frame::{Chain, decode, parse_entry, unseal};
use super::{Batch, Loaded, Store, StoreError};
use fault::{Fault, guard};
use head::{Head, HeadFile};
use prost::Message;
use serinus_proto::stored::v1 as stored;
use staged::Staged;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store in a directory.
pub struct SledStore {
    path: PathBuf,
    reserve_bytes: u64,
    db: sled::Db,
    /// The `db` file: what it names is what sled writes to, so syncing it syncs sled's writes.
    file: File,
    head: HeadFile,
    last_revision: AtomicU64,
    writer: Mutex<Writer>,
}

/// Where the next commit goes.
struct Writer {
    position: Position,
    /// The fault that ended it.
    failed: Option<String>,
}

/// The end of what is on disk.
#[derive(Clone, Copy)]
struct Position {
    meta: stored::Meta,
    commit: u64,
    revision: u64,
    chain: Chain,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let revision = self.last_revision();
        f.debug_struct("SledStore")
            .field("path", &self.path)
            .field("revision", &revision)
            .finish_non_exhaustive()
    }
}

impl SledStore {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic inside a commit is caught in `write`, so the holder never leaves a half-changed position.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps room for the file system and for whoever has to clean up.
    fn check_room(&self) -> Result<(), StoreError> {
        match fs4::available_space(&self.path) {
            Ok(available) if available < self.reserve_bytes => Err(StoreError::Full {
                path: self.path.clone(),
                available,
                reserve: self.reserve_bytes,
            }),
            // Where the system does not tell, the write itself will.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Writes a batch. Unless it was refused before anything was tried, a failure ends the store.
    fn write_batch(&self, writer: &mut Writer, batch: &Batch) -> Result<(), StoreError> {
        let mut end = writer.position;
        let staged = Staged::new(batch, &mut end).split(&self.db);
        let written = staged.and_then(|staged| guard(|| self.write(staged, &end)));
        written.map_err(|fault| match fault {
            Fault::TooLong(refused) => StoreError::Refused(refused),
            fault => {
                let fault = format!("{}: {fault}", self.path.display());
                writer.failed = Some(fault.clone());
                StoreError::Fatal(fault)
            }
        })?;
        writer.position = end;
        self.last_revision.store(end.revision, Ordering::Release);
        Ok(())
    }

    fn write(&self, staged: sled::Batch, end: &Position) -> Result<(), Fault> {
        self.db.apply_batch(staged)?;
        self.db.flush()?;
        self.file.sync_data().map_err(Fault::io("sync db"))?;
        let head = Head {
            generation: end.meta.generation,
            commit: end.commit,
            revision: end.revision,
            chain: end.chain,
        };
        self.head.write(&head)
    }

    /// Reads values of one kind under a prefix, in the order of their keys.
    fn read<T>(
        &self,
        prefix: &[u8],
        each: impl Fn(&[u8], &[u8]) -> Result<T, Fault>,
    ) -> Result<Vec<T>, StoreError> {
        let read = guard(|| {
            let values = pieces::values(self.db.scan_prefix(prefix));
            values
                .map(|value| value.and_then(|(key, bytes)| each(&key, &bytes)))
                .collect()
        });
        read.map_err(|fault| self.damaged(&fault))
    }

    fn read_sealed<M: Message + Default>(
        &self,
        prefix: &[u8],
    ) -> Result<Vec<(Vec<u8>, M)>, StoreError> {
        self.read(prefix, |key, bytes| {
            let message = unseal(key, bytes)
                .and_then(decode)
                .map_err(Fault::value(key))?;
            Ok((key.to_vec(), message))
        })
    }

    /// Numbered values of a rollout above `after`, at most `limit`.
    fn read_numbered<M: Message + Default>(
        &self,
        kind: u8,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, M)>, StoreError> {
        let first = key::numbered(kind, rollout.as_bytes(), after.saturating_add(1));
        let end = key::numbered(kind, rollout.as_bytes(), u64::MAX);
        let read = guard(|| {
            let values = pieces::values(self.db.range(first..end)).take(limit);
            let numbered = values.map(|value| {
                let (key, bytes) = value?;
                let message = unseal(&key, &bytes)
                    .and_then(decode)
                    .map_err(Fault::value(&key))?;
                Ok((key::number(&key).unwrap_or_default(), message))
            });
            numbered.collect::<Result<Vec<_>, Fault>>()
        });
        read.map_err(|fault| self.damaged(&fault))
    }

    fn damaged(&self, fault: &Fault) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: fault.to_string(),
            next_generation: self.writer().position.meta.generation + 1,
        }
    }
}

fn record(key: &[u8], bytes: &[u8]) -> Result<stored::LogRecord, Fault> {
    let entry = parse_entry(bytes).map_err(Fault::value(key))?;
    decode(entry.payload).map_err(Fault::value(key))
}

impl Store for SledStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let sources = self.read_sealed(&[key::SOURCE])?;
        let pending: Vec<(Vec<u8>, stored::Pending)> = self.read_sealed(&[key::PENDING])?;
        let rollout =
            |key: &[u8]| String::from_utf8_lossy(key::name(key).unwrap_or(b"")).into_owned();
        Ok(Loaded {
            meta: self.writer().position.meta,
            records: self.read(&[key::EVENT], record)?,
            sources: sources.into_iter().map(|(_, source)| source).collect(),
            pending: pending
                .into_iter()
                .map(|(key, pending)| (rollout(&key), pending))
                .collect(),
        })
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if let Some(fault) = &writer.failed {
            return Err(StoreError::Fatal(fault.clone()));
        }
        batch.check(writer.position.revision, &writer.position.meta)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.check_room()?;
        self.write_batch(&mut writer, batch)
    }

    fn records(
        &self,
        after_revision: u64,
        limit: usize,
    ) -> Result<Vec<stored::LogRecord>, StoreError> {
        // sled shows a batch before it is on disk; nobody may see it before that.
        let last = self.last_revision();
        if after_revision >= last {
            return Ok(Vec::new());
        }
        let range = key::event(after_revision + 1)..key::event(last + 1);
        let read = guard(|| {
            let values = pieces::values(self.db.range(range));
            let records = values.take(limit).map(|value| {
                let (key, bytes) = value?;
                record(&key, &bytes)
            });
            records.collect::<Result<Vec<_>, Fault>>()
        });
        read.map_err(|fault| self.damaged(&fault))
    }

    fn slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::Slice)>, StoreError> {
        self.read_numbered(key::SLICE, rollout, after, limit)
    }

    fn label_slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::LabelSlice)>, StoreError> {
        self.read_numbered(key::LABELS, rollout, after, limit)
    }

    fn seen(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key::named(key::SEEN, name);
        let read = guard(|| {
            let found = pieces::get(&self.db, &key)?;
            let block = |bytes: Vec<u8>| unseal(&key, &bytes).map(<[u8]>::to_vec);
            found.map(block).transpose().map_err(Fault::value(&key))
        });
        read.map_err(|fault| self.damaged(&fault))
    }

    fn oldest_revision(&self) -> Result<u64, StoreError> {
        let oldest = self.events(0, 1)?;
        Ok(oldest.first().map_or(0, |event| event.revision))
    }

    fn last_revision(&self) -> u64 {
        self.last_revision.load(Ordering::Acquire)
    }
}
