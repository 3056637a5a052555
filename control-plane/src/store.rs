//! Where the control plane keeps what it must not forget: the append-only log of events, what the engine consumed, and
//! who has reported how far. One writer; readers at any time. Two engines under one contract-test suite: [`memory`] for
//! tests and simulations, [`sled`] for everything else.

pub mod batch;
pub mod copy;
pub mod error;
pub mod frame;
pub mod memory;
pub mod prune;
pub mod room;
pub mod sled;

#[cfg(test)]
pub(crate) mod contract;

pub use batch::{Batch, Urgency};
pub use error::StoreError;
pub use prune::{Exported, Prune};
pub use room::Shortage;

use serinus_core::audit::Head;
use serinus_proto::stored::v1 as stored;
use serinus_proto::v1;
use std::fmt::Debug;
use std::io::Write;

/// Version of the layout on disk. A store that names a higher one was written by a newer Serinus and is not opened.
pub const SCHEMA: u32 = 1;

/// What this program understands: a record that asks for more was written by a newer Serinus.
pub const READER: u32 = 2;

/// Everything the engine needs to go on where it stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Generation and term to sign instructions with; the term is new at each open and already on disk.
    pub meta: stored::Meta,
    /// Commands whose entries of the log are gone, oldest first.
    pub requests: Vec<stored::RequestDone>,
    /// Every sidecar incarnation, by sidecar, then incarnation.
    pub sources: Vec<stored::Source>,
    /// Cells in no slice yet, by rollout.
    pub pending: Vec<(String, stored::Pending)>,
    /// The store came back from a copy, and the rollouts that were active are not held yet.
    pub restored: Option<stored::Restored>,
}

/// What is remembered of the command that an entry is of.
#[must_use]
pub fn request_done(record: &stored::LogRecord) -> Option<stored::RequestDone> {
    let event = record.event.as_ref()?;
    if record.request_id.is_empty() {
        return None;
    }
    let about = match event.rollout.as_str() {
        "" => &event.model,
        rollout => rollout,
    };
    Some(stored::RequestDone {
        request_id: record.request_id.clone(),
        digest: record.request_digest,
        about: about.to_owned(),
        time_ms: event.time.as_ref().map_or(0, serinus_core::rollout::millis),
    })
}

/// The store of record.
///
/// Every method blocks: call them from a thread that may. After [`StoreError::is_fatal`] was answered once, nothing
/// can be committed any more and the process has to end; what is on disk is told anew at the next start.
pub trait Store: Debug + Send + Sync + 'static {
    /// Reads what a start needs.
    ///
    /// # Errors
    /// If something that was verified at the open cannot be read any more.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Writes a batch, all or nothing. It is on disk when this returns.
    ///
    /// # Errors
    /// See [`StoreError`]; unless the error is fatal, nothing was written and the store goes on. [`StoreError::Full`]
    /// only while [`Batch::urgency`] lets it wait.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Entries of the log after `after_revision`, oldest first, at most `limit`: without holes from
    /// [`Store::oldest_revision`] on, of before those that are still needed.
    ///
    /// # Errors
    /// If a record cannot be read.
    fn records(
        &self,
        after_revision: u64,
        limit: usize,
    ) -> Result<Vec<stored::LogRecord>, StoreError>;

    /// The events of [`Store::records`].
    ///
    /// # Errors
    /// As [`Store::records`].
    fn events(&self, after_revision: u64, limit: usize) -> Result<Vec<v1::Event>, StoreError> {
        let records = self.records(after_revision, limit)?;
        Ok(records
            .into_iter()
            .filter_map(|record| record.event)
            .collect())
    }

    /// The slices of a rollout with a sequence number above `after`, ascending, at most `limit`.
    ///
    /// # Errors
    /// If one cannot be read.
    fn slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::Slice)>, StoreError>;

    /// The label slices of a rollout with a sequence number above `after`, ascending, at most `limit`.
    ///
    /// # Errors
    /// If one cannot be read.
    fn label_slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::LabelSlice)>, StoreError>;

    /// The checkpoints of a rollout's evidence, oldest first.
    ///
    /// # Errors
    /// If one cannot be read.
    fn checkpoints(&self, rollout: &str) -> Result<Vec<stored::Checkpoint>, StoreError>;

    /// A block of the bitmap of outcomes that were counted.
    ///
    /// # Errors
    /// If it cannot be read.
    fn seen(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// How far each webhook is that there ever was, by name.
    ///
    /// # Errors
    /// If one cannot be read.
    fn webhooks(&self) -> Result<Vec<stored::Webhook>, StoreError>;

    /// Revision of the oldest event after which the log has no holes; 0 for an empty log.
    ///
    /// # Errors
    /// If the log cannot be read.
    fn oldest_revision(&self) -> Result<u64, StoreError>;

    /// The last entry of the audit log that may be gone: of before the log's beginning.
    ///
    /// # Errors
    /// If it cannot be read.
    fn audit_base(&self) -> Result<Head, StoreError> {
        Ok(Head::default())
    }

    /// Revision of the last event on disk; 0 for an empty log.
    fn last_revision(&self) -> u64;

    /// Writes a copy of everything as of the last commit, in the form of [`copy`]; commits go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Copy`] if `out` does not take it, or if something cannot be read.
    fn copy_to(&self, _out: &mut dyn Write) -> Result<stored::CopyHeader, StoreError> {
        Err(StoreError::Refused("this store cannot be copied".into()))
    }

    /// Writes such a copy beside the store, reads it back, and removes the oldest beyond three.
    ///
    /// # Errors
    /// As [`Store::copy_to`]; [`StoreError::Full`] if it would leave too little room.
    fn export(&self) -> Result<Exported, StoreError> {
        Err(StoreError::Refused("this store cannot be copied".into()))
    }

    /// The exports that were read and found whole, oldest first.
    ///
    /// # Errors
    /// If their directory cannot be read.
    fn exports(&self) -> Result<Vec<Exported>, StoreError> {
        Ok(Vec::new())
    }

    /// Removes a part of what may go; whether there is more. Commits in between hardly wait.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn prune(&self, _prune: &Prune) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Number of the last commit on disk, with or without events.
    fn last_commit(&self) -> u64 {
        0
    }

    /// Whether nothing has ended the store yet: a commit that failed, or damage that any reader met. While a commit is under
    /// way nothing is known to have.
    ///
    /// # Errors
    /// What ended it.
    fn soundness(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether there is too little room on the disk for what can wait. Cheap: it is asked several times a second.
    fn shortage(&self) -> Option<Shortage> {
        None
    }
}
