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

mod copying;
pub mod exports;
mod fault;
mod head;
mod key;
mod open;
mod pieces;
mod pruning;
pub mod repair;
pub mod restore;
mod staged;
mod verify;

/// What an anchor knows of the audit log.
fn base(anchor: stored::Anchor) -> audit::Head {
    audit::Head {
        number: anchor.audit_number,
        seal: anchor.audit_seal,
    }
}

#[cfg(test)]
mod tests;

pub use open::{Options, RESERVE_BYTES};

use super::frame::{Chain, decode, parse_entry, unseal};
use super::room::Room;
use super::{Batch, Exported, Loaded, Prune, Shortage, Store, StoreError, Urgency};
use crate::failpoint::reach;
use fault::{Fault, guard};
use head::{Head, HeadFile};
use prost::Message;
use serinus_core::audit;
use serinus_proto::stored::v1 as stored;
use staged::Staged;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store in a directory.
pub struct SledStore {
    path: PathBuf,
    room: Room,
    db: sled::Db,
    /// The `db` file: what it names is what sled writes to, so syncing it syncs sled's writes.
    file: File,
    head: HeadFile,
    last_revision: AtomicU64,
    /// The log has no holes after this revision.
    anchor: AtomicU64,
    /// Absent until they were read.
    exports: Mutex<Option<Vec<Exported>>>,
    writer: Mutex<Writer>,
    /// Held while a copy is written.
    copying: Mutex<()>,
    /// Held while something is removed.
    pruning: Mutex<()>,
}

/// Where the next commit goes.
struct Writer {
    position: Position,
    /// Where a copy that is under way wants to have what changes.
    copy: Option<copying::Shared>,
    /// What ended it.
    failed: Option<Failure>,
}

/// Why nothing can be committed any more.
#[derive(Clone, Debug)]
enum Failure {
    /// A commit failed: whether it is on disk is not known.
    Commit(String),
    /// Something that was verified at the open is not what it was.
    Damage(String),
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

    /// Keeps room for what cannot wait.
    fn check_room(&self, urgency: Urgency) -> Result<(), StoreError> {
        let enough = match urgency {
            Urgency::Lowers => {
                self.room.make();
                return Ok(());
            }
            Urgency::Small => |shortage: &Shortage| !shortage.severe,
            Urgency::Normal => |_: &Shortage| false,
        };
        match self.room.shortage() {
            Some(shortage) if !enough(&shortage) => Err(StoreError::Full(shortage)),
            _ => Ok(()),
        }
    }

    /// Writes a batch. Unless it was refused before anything was tried, a failure ends the store.
    fn write_batch(&self, writer: &mut Writer, batch: &Batch) -> Result<(), StoreError> {
        let mut end = writer.position;
        let staged = Staged::new(batch, &mut end);
        self.write_staged(writer, &staged, end)
    }

    /// Writes what is staged up to `end`.
    fn write_staged(
        &self,
        writer: &mut Writer,
        staged: &Staged,
        end: Position,
    ) -> Result<(), StoreError> {
        let kept = match &writer.copy {
            Some(copy) => guard(|| copying::keep(copy, &self.db, staged.keys())),
            None => Ok(()),
        };
        let staged = kept.and_then(|()| staged.split(&self.db));
        let written = staged.and_then(|staged| guard(|| self.write(staged, &end)));
        written.map_err(|fault| match fault {
            Fault::TooLong(refused) => StoreError::Refused(refused),
            fault => {
                let fault = format!("{}: {fault}", self.path.display());
                writer.failed = Some(Failure::Commit(fault.clone()));
                StoreError::Fatal(fault)
            }
        })?;
        writer.position = end;
        self.last_revision.store(end.revision, Ordering::Release);
        Ok(())
    }

    fn write(&self, staged: sled::Batch, end: &Position) -> Result<(), Fault> {
        reach("begun");
        self.db.apply_batch(staged)?;
        reach("applied");
        self.db.flush()?;
        reach("flushed");
        self.file.sync_data().map_err(Fault::io("sync db"))?;
        reach("synced");
        let head = Head {
            generation: end.meta.generation,
            commit: end.commit,
            revision: end.revision,
            chain: end.chain,
        };
        self.head.write(&head)?;
        reach("marked");
        Ok(())
    }

    /// Reads values of one kind under a prefix, in the order of their keys.
    fn read<T>(
        &self,
        prefix: &[u8],
        each: impl Fn(&[u8], &[u8]) -> Result<T, Fault>,
    ) -> Result<Vec<T>, StoreError> {
        self.reading(|| {
            let values = pieces::values(self.db.scan_prefix(prefix));
            values
                .map(|value| value.and_then(|(key, bytes)| each(&key, &bytes)))
                .collect()
        })
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
        self.reading(|| {
            let range = self.db.range(first.clone()..end.clone());
            let values = pieces::values(range).take(limit);
            let numbered = values.map(|value| {
                let (key, bytes) = value?;
                let message = unseal(&key, &bytes)
                    .and_then(decode)
                    .map_err(Fault::value(&key))?;
                Ok((key::number(&key).unwrap_or_default(), message))
            });
            numbered.collect()
        })
    }

