//! A store from a copy of one, and checking either without serving from it.

use super::fault::{Fault, isolated};
use super::head::{Head, HeadFile};
use super::open::{self, Options};
use super::verify::Found;
use super::{key, pieces};
use crate::store::copy::{self, CopyError};
use crate::store::frame::{GENESIS, seal};
use crate::store::{SCHEMA, StoreError};
use prost::Message as _;
use serinus_proto::stored::v1 as stored;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes of values that are written at once.
const BATCH: usize = 1024 * 1024;

/// Why a store could not be restored, repaired or checked.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The copy is not whole.
    #[error("{path}: {problem}. Nothing was restored; take another backup")]
    Copy {
        /// The copy.
        path: PathBuf,
        /// What is wrong with it.
        problem: CopyError,
    },
    /// The copy is whole, and what it holds is not.
    #[error("{path}: {what}. Nothing was restored; take another backup")]
    Content {
        /// The copy.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is something in the way.
    #[error("{0} is not empty: name a directory that is, or move what is there away first")]
    NotEmpty(PathBuf),
    /// Nothing there.
    #[error("{0} holds no store")]
    NoStore(PathBuf),
    /// Nothing of the log can be read.
    #[error(
        "{path}: {what}. Restore a backup, or the newest file in {path}/exports, with `serinus restore FILE --data-dir DIR`"
    )]
    Beyond {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The directory cannot be made, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was found in a store or a copy that is sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// Of the history in it.
    pub generation: u64,
    /// Of the last event.
    pub revision: u64,
    /// Number of the last commit.
    pub commit: u64,
    /// The log is whole after this revision; 0: it has its beginning.
    pub begins_after: u64,
    /// Hash of the log up to its last event, hexadecimal.
    pub chain: String,
    /// Entries of the log, and those that are kept from before its beginning.
    pub events: u64,
    /// Slices of requests.
    pub slices: u64,
    /// Slices of labels.
    pub label_slices: u64,
    /// Records of cells in no slice.
    pub pending: u64,
    /// Incarnations of sidecars.
    pub sources: u64,
    /// Blocks of counted outcomes.
    pub seen: u64,
}

impl Sound {
    pub(super) fn of(found: &Found) -> Self {
        let count = |kind: u8| found.values.get(&kind).copied().unwrap_or(0);
        Self {
            generation: found.meta.map_or(0, |meta| meta.generation),
            revision: found.revision,
            commit: found.commit,
            begins_after: found.anchor,
            chain: found
                .chain
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            events: count(key::EVENT) + count(key::BASE),
            slices: count(key::SLICE),
            label_slices: count(key::LABELS),
            pending: count(key::PENDING),
            sources: count(key::SOURCE),
            seen: count(key::SEEN),
        }
    }
}

/// Reads a copy and checks all of it: its frames and its manifest, and the log, its chain and every value in it.
///
/// # Errors
/// What is wrong and where.
pub fn check_copy(file: &Path) -> Result<Sound, RestoreError> {
    let mut found = Found::new(None);
    let header = read_copy(file, |key, value| found.take(key, value))?;
    let is = (found.revision, found.commit, found.chain.as_slice());
    if is != (header.revision, header.commit, header.chain.as_slice()) || found.meta.is_none() {
        let what = "its content is not what its header says".to_owned();
        return Err(content(file, what));
    }
    check_schema(file, &found)?;
    Ok(Sound::of(&found))
}

/// Reads a store and checks all of it; nothing is served from it and no term is begun.
///
/// # Errors
/// [`StoreError::Damaged`] with what is wrong and where, or why it cannot be looked at.
pub fn check_store(directory: &Path) -> Result<Sound, RestoreError> {
    if !directory.join("db").exists() {
        return Err(RestoreError::NoStore(directory.to_owned()));
    }
    let options = Options::new(directory);
    let (_, found) = open::verified(&options)?;
    check_schema(directory, &found)?;
    Ok(Sound::of(&found))
}

/// Makes a store in an empty directory from a copy, as a new generation of it: what was active is held at its first
/// start. The copy is checked whole before anything is written.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(file: &Path, directory: &Path, generation: u64) -> Result<Sound, RestoreError> {
    empty(directory)?;
    let sound = check_copy(file)?;
    let mut build = Build::new(directory)?;
    read_copy(file, |key, value| build.put(key, value))?;
    let detail = format!(
        "restored from a backup of generation {} at event {}; what has happened since is lost",
        sound.generation, sound.revision
    );
    build.finish(generation.max(sound.generation + 1), detail)
}

fn check_schema(path: &Path, found: &Found) -> Result<(), RestoreError> {
    let schema = found.meta.map_or(0, |meta| meta.schema);
    if schema <= SCHEMA {
        return Ok(());
    }
    let path = path.to_owned();
    Err(RestoreError::Store(StoreError::TooNew {
        path,
        found: schema,
        known: SCHEMA,
    }))
}

