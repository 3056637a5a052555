//! Copies of the store beside it, the newest three, each read back before it counts.

use super::SledStore;
use super::open::directory;
use super::restore::check_copy;
use crate::store::prune::Exported;
use crate::store::{Shortage, StoreError};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// Directory of the exports, in that of the store.
pub const EXPORTS: &str = "exports";
/// So many are kept.
const KEPT: usize = 3;
const SUFFIX: &str = ".copy";
const BUFFER: usize = 1024 * 1024;

impl SledStore {
    fn locked(&self) -> MutexGuard<'_, Option<Vec<Exported>>> {
        // The list is changed in one step.
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verified exports, oldest first; reads them when it is asked first.
    pub(super) fn known_exports(&self) -> Result<Vec<Exported>, StoreError> {
        let mut exports = self.locked();
        if exports.is_none() {
            *exports = Some(self.read_exports()?);
        }
        Ok(exports.clone().unwrap_or_default())
    }

    /// Reads what exports there are, and removes what no start will ever finish.
    fn read_exports(&self) -> Result<Vec<Exported>, StoreError> {
        let home = self.path.join(EXPORTS);
        fs::create_dir_all(&home).map_err(directory(&home, "create the directory"))?;
        let entries = fs::read_dir(&home).map_err(directory(&home, "list the directory"))?;
        let mut found = Vec::new();
        for entry in entries {
            let path = entry
                .map_err(directory(&home, "list the directory"))?
                .path();
            let name = path.to_string_lossy().into_owned();
            if name.ends_with(".part") {
                let _ = fs::remove_file(&path);
            } else if name.ends_with(SUFFIX) {
                match verified(&path) {
                    Ok(exported) => found.push(exported),
                    Err(error) => tracing::error!(%error, "an export is damaged"),
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Writes an export, reads it back, and removes the oldest beyond three.
    pub(super) fn write_export(&self) -> Result<Exported, StoreError> {
        let home = self.path.join(EXPORTS);
        fs::create_dir_all(&home).map_err(directory(&home, "create the directory"))?;
        let mut exports = self.known_exports()?;
        self.has_room_for_export(exports.last())?;
        let part = home.join("export.part");
        let copied = self.copy_into(&part);
        let path = copied.inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })?;
        let exported = verified(&path)?;
        exports.retain(|other| other.path != exported.path);
        exports.push(exported.clone());
        let surplus = exports.len().saturating_sub(KEPT);
        let old: Vec<Exported> = exports.drain(..surplus).collect();
        *self.locked() = Some(exports);
        for old in old {
            fs::remove_file(&old.path).map_err(directory(&old.path, "remove"))?;
        }
        Ok(exported)
    }

    fn copy_into(&self, part: &Path) -> Result<PathBuf, StoreError> {
        let home = self.path.join(EXPORTS);
        let file = File::create(part).map_err(directory(part, "create"))?;
        let mut out = BufWriter::with_capacity(BUFFER, file);
        let header = self.copy(&mut out)?;
        let file = out
            .into_inner()
            .map_err(|error| StoreError::Copy(error.into_error()))?;
        file.sync_all().map_err(directory(part, "sync"))?;
        // The generation first: a restored store may be at an earlier commit than the exports it finds.
        let (generation, commit) = (header.generation, header.commit);
        let path = home.join(format!("export-{generation:06}-{commit:020}{SUFFIX}"));
        fs::rename(part, &path).map_err(directory(&path, "rename"))?;
        let synced = File::open(&home).and_then(|home| home.sync_all());
        synced.map_err(directory(&home, "sync"))?;
        Ok(path)
    }

    /// An export must not be what fills the disk.
    fn has_room_for_export(&self, newest: Option<&Exported>) -> Result<(), StoreError> {
        let newest = newest.map(|exported| exported.bytes);
        let size = newest.or_else(|| self.db.size_on_disk().ok()).unwrap_or(0);
        let (Ok(available), reserve) = (fs4::available_space(&self.path), self.room.reserve())
        else {
            return Ok(());
        };
        if available > reserve.saturating_add(size).saturating_add(size / 4) {
            return Ok(());
        }
        Err(StoreError::Full(Shortage {
            path: self.path.clone(),
            available,
            reserve: reserve.saturating_add(size),
            severe: false,
        }))
    }
}

fn verified(path: &Path) -> Result<Exported, StoreError> {
    let checked = check_copy(path);
    let sound =
        checked.map_err(|error| StoreError::Copy(std::io::Error::other(error.to_string())))?;
    let bytes = fs::metadata(path).map_err(directory(path, "read"))?.len();
    Ok(Exported {
        path: path.to_owned(),
        revision: sound.revision,
        commit: sound.commit,
        bytes,
    })
}
