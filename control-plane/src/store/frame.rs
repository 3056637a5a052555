//! How values look on disk.
//!
//! An entry of the log: `schema u8 | writer u32 | previous chain hash, 16 bytes | payload | crc32c u32`. The chain hash
//! of an entry is `xxh3_128(previous chain hash | payload)`, so that a lost, swapped or rewritten entry shows in every
//! later one. Any other value: `schema u8 | payload | crc32c u32`, where the checksum also covers the key, so that a
//! value that moved to another key is told. Numbers are big-endian.

use prost::Message;
use thiserror::Error;

/// Version of both frames. A reader that does not know it must not guess.
pub const FRAME: u8 = 1;

const CHAIN: usize = 16;
const CRC: usize = 4;
const ENTRY_HEAD: usize = 1 + 4 + CHAIN;

/// Hash of the log up to an entry.
pub type Chain = [u8; CHAIN];

/// What comes before the first entry.
pub const GENESIS: Chain = [0; CHAIN];

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Shorter than a frame.
    #[error("is cut off after {0} bytes")]
    Short(usize),
    /// Another frame version.
    #[error("has frame version {0}, this Serinus knows {FRAME}")]
    Version(u8),
    /// Not what was written.
    #[error("fails its checksum")]
    Checksum,
    /// Not the entry that follows.
    #[error("does not continue the entry before it")]
    Chain,
    /// Intact, but no message.
    #[error("cannot be decoded: {0}")]
    Payload(String),
}

/// One entry of the log, checked but not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Version of the program that wrote it, as [`writer`] packs it.
    pub writer: u32,
    /// Hash of the log before it.
    pub previous: Chain,
    /// The encoded record.
    pub payload: &'a [u8],
}

impl Entry<'_> {
    /// Hash of the log including this entry.
    #[must_use]
    pub fn chain(&self) -> Chain {
        chain(&self.previous, self.payload)
    }
}

/// This program's version: major, minor and patch in the three lower bytes.
#[must_use]
pub fn writer() -> u32 {
    let parts = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ];
    parts.iter().fold(0, |packed, part| {
        packed << 8 | u32::from(part.parse::<u8>().unwrap_or(u8::MAX))
    })
}

/// What [`writer`] packed, as people write it.
#[must_use]
pub fn version(writer: u32) -> String {
    let [_, major, minor, patch] = writer.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}

/// Hash of the log after an entry with this payload.
#[must_use]
pub fn chain(previous: &Chain, payload: &[u8]) -> Chain {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(previous);
    hasher.update(payload);
    hasher.digest128().to_be_bytes()
}

/// Frames an entry of the log.
#[must_use]
pub fn entry(previous: &Chain, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY_HEAD + payload.len() + CRC);
    bytes.push(FRAME);
    bytes.extend_from_slice(&writer().to_be_bytes());
    bytes.extend_from_slice(previous);
    bytes.extend_from_slice(payload);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// Reads an entry back and checks its checksum; whether it continues the log is the caller's to check.
///
/// # Errors
/// See [`FrameError`].
pub fn parse_entry(bytes: &[u8]) -> Result<Entry<'_>, FrameError> {
    let body = checked(bytes, ENTRY_HEAD, 0)?;
    let short = || FrameError::Short(bytes.len());
    let (head, payload) = body.split_at_checked(ENTRY_HEAD).ok_or_else(short)?;
    let (writer, previous) = head[1..].split_first_chunk::<4>().ok_or_else(short)?;
    Ok(Entry {
        writer: u32::from_be_bytes(*writer),
        previous: *previous.first_chunk().ok_or_else(short)?,
        payload,
    })
}

/// Frames a value of any other kind.
#[must_use]
pub fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + payload.len() + CRC);
    bytes.push(FRAME);
    bytes.extend_from_slice(payload);
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// Reads such a value back.
///
/// # Errors
/// See [`FrameError`].
pub fn unseal<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
    checked(bytes, 1, crc32c::crc32c(key)).map(|body| &body[1..])
}

/// Decodes an intact payload.
///
/// # Errors
/// [`FrameError::Payload`].
pub fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, FrameError> {
    M::decode(payload).map_err(|error| FrameError::Payload(error.to_string()))
}

fn checked(bytes: &[u8], head: usize, seed: u32) -> Result<&[u8], FrameError> {
    let (body, crc) = match bytes.split_last_chunk::<CRC>() {
        Some((body, crc)) if body.len() >= head => (body, crc),
        _ => return Err(FrameError::Short(bytes.len())),
    };
    if crc32c::crc32c_append(seed, body) != u32::from_be_bytes(*crc) {
        return Err(FrameError::Checksum);
    }
    match body[0] {
        FRAME => Ok(body),
        other => Err(FrameError::Version(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_an_entry_is_told() {
        let bytes = entry(&[7; 16], b"payload");
        let parsed = parse_entry(&bytes).unwrap();
        assert_eq!(
            (parsed.previous, parsed.payload),
            ([7; 16], &b"payload"[..])
        );
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse_entry(&broken), Err(FrameError::Checksum), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(parse_entry(&bytes[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_value_belongs_to_its_key() {
        let bytes = seal(b"key", b"value");
        assert_eq!(unseal(b"key", &bytes), Ok(&b"value"[..]));
        assert_eq!(unseal(b"kez", &bytes), Err(FrameError::Checksum));
        assert_eq!(unseal(b"key", &bytes[..4]), Err(FrameError::Short(4)));
        assert_eq!(unseal(b"key", &seal(b"key", b"")), Ok(&b""[..]));
    }

    #[test]
    fn an_unknown_frame_version_is_not_guessed() {
        let mut bytes = seal(b"", b"value");
        bytes[0] = 9;
        let end = bytes.len() - CRC;
        let crc = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(unseal(b"", &bytes), Err(FrameError::Version(9)));
    }

    #[test]
    fn the_chain_depends_on_everything_before() {
        let a = chain(&GENESIS, b"one");
        assert_ne!(chain(&a, b"two"), chain(&GENESIS, b"two"));
        assert_ne!(chain(&a, b"two"), chain(&a, b"three"));
    }
}
