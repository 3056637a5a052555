//! Where the control plane keeps what it must not forget: the append-only log of events, what the engine consumed, and
//! who has reported how far. One writer; readers at any time. Two engines under one contract-test suite: [`memory`] for
//! tests and simulations, [`sled`] for everything else.

pub mod batch;
pub mod error;
pub mod frame;
pub mod memory;
pub mod sled;

#[cfg(test)]
mod contract;

pub use batch::Batch;
pub use error::StoreError;

use serinus_proto::stored::v1 as stored;
use serinus_proto::v1;
use std::fmt::Debug;

/// Version of the layout on disk. A store that names a higher one was written by a newer Serinus and is not opened.
pub const SCHEMA: u32 = 1;

/// Everything the engine needs to go on where it stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Generation and term to sign instructions with; the term is new at each open and already on disk.
    pub meta: stored::Meta,
    /// The whole log, oldest first. The index of request ids is rebuilt from it.
    pub records: Vec<stored::LogRecord>,
    /// Every sidecar incarnation, by sidecar, then incarnation.
    pub sources: Vec<stored::Source>,
    /// Cells in no slice yet, by rollout.
    pub pending: Vec<(String, stored::Pending)>,
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
    /// See [`StoreError`]; unless the error is fatal, nothing was written and the store goes on.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Entries of the log after `after_revision`, oldest first, at most `limit`, without holes.
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

    /// A block of the bitmap of outcomes that were counted.
    ///
    /// # Errors
    /// If it cannot be read.
    fn seen(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Revision of the oldest event that is kept; 0 for an empty log.
    ///
    /// # Errors
    /// If the log cannot be read.
    fn oldest_revision(&self) -> Result<u64, StoreError>;

    /// Revision of the last event on disk; 0 for an empty log.
    fn last_revision(&self) -> u64;
}