fn content(file: &Path, what: String) -> RestoreError {
    let path = file.to_owned();
    RestoreError::Content { path, what }
}

enum Stop {
    Copy(CopyError),
    Fault(Fault),
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

fn read_copy(
    file: &Path,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Fault>,
) -> Result<stored::CopyHeader, RestoreError> {
    let path = || file.to_owned();
    let opened = File::open(file).map_err(|error| RestoreError::Copy {
        path: path(),
        problem: error.into(),
    })?;
    let input = BufReader::with_capacity(BATCH, opened);
    let read = copy::read(input, |key, value| each(key, value).map_err(Stop::Fault));
    read.map_err(|stop| match stop {
        Stop::Copy(problem) => RestoreError::Copy {
            path: path(),
            problem,
        },
        Stop::Fault(fault) => content(file, fault.to_string()),
    })
}

/// Makes sure that nothing is overwritten.
pub(super) fn empty(directory: &Path) -> Result<(), RestoreError> {
    let made = fs::create_dir_all(directory);
    made.map_err(open::directory(directory, "create the directory"))?;
    let entries = fs::read_dir(directory);
    let entries = entries.map_err(open::directory(directory, "list the directory"))?;
    // What a file system of its own brings along is in nobody's way.
    let mut others = entries.filter(|entry| {
        let name = entry.as_ref().map(fs::DirEntry::file_name);
        name.is_ok_and(|name| name != "lost+found")
    });
    match others.next() {
        None => Ok(()),
        Some(_) => Err(RestoreError::NotEmpty(directory.to_owned())),
    }
}

/// A store that is being made. It has no HEAD until it is finished, so a half-made one is not opened.
pub(super) struct Build {
    directory: PathBuf,
    db: sled::Db,
    batch: sled::Batch,
    bytes: usize,
    meta: stored::Meta,
    commit: u64,
    found: Found,
}

impl Build {
    pub(super) fn new(directory: &Path) -> Result<Self, RestoreError> {
        let options = Options::new(directory);
        let asked = options.clone();
        let opened = isolated(options.patience, move || open::lock(&asked));
        let db = opened.map_err(|fault| open::refused(&options, 0, &fault))?;
        Ok(Self {
            directory: directory.to_owned(),
            db,
            batch: sled::Batch::default(),
            bytes: 0,
            meta: stored::Meta::default(),
            commit: 0,
            found: Found::new(None),
        })
    }

    /// Adds a value; they come in the order of their keys. The counters are written at the end.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.found.take(key, value)?;
        match key.first() {
            Some(&key::META) => self.meta = self.found.meta.unwrap_or_default(),
            Some(&key::COMMIT) => self.commit = self.found.commit,
            Some(&key::RESTORED) => {}
            _ => self.write(key, value)?,
        }
        Ok(())
    }

    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        pieces::put(&self.db, &mut self.batch, key, value)?;
        self.bytes += value.len();
        if self.bytes >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.bytes = 0;
        self.db.apply_batch(std::mem::take(&mut self.batch))?;
        Ok(())
    }

    /// The counters that the new store begins with, where they were not among the values.
    pub(super) fn counters(&mut self, meta: stored::Meta, commit: u64) {
        self.meta = meta;
        self.commit = self.commit.max(commit);
    }

    /// Ends the store: a new generation, and a note of where it came from.
    pub(super) fn finish(mut self, generation: u64, detail: String) -> Result<Sound, RestoreError> {
        let options = Options::new(self.directory.clone());
        let written = self.write_counters(generation, detail);
        let written = written.and_then(|()| {
            self.flush()?;
            self.db.flush()?;
            Ok(())
        });
        written.map_err(|fault| open::refused(&options, generation, &fault))?;
        open::sync_everything(&self.directory)?;
        let chain = match self.found.revision {
            0 => GENESIS,
            _ => self.found.chain,
        };
        let head = Head {
            generation,
            commit: self.commit,
            revision: self.found.revision,
            chain,
        };
        let headed = HeadFile::open(&self.directory).and_then(|file| file.write(&head));
        headed.map_err(|fault| open::refused(&options, generation, &fault))?;
        drop(self.db);
        check_store(&self.directory)
    }

    fn write_counters(&mut self, generation: u64, detail: String) -> Result<(), Fault> {
        self.commit += 1;
        let meta = stored::Meta {
            generation,
            schema: SCHEMA,
            ..self.meta
        };
        let restored = stored::Restored {
            revision: self.found.revision,
            detail,
        };
        let values = [
            (key::META, meta.encode_to_vec()),
            (key::COMMIT, self.commit.to_be_bytes().to_vec()),
            (key::RESTORED, restored.encode_to_vec()),
        ];
        for (kind, value) in values {
            let key = [kind];
            let sealed = seal(&key, &value);
            self.write(&key, &sealed)?;
        }
        Ok(())
    }
}
