//! A copy of a store in one file: backups and exports.
//!
//! `"SERINUSX" | version u32`, then frames `kind u8 | length u32 | payload | crc32c u32`: a header, every value in the
//! order of its key (`length of the key u16 | key | value as stored`, with the checksums and the chain it has on disk),
//! and a manifest. Numbers are big-endian. The manifest holds the SHA-256 of everything before it, so a copy that was
//! cut off or changed anywhere is told from a whole one.

use prost::Message;
use serinus_proto::stored::v1 as stored;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"SERINUSX";
const VERSION: u32 = 1;
const HEADER: u8 = b'H';
const VALUE: u8 = b'V';
const MANIFEST: u8 = b'M';
/// Longest frame, bytes: the longest value and its key.
const LONGEST: usize = 16 * 1024 * 1024 + 128 * 1024;

/// What is wrong with a copy.
#[derive(Debug, Error)]
pub enum CopyError {
    /// It cannot be read.
    #[error("read it: {0}")]
    Io(#[from] io::Error),
    /// Not one of ours.
    #[error("it is no backup of Serinus")]
    Foreign,
    /// Of a later version.
    #[error("it has format {0}, this version knows {VERSION}; use the newer version of Serinus")]
    Version(u32),
    /// It ends too early.
    #[error("it is cut off after {0} bytes")]
    CutOff(u64),
    /// Not what was written.
    #[error("the checksum at byte {0} is wrong")]
    Checksum(u64),
    /// Intact frames that make no copy.
    #[error("at byte {at}: {what}")]
    Content {
        /// Where the frame begins.
        at: u64,
        /// What is wrong.
        what: String,
    },
}

/// Writes a copy.
pub struct Writer<W> {
    out: Hashed<W>,
    values: BTreeMap<u32, u64>,
}

impl<W: Write> Writer<W> {
    /// Begins with the header.
    ///
    /// # Errors
    /// What `out` says; so with the others.
    pub fn new(out: W, header: &stored::CopyHeader) -> io::Result<Self> {
        let mut out = Hashed::new(out);
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_be_bytes())?;
        frame(&mut out, HEADER, &[&header.encode_to_vec()])?;
        let values = BTreeMap::new();
        Ok(Self { out, values })
    }

    /// Adds a value; they come in the order of their keys.
    ///
    /// # Errors
    /// What the file says, or if the key is longer than 64 KiB.
    pub fn value(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let length = u16::try_from(key.len()).map_err(io::Error::other)?;
        let kind = u32::from(key.first().copied().unwrap_or(0));
        *self.values.entry(kind).or_default() += 1;
        frame(&mut self.out, VALUE, &[&length.to_be_bytes(), key, value])
    }

    /// Ends with the manifest; returns it, how many bytes there are, and the file.
    ///
    /// # Errors
    /// What the file says.
    pub fn finish(mut self) -> io::Result<(stored::CopyManifest, u64, W)> {
        let manifest = stored::CopyManifest {
            values: self.values,
            sha256: self.out.hash.clone().finalize().to_vec(),
        };
        frame(&mut self.out, MANIFEST, &[&manifest.encode_to_vec()])?;
        self.out.inner.flush()?;
        Ok((manifest, self.out.count, self.out.inner))
    }
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Reads a copy and checks all of it: `each` is told every key and value in order, and the end is an error unless the
/// manifest agrees.
///
/// # Errors
/// See [`CopyError`], and what `each` says.
pub fn read<E: From<CopyError>>(
    from: impl Read,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<stored::CopyHeader, E> {
    let mut source = Source::new(from);
    source.preamble()?;
    let (kind, at, payload) = source.frame()?;
    let header = (kind == HEADER).then(|| stored::CopyHeader::decode(payload.as_slice()));
    let Some(Ok(header)) = header else {
        return Err(content(at, "there is no header").into());
    };
    let mut values = BTreeMap::<u32, u64>::new();
    let mut last = Vec::new();
    loop {
        let sha256 = source.input.hash.clone();
        let (kind, at, payload) = source.frame()?;
        if kind == MANIFEST {
            let manifest = stored::CopyManifest::decode(payload.as_slice());
            let manifest = manifest.map_err(|_| content(at, "the manifest cannot be decoded"))?;
            if manifest.sha256 != sha256.finalize().as_slice() || manifest.values != values {
                return Err(content(at, "the manifest is of other content").into());
            }
            source.end()?;
            return Ok(header);
        }
        let split = payload.split_first_chunk::<2>();
        let split =
            split.and_then(|(n, rest)| rest.split_at_checked(u16::from_be_bytes(*n).into()));
        let Some((key, value)) = split.filter(|_| kind == VALUE) else {
            return Err(content(at, "there is no value").into());
        };
        if key <= last.as_slice() {
            return Err(content(at, "the values are out of order").into());
        }
        *values.entry(key[0].into()).or_default() += 1;
        each(key, value)?;
        last = key.to_vec();
    }
}

fn content(at: u64, what: &str) -> CopyError {
    let what = what.to_owned();
    CopyError::Content { at, what }
}

fn frame(out: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).map_err(io::Error::other)?;
    let mut head = vec![kind];
    head.extend_from_slice(&length.to_be_bytes());
    let mut crc = crc32c::crc32c(&head);
    out.write_all(&head)?;
    for part in parts {
        crc = crc32c::crc32c_append(crc, part);
        out.write_all(part)?;
    }
    out.write_all(&crc.to_be_bytes())
}

/// A file whose bytes are hashed and counted as they pass.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
    count: u64,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            count: 0,
        }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.count += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Source<R> {
    input: Hashed<R>,
}

