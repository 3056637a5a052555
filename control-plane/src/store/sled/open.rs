//! Opening: lock, verify, begin a new term.

use super::fault::{Fault, isolated};
use super::head::{Head, HeadFile};
use super::verify::Found;
use super::{Position, SledStore, Writer};
use crate::store::room::{Room, Shortage};
use crate::store::{Batch, SCHEMA, StoreError};
use serinus_proto::stored::v1 as stored;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its directory; made if it is not there.
    pub directory: PathBuf,
    /// The generation is at least this; above the stored one it makes every sidecar accept this history as newer.
    pub generation: u64,
    /// What can wait is refused when the disk has fewer free bytes. A quarter of them is the ballast.
    pub reserve_bytes: u64,
    /// How long sled may take to open and everything to be read. Many gigabytes take minutes.
    pub patience: Duration,
    /// How long to wait for the lock: a process that was just killed may hold it for some milliseconds.
    pub lock_wait: Duration,
}

impl Options {
    /// Generation as stored, 64 MiB in reserve, 5 s for the lock.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            generation: 0,
            reserve_bytes: RESERVE_BYTES,
            patience: Duration::from_secs(900),
            lock_wait: Duration::from_secs(5),
        }
    }
}

/// Bytes that stay free, unless told otherwise.
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// sled's page cache. The log of a control plane is far smaller; slices of long rollouts are not.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

const LOCK_PAUSE: Duration = Duration::from_millis(50);

impl SledStore {
    /// Opens and verifies the store, and begins a new term, which is on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Directory`], [`StoreError::Damaged`], [`StoreError::TooNew`], or fatal if
    /// the new term cannot be written.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        let path = &options.directory;
        fs::create_dir_all(path).map_err(directory(path, "create the directory"))?;
        // sled writes while it opens; on a full disk it would fail and stay closed.
        Room::new(path, options.reserve_bytes).make();
        let (db, found) = verified(options)?;
        let seen = Head::read(path).ok().flatten();
        let store = Self::assemble(options, db, &found)?;
        store.begin_term(
            options
                .generation
                .max(seen.map_or(0, |head| head.generation)),
        )?;
        store.room.restore_ballast();
        Ok(store)
    }

    fn assemble(options: &Options, db: sled::Db, found: &Found) -> Result<Self, StoreError> {
        let path = &options.directory;
        let meta = found.meta.unwrap_or_default();
        if meta.schema > SCHEMA {
            let (path, found) = (path.clone(), meta.schema);
            return Err(StoreError::TooNew {
                path,
                found,
                known: SCHEMA,
            });
        }
        sync_everything(path)?;
        let file = File::open(path.join("db")).map_err(directory(path, "open db"))?;
        let head =
            HeadFile::open(path).map_err(|fault| refused(options, meta.generation, &fault))?;
        let position = Position {
            meta,
            commit: found.commit,
            revision: found.revision,
            chain: found.chain,
        };
        Ok(Self {
            path: path.clone(),
            room: Room::new(path, options.reserve_bytes),
            db,
            file,
            head,
            last_revision: AtomicU64::new(found.revision),
            anchor: AtomicU64::new(found.anchor),
            exports: Mutex::default(),
            writer: Mutex::new(Writer {
                position,
                copy: None,
                failed: None,
            }),
            copying: Mutex::new(()),
            pruning: Mutex::new(()),
        })
    }

    fn begin_term(&self, generation: u64) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let old = writer.position.meta;
        let meta = stored::Meta {
            generation: old.generation.max(generation).max(1),
            term: old.term + 1,
            schema: SCHEMA,
            ..old
        };
        let batch = Batch {
            meta: Some(meta),
            ..Batch::default()
        };
        self.write_batch(&mut writer, &batch)
    }
}

/// Opens what is there and reads all of it; nothing is written that says so.
pub(super) fn verified(options: &Options) -> Result<(sled::Db, Found), StoreError> {
    let path = &options.directory;
    let head = Head::read(path).map_err(|fault| damaged(path, 0, &fault))?;
    let asked = options.clone();
    let opened = isolated(options.patience, move || {
        let db = lock(&asked)?;
        let found = Found::read(&db, head.as_ref())?;
        found.against(head.as_ref())?;
        Ok((db, found))
    });
    let seen = head.map_or(0, |head| head.generation);
    opened.map_err(|fault| refused(options, seen, &fault))
}

pub(super) fn lock(options: &Options) -> Result<sled::Db, Fault> {
    let config = sled::Config::new()
        .path(&options.directory)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    let deadline = Instant::now() + options.lock_wait;
    loop {
        match config.open().map_err(Fault::from) {
            Err(fault) if fault.is_lock() && Instant::now() < deadline => {
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// sled writes its `conf` and creates `db` without syncing either; neither does anything sync the directories.
pub(super) fn sync_everything(path: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(path).map_err(directory(path, "list the directory"))?;
    for entry in entries {
        let entry = entry.map_err(directory(path, "list the directory"))?.path();
        let opened = File::open(&entry).and_then(|file| file.sync_all());
        opened.map_err(directory(&entry, "sync"))?;
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    for directory_path in [Some(path), parent].into_iter().flatten() {
        let opened = File::open(directory_path).and_then(|file| file.sync_all());
        opened.map_err(directory(directory_path, "sync"))?;
    }
    Ok(())
}

pub(super) fn directory<'a>(
    path: &'a Path,
    action: &'static str,
) -> impl FnOnce(std::io::Error) -> StoreError + 'a {
    move |source| StoreError::Directory {
        path: path.to_owned(),
        action,
        source,
    }
}

/// A store that cannot be opened now is not one that is damaged.
pub(super) fn refused(options: &Options, generation: u64, fault: &Fault) -> StoreError {
    let path = options.directory.clone();
    if fault.is_lock() {
        return StoreError::Locked { path };
    }
    if let Fault::TooNew { .. } = fault {
        let what = fault.to_string();
        return StoreError::TooNewValue { path, what };
    }
    match fault.kind() {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => StoreError::Full(Shortage {
            available: fs4::available_space(&path).unwrap_or(0),
            reserve: options.reserve_bytes,
            severe: true,
            path,
        }),
        Some(kind @ (ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)) => {
            StoreError::Directory {
                path,
                action: "open the store",
                source: kind.into(),
            }
        }
        _ => damaged(&path, generation, fault),
    }
}

fn damaged(path: &Path, generation: u64, fault: &Fault) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        what: fault.to_string(),
        next_generation: generation.max(1) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_opened_now_is_not_called_damaged() {
        let home = tempfile::tempdir().unwrap();
        let options = Options::new(home.path());
        let of = |kind: ErrorKind| {
            let fault = Fault::Engine(sled::Error::Io(kind.into()));
            refused(&options, 1, &fault)
        };
        assert!(matches!(of(ErrorKind::StorageFull), StoreError::Full(_)));
        assert!(matches!(
            of(ErrorKind::PermissionDenied),
            StoreError::Directory { .. }
        ));
        assert!(matches!(
            of(ErrorKind::UnexpectedEof),
            StoreError::Damaged { .. }
        ));
    }
}
