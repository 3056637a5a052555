//! Room on the disk: how much must stay free, and what is given up so that a rollback still finds some.
//!
//! Below the reserve everything that can wait is refused. A ballast file, a quarter of the reserve and really allocated,
//! is removed when even a rollback might find no room, and made again when there is enough.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Name of the ballast file.
pub const BALLAST: &str = "ballast";

/// Too little room for what can wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The directory.
    pub path: PathBuf,
    /// Free bytes.
    pub available: u64,
    /// Bytes that have to stay free.
    pub reserve: u64,
    /// Not even a sidecar that is new can be written down.
    pub severe: bool,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, available, reserve) = (self.path.display(), self.available, self.reserve);
        write!(
            f,
            "{path}: too little room on the disk: {available} bytes are free, {reserve} are kept in reserve. Only what \
             takes a canary back is done. Free some space on that disk; everything else then goes on by itself"
        )
    }
}

/// Watches over the room of one directory.
#[derive(Debug)]
pub(super) struct Room {
    path: PathBuf,
    reserve: u64,
}

impl Room {
    pub(super) fn new(path: &Path, reserve: u64) -> Self {
        Self {
            path: path.to_owned(),
            reserve,
        }
    }

    /// Bytes that have to stay free.
    pub(super) fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Where the system does not tell, the write itself will.
    fn available(&self) -> Option<u64> {
        fs4::available_space(&self.path).ok()
    }

    /// Bytes of the ballast file.
    fn ballast(&self) -> u64 {
        self.reserve / 4
    }

    pub(super) fn shortage(&self) -> Option<Shortage> {
        let available = self.available()?;
        (available < self.reserve).then(|| Shortage {
            path: self.path.clone(),
            available,
            reserve: self.reserve,
            severe: available < self.ballast(),
        })
    }

    /// Removes the ballast if the next write might find no room.
    pub(super) fn make(&self) {
        if self.available().is_some_and(|free| free < self.ballast()) {
            match fs::remove_file(self.path.join(BALLAST)) {
                Ok(()) => {
                    tracing::warn!(path = %self.path.display(), "disk nearly full: ballast removed")
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!(path = %self.path.display(), %error, "remove the ballast")
                }
            }
        }
    }

    /// Makes the ballast anew once there is room for it beside the reserve.
    pub(super) fn restore_ballast(&self) {
        let enough = self.reserve.saturating_add(self.ballast());
        let path = self.path.join(BALLAST);
        if path.exists() || self.available().is_none_or(|free| free < enough) {
            return;
        }
        if let Err(error) = self.allocate(&path) {
            tracing::warn!(path = %path.display(), %error, "make the ballast");
            // What is half made would not be made again.
            let _ = fs::remove_file(&path);
        }
    }

    fn allocate(&self, path: &Path) -> io::Result<()> {
        use fs4::fs_std::FileExt as _;
        let file = File::create(path)?;
        file.allocate(self.ballast())?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_comes_and_goes_with_the_room() {
        let home = tempfile::tempdir().unwrap();
        let ballast = home.path().join(BALLAST);
        let plenty = Room::new(home.path(), 1 << 20);
        plenty.restore_ballast();
        assert_eq!(fs::metadata(&ballast).unwrap().len(), 1 << 18);
        plenty.make();
        assert!(ballast.exists());
        assert_eq!(plenty.shortage(), None);
        let none = Room::new(home.path(), u64::MAX);
        none.make();
        assert!(!ballast.exists());
        none.restore_ballast();
        assert!(!ballast.exists());
        let shortage = none.shortage().unwrap();
        assert!(shortage.severe && shortage.to_string().contains("Free some space"));
    }
}
