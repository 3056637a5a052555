//! The high-water mark: a small file that says how far the log was acknowledged. sled drops a damaged tail silently; a
//! log that ends before the mark has lost something.
//!
//! `"SERINUS1" | generation u64 | commit u64 | revision u64 | chain hash, 16 bytes | crc32c u32`, big-endian. Written to
//! a new file, synced, renamed over the old one; then the directory is synced.

use super::fault::Fault;
use crate::store::frame::Chain;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

const MAGIC: &[u8; 8] = b"SERINUS1";
const LENGTH: usize = 8 + 3 * 8 + 16 + 4;

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

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if bytes.len() != LENGTH || crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
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
        let damaged = || {
            let length = bytes.len();
            Fault::Log(format!(
                "HEAD ({length} bytes) is damaged, so how far the log went is not known"
            ))
        };
        Self::decode(&bytes).map(Some).ok_or_else(damaged)
    }

    /// Replaces the mark; on disk when this returns. `opened` is the directory itself.
    pub(super) fn write(&self, directory: &Path, opened: &File) -> Result<(), Fault> {
        let new = directory.join("HEAD.new");
        let mut file = File::create(&new).map_err(Fault::io("create HEAD.new"))?;
        file.write_all(&self.encode())
            .map_err(Fault::io("write HEAD.new"))?;
        file.sync_all().map_err(Fault::io("sync HEAD.new"))?;
        fs::rename(&new, directory.join(NAME)).map_err(Fault::io("rename HEAD.new"))?;
        opened.sync_all().map_err(Fault::io("sync the directory"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        generation: 1,
        commit: 9,
        revision: 7,
        chain: [3; 16],
    };

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let opened = File::open(directory.path()).unwrap();
        assert_eq!(Head::read(directory.path()).unwrap(), None);
        for revision in [7, 8] {
            let head = Head { revision, ..HEAD };
            head.write(directory.path(), &opened).unwrap();
            assert_eq!(Head::read(directory.path()).unwrap(), Some(head));
        }
    }

    #[test]
    fn a_damaged_mark_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = HEAD.encode();
        for length in 0..bytes.len() {
            fs::write(directory.path().join(NAME), &bytes[..length]).unwrap();
            assert!(Head::read(directory.path()).is_err(), "length {length}");
        }
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert_eq!(Head::decode(&broken), None, "byte {at}");
        }
    }
}