    /// Damage that was met while running: nothing is committed any more, since it could rest on it.
    fn damaged(&self, fault: &Fault) -> StoreError {
        let mut writer = self.writer();
        let damage = Failure::Damage(fault.to_string());
        let failure = writer.failed.get_or_insert(damage).clone();
        self.error(failure, &writer)
    }

    fn check_sound(&self, writer: &Writer) -> Result<(), StoreError> {
        match writer.failed.clone() {
            Some(failure) => Err(self.error(failure, writer)),
            None => Ok(()),
        }
    }

    fn error(&self, failure: Failure, writer: &Writer) -> StoreError {
        match failure {
            Failure::Commit(fault) => StoreError::Fatal(fault),
            Failure::Damage(what) => StoreError::Damaged {
                path: self.path.clone(),
                what,
                next_generation: writer.position.meta.generation + 1,
            },
        }
    }

    /// Reads. A value that is being replaced or removed meanwhile may come in pieces that do not fit; what does not fit
    /// while nobody writes is damage.
    fn reading<T>(&self, read: impl Fn() -> Result<T, Fault>) -> Result<T, StoreError> {
        if let Ok(read) = guard(&read) {
            return Ok(read);
        }
        let again = {
            let _nobody_writes = self.writer();
            guard(&read)
        };
        again.map_err(|fault| self.damaged(&fault))
    }

    /// Entries of one kind by revision, from and to these.
    fn entries(
        &self,
        kind: u8,
        revisions: std::ops::RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<stored::LogRecord>, StoreError> {
        if revisions.is_empty() {
            return Ok(Vec::new());
        }
        let end = key::at(kind, revisions.end().saturating_add(1));
        let range = key::at(kind, *revisions.start())..end;
        self.reading(|| {
            let values = pieces::values(self.db.range(range.clone()));
            let records = values.take(limit).map(|value| {
                let (key, bytes) = value?;
                record(&key, &bytes)
            });
            records.collect()
        })
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
            requests: self
                .read_sealed(&[key::REQUEST])?
                .into_iter()
                .map(|(_, done)| done)
                .collect(),
            restored: self
                .read_sealed(&[key::RESTORED])?
                .pop()
                .map(|(_, restored)| restored),
            sources: sources.into_iter().map(|(_, source)| source).collect(),
            pending: pending
                .into_iter()
                .map(|(key, pending)| (rollout(&key), pending))
                .collect(),
        })
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writer = self.writer();
        self.check_sound(&writer)?;
        batch.check(writer.position.revision, &writer.position.meta)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.check_room(batch.urgency)?;
        self.write_batch(&mut writer, batch)?;
        self.room.restore_ballast();
        Ok(())
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
        let first = after_revision + 1;
        let anchor = self.anchor.load(Ordering::Acquire);
        let mut records = self.entries(key::BASE, first..=anchor, limit)?;
        let left = limit - records.len();
        records.extend(self.entries(key::EVENT, first.max(anchor + 1)..=last, left)?);
        Ok(records)
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

    fn checkpoints(&self, rollout: &str) -> Result<Vec<stored::Checkpoint>, StoreError> {
        let all = self.read_numbered(key::CHECKPOINT, rollout, 0, usize::MAX)?;
        Ok(all.into_iter().map(|(_, of)| of).collect())
    }

    fn seen(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key::named(key::SEEN, name);
        self.reading(|| {
            let found = pieces::get(&self.db, &key)?;
            let block = |bytes: Vec<u8>| unseal(&key, &bytes).map(<[u8]>::to_vec);
            found.map(block).transpose().map_err(Fault::value(&key))
        })
    }

    fn webhooks(&self) -> Result<Vec<stored::Webhook>, StoreError> {
        let all = self.read_sealed(&[key::WEBHOOK])?;
        Ok(all.into_iter().map(|(_, webhook)| webhook).collect())
    }

    fn audit_base(&self) -> Result<audit::Head, StoreError> {
        let anchor: Option<(Vec<u8>, stored::Anchor)> = self.read_sealed(&[key::ANCHOR])?.pop();
        Ok(anchor.map_or_else(audit::Head::default, |(_, anchor)| base(anchor)))
    }

    fn oldest_revision(&self) -> Result<u64, StoreError> {
        let anchor = self.anchor.load(Ordering::Acquire);
        Ok(match self.last_revision() {
            0 => 0,
            _ => anchor + 1,
        })
    }

    fn last_revision(&self) -> u64 {
        self.last_revision.load(Ordering::Acquire)
    }

    fn copy_to(&self, out: &mut dyn Write) -> Result<stored::CopyHeader, StoreError> {
        self.copy(out)
    }

    fn last_commit(&self) -> u64 {
        self.writer().position.commit
    }

    fn export(&self) -> Result<Exported, StoreError> {
        self.write_export()
    }

    fn exports(&self) -> Result<Vec<Exported>, StoreError> {
        self.known_exports()
    }

    fn prune(&self, prune: &Prune) -> Result<bool, StoreError> {
        self.prune_step(prune)
    }

    fn soundness(&self) -> Result<(), StoreError> {
        match self.writer.try_lock() {
            Ok(writer) => self.check_sound(&writer),
            // A commit is under way; the next question is soon.
            Err(_) => Ok(()),
        }
    }

    fn shortage(&self) -> Option<Shortage> {
        self.room.shortage()
    }
}
