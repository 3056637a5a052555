//! The last assignments and the latches on disk.
//!
//! One file: magic, version, length, CRC-32C of the content, content. It is replaced as a whole (new file, sync, rename,
//! sync of the directory), so that a crash leaves the old one or the new one. A file that does not check out is set
//! aside, never believed.

use super::saved::State;
use prost::Message as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"SERINUSA";
const VERSION: u32 = 1;
const HEAD: usize = 8 + 4 + 4 + 4;

/// The state file of one sidecar.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

/// Why a state file is not believed.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The system does not give it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not one of ours, cut off, or changed.
    #[error("{0}")]
    Corrupt(&'static str),
}

/// What a start finds.
#[derive(Debug)]
pub enum Found {
    /// There is no file: a first start.
    Nothing,
    /// A good one.
    State(State),
    /// A bad one, and where it was put.
    Bad {
        /// What is wrong with it.
        why: Unreadable,
        /// Where it is now, if it could be moved.
        aside: Option<PathBuf>,
    },
}

impl Cache {
    /// In a directory, which is made if need be.
    ///
    /// # Errors
    /// If the directory can be neither found nor made.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join("assignments")
    }

    /// Reads it; a bad file is set aside so that the next start does not meet it again.
    #[must_use]
    pub fn load(&self) -> Found {
        match fs::read(self.path()) {
            Ok(bytes) => match decode(&bytes) {
                Ok(state) => Found::State(state),
                Err(why) => self.set_aside(why),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => self.set_aside(error.into()),
        }
    }

    fn set_aside(&self, why: Unreadable) -> Found {
        let aside = self.directory.join("assignments.corrupt");
        let moved = fs::rename(self.path(), &aside).is_ok();
        Found::Bad {
            why,
            aside: moved.then_some(aside),
        }
    }

    /// Replaces it. On disk when this returns.
    ///
    /// # Errors
    /// What the system says; the earlier file is still there then.
    pub fn store(&self, state: &State) -> io::Result<()> {
        let fresh = self.directory.join("assignments.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&encode(state))?;
        file.sync_all()?;
        fs::rename(&fresh, self.path())?;
        File::open(&self.directory)?.sync_all()
    }
}

fn encode(state: &State) -> Vec<u8> {
    let content = state.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEAD + content.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    // A state is far below 4 GiB; a longer one would not decode and be set aside.
    bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
    bytes.extend_from_slice(&content);
    bytes
}

fn decode(bytes: &[u8]) -> Result<State, Unreadable> {
    let (head, content) = bytes
        .split_at_checked(HEAD)
        .ok_or(Unreadable::Corrupt("it is too short"))?;
    if &head[..8] != MAGIC {
        return Err(Unreadable::Corrupt("it is no state file of a sidecar"));
    }
    let number = |at: usize| {
        let mut four = [0u8; 4];
        four.copy_from_slice(&head[at..at + 4]);
        u32::from_le_bytes(four)
    };
    if number(8) != VERSION {
        return Err(Unreadable::Corrupt("it is of another version"));
    }
    if number(12) as usize != content.len() {
        return Err(Unreadable::Corrupt("it is cut off"));
    }
    if number(16) != crc32c::crc32c(content) {
        return Err(Unreadable::Corrupt("its checksum does not fit"));
    }
    State::decode(content).map_err(|_| Unreadable::Corrupt("its content does not decode"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::saved;
    use proptest::prelude::*;

    fn state() -> State {
        State {
            latches: vec![saved::Latch {
                rollout: "r".into(),
                variants: Vec::new(),
            }],
            wall_ms: 7,
            ..State::default()
        }
    }

    #[test]
    fn what_is_stored_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(&directory.path().join("deep/er")).unwrap();
        assert!(matches!(cache.load(), Found::Nothing));
        cache.store(&State::default()).unwrap();
        cache.store(&state()).unwrap();
        assert!(matches!(cache.load(), Found::State(found) if found == state()));
    }

    #[test]
    fn a_half_written_new_file_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        cache.store(&state()).unwrap();
        fs::write(directory.path().join("assignments.new"), b"SERI").unwrap();
        assert!(matches!(cache.load(), Found::State(found) if found == state()));
    }

    #[test]
    fn a_bad_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        cache.store(&state()).unwrap();
        let mut bytes = fs::read(cache.path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(cache.path(), bytes).unwrap();
        let Found::Bad { why, aside } = cache.load() else {
            panic!("believed")
        };
        assert!(why.to_string().contains("checksum"));
        assert!(aside.unwrap().exists());
        assert!(matches!(cache.load(), Found::Nothing));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_and_no_cut_is_believed(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
            let good = encode(&state());
            let mut flipped = good.clone();
            flipped[at.index(good.len())] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&good[..cut.index(good.len())]).is_err());
            prop_assert_eq!(decode(&good).unwrap(), state());
        }
    }
}
