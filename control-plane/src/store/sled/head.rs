//! The high-water mark: a small file that says how far the log was acknowledged. sled drops a damaged tail silently; a
//! log that ends before the mark has lost something.
//!
//! Two slots of a page each, written in turn and in place: `"SERINUS1" | generation u64 | commit u64 | revision u64 |
//! chain hash, 16 bytes | crc32c u32`, big-endian. The valid slot with the higher commit counts. A write that is cut off
//! spoils the slot of a commit that was never acknowledged and leaves the one before. The file never grows and no name
//! changes, so a write costs one flush of the disk; a new file and a rename would cost two commits of the file system's
//! journal more, at every commit.

use super::fault::Fault;
use crate::store::frame::Chain;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: &[u8; 8] = b"SERINUS1";
const LENGTH: usize = 8 + 3 * 8 + 16 + 4;
const SLOT: usize = 4096;

/// Name of the file.
pub(super) const NAME: &str = "HEAD";

/// What was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) generation: u64,
    /// Number of the last commit, with or without events.
    pub(super) commit: u64,
    /// Of the last event; 0 for an empty log.
    pub(super) revision: u64,
    /// Hash of the log up to it.
    pub(super) chain: Chain,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.generation, self.commit, self.revision] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.chain);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let (body, crc) = slot.get(..LENGTH)?.split_last_chunk::<4>()?;
        if !body.starts_with(MAGIC) || crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let number = |at: usize| Some(u64::from_be_bytes(*body.get(at..)?.first_chunk()?));
        Some(Self {
            generation: number(8)?,
            commit: number(16)?,
            revision: number(24)?,
            chain: *body.get(32..)?.first_chunk()?,
        })
    }

    /// Reads the mark; `None` where there is none yet.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, Fault> {
        let bytes = match fs::read(directory.join(NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fault::io("read HEAD")(error)),
        };
        let whole = bytes.len() == 2 * SLOT;
        let slots = bytes
            .chunks(SLOT)
            .filter(|_| whole)
            .filter_map(Self::decode);
        let newest = slots.max_by_key(|head| head.commit);
        newest.map(Some).ok_or_else(|| {
            let length = bytes.len();
            Fault::Log(format!(
                "HEAD ({length} bytes) is damaged, so how far the log went is not known"
            ))
        })
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct HeadFile(pub(super) File);

impl HeadFile {
    /// Opens the file, or makes it with nothing acknowledged; on disk when this returns.
    pub(super) fn open(directory: &Path) -> Result<Self, Fault> {
        let path = directory.join(NAME);
        if !path.exists() {
            create(directory).map_err(Fault::io("create HEAD"))?;
        }
        let file = File::options().write(true).open(path);
        file.map(Self).map_err(Fault::io("open HEAD"))
    }

    /// Moves the mark; on disk when this returns.
    pub(super) fn write(&self, head: &Head) -> Result<(), Fault> {
        let at = head.commit % 2 * SLOT as u64;
        self.0
            .write_all_at(&head.encode(), at)
            .map_err(Fault::io("write HEAD"))?;
        self.0.sync_data().map_err(Fault::io("sync HEAD"))
    }
}

fn create(directory: &Path) -> std::io::Result<()> {
    let nothing = Head {
        generation: 0,
        commit: 0,
        revision: 0,
        chain: [0; 16],
    };
    let mut bytes = nothing.encode();
    bytes.resize(2 * SLOT, 0);
    let new = directory.join("HEAD.new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(NAME))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(commit: u64) -> Head {
        Head {
            generation: 1,
            commit,
            revision: commit / 2,
            chain: [3; 16],
        }
    }

    #[test]
    fn the_newest_mark_is_read() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Head::read(directory.path()).unwrap(), None);
        for commit in 1..=5 {
            let file = HeadFile::open(directory.path()).unwrap();
            file.write(&head(commit)).unwrap();
            assert_eq!(Head::read(directory.path()).unwrap(), Some(head(commit)));
        }
    }

    #[test]
    fn a_write_that_is_cut_off_leaves_the_mark_before() {
        let directory = tempfile::tempdir().unwrap();
        let file = HeadFile::open(directory.path()).unwrap();
        file.write(&head(6)).unwrap();
        let (old, new) = (head(5).encode(), head(7).encode());
        for length in 0..LENGTH {
            file.write(&head(5)).unwrap();
            let torn = [&new[..length], &old[length..]].concat();
            file.0.write_all_at(&torn, SLOT as u64).unwrap();
            assert_eq!(
                Head::read(directory.path()).unwrap(),
                Some(head(6)),
                "{length}"
            );
        }
    }

    #[test]
    fn a_damaged_mark_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        HeadFile::open(directory.path()).unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in [0, 1, LENGTH, SLOT, 2 * SLOT - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(Head::read(directory.path()).is_err(), "length {length}");
        }
        for at in 0..LENGTH {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            fs::write(&path, broken).unwrap();
            assert!(Head::read(directory.path()).is_err(), "byte {at}");
        }
    }
}
