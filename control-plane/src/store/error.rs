//! Why the store could not do something.

use super::Shortage;
use std::path::PathBuf;
use thiserror::Error;

/// Each message says what, where and the way out.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error(
        "{path}: the store is in use by another process; stop it, or give this one a `data_dir` of its own"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be made or read.
    #[error("{path}: {action}: {source}; check that `data_dir` exists and belongs to this user")]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store is damaged, or its newest part is missing. Serving from it could take back what was acknowledged.
    #[error(
        "{path}: {what}. The store is not opened, because acknowledged commands could be missing from it. \
         Put a backup back (`serinus restore FILE --data-dir DIR`, into an empty directory; the newest exports are in \
         {path}/exports); or save what is intact (`serinus store repair --data-dir {path} --bump-generation`); or move \
         the directory away and start with `--generation {next_generation}`: rollouts then start over, and sidecars \
         accept the new history as newer than the old one"
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong and where.
        what: String,
        /// A generation that no sidecar has seen.
        next_generation: u64,
    },
    /// Written by a newer Serinus.
    #[error(
        "{path}: the store has layout {found}, this version knows {known}; start the newer version of Serinus again"
    )]
    TooNew {
        /// The directory.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A value in it was.
    #[error("{path}: {what}; start the newer version of Serinus again")]
    TooNewValue {
        /// The directory.
        path: PathBuf,
        /// Which value, who wrote it, and what it needs.
        what: String,
    },
    /// The batch is not one that the engine may write.
    #[error("refused batch: {0}")]
    Refused(String),
    /// A copy could not be written; the store itself is as it was.
    #[error("copy the store: {0}")]
    Copy(std::io::Error),
    /// Too little room on the disk; nothing was tried.
    #[error("{0}")]
    Full(Shortage),
    /// Whether the last write is on disk is not known. The process has to end; the next start reads what is there.
    #[error(
        "the store failed and cannot go on: {0}; restart, and look at the disk if it happens again"
    )]
    Fatal(String),
}

impl StoreError {
    /// Whether the process has to end. A sync that failed must never be tried again: the system may have dropped the
    /// very pages that it could not write.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal(_))
    }
}