impl<R: Read> Source<R> {
    fn new(input: R) -> Self {
        let input = Hashed::new(input);
        Self { input }
    }

    fn preamble(&mut self) -> Result<(), CopyError> {
        let mut magic = [0; 8];
        self.fill(&mut magic).map_err(|error| match error {
            CopyError::CutOff(_) => CopyError::Foreign,
            other => other,
        })?;
        if &magic != MAGIC {
            return Err(CopyError::Foreign);
        }
        let mut version = [0; 4];
        self.fill(&mut version)?;
        match u32::from_be_bytes(version) {
            VERSION => Ok(()),
            other => Err(CopyError::Version(other)),
        }
    }

    fn frame(&mut self) -> Result<(u8, u64, Vec<u8>), CopyError> {
        let at = self.input.count;
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(CopyError::Checksum(at));
        }
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        let mut crc = [0; 4];
        self.fill(&mut crc)?;
        let found = crc32c::crc32c_append(crc32c::crc32c(&head), &payload);
        if found != u32::from_be_bytes(crc) {
            return Err(CopyError::Checksum(at));
        }
        Ok((kind, at, payload))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CopyError> {
        match self.input.inner.read_exact(bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(CopyError::CutOff(self.input.count));
            }
            Err(error) => return Err(error.into()),
        }
        self.input.hash.update(&*bytes);
        self.input.count += bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> Result<(), CopyError> {
        let at = self.input.count;
        match self.input.inner.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(content(at, "something follows the manifest")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy() -> Vec<u8> {
        let header = stored::CopyHeader {
            generation: 3,
            revision: 7,
            ..stored::CopyHeader::default()
        };
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        for (key, value) in [("a", "one"), ("b1", "two"), ("b2", "")] {
            writer.value(key.as_bytes(), value.as_bytes()).unwrap();
        }
        let (manifest, bytes, file) = writer.finish().unwrap();
        assert_eq!(bytes, file.len() as u64);
        assert_eq!(manifest.values, [(97, 1), (98, 2)].into());
        file
    }

    fn all(file: &[u8]) -> Result<(u64, Vec<String>), CopyError> {
        let mut keys = Vec::new();
        let header = read::<CopyError>(file, |key, value| {
            let text = [key, b"=", value].concat();
            keys.push(String::from_utf8(text).unwrap());
            Ok(())
        })?;
        Ok((header.generation, keys))
    }

    #[test]
    fn what_was_written_is_read() {
        let (generation, keys) = all(&copy()).unwrap();
        assert_eq!(
            (generation, keys.join(" ").as_str()),
            (3, "a=one b1=two b2=")
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_told() {
        let file = copy();
        for bit in 0..file.len() * 8 {
            let mut broken = file.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(all(&broken).is_err(), "bit {bit}");
        }
        for length in 0..file.len() {
            assert!(all(&file[..length]).is_err(), "length {length}");
        }
        assert!(all(&[&file[..], b"x"].concat()).is_err());
    }

    #[test]
    fn values_out_of_order_are_refused() {
        let mut writer = Writer::new(Vec::new(), &stored::CopyHeader::default()).unwrap();
        writer.value(b"b", b"").unwrap();
        writer.value(b"a", b"").unwrap();
        let (_, _, file) = writer.finish().unwrap();
        assert!(all(&file).unwrap_err().to_string().contains("out of order"));
    }
}
