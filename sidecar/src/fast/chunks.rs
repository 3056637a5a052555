//! Where a chunked body ends. It is passed on as it came, so it has to be understood by everyone in the same way: what
//! the grammar (RFC 9112, section 7.1) does not allow is refused, with the blanks that it does allow around sizes.

use super::body::Taken;
use super::malformed::Malformed;

/// Bytes of all extensions of one body.
const MAX_EXTENSIONS: u32 = 16 << 10;
/// Bytes of all trailers of one body.
const MAX_TRAILERS: u32 = 16 << 10;
/// Enough for every size below 2^60.
const MAX_DIGITS: u8 = 15;

/// Headers that say how a message is read may not come after it.
const NEVER_LATE: [&[u8]; 4] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
];
const LONGEST: usize = 17;

/// A reader of chunks, at any place between two bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    at: At,
    extensions: u32,
    trailers: u32,
    name: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastLf,
    Done,
}

/// The start of a trailer's name, in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Name {
    text: [u8; LONGEST],
    length: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            at: At::Size { digits: 0, size: 0 },
            extensions: 0,
            trailers: 0,
            name: Name::default(),
        }
    }
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.length) {
            *place = byte.to_ascii_lowercase();
        }
        self.length += 1;
    }

    fn may_come_late(&self) -> bool {
        let name = self.text.get(..self.length);
        self.length > 0 && name.is_none_or(|name| !NEVER_LATE.contains(&name))
    }
}

impl Chunks {
    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut payload: impl FnMut(&[u8]),
    ) -> Result<Taken, Malformed> {
        let mut taken = Taken {
            bytes: 0,
            payload: 0,
        };
        while let Some(&byte) = bytes.get(taken.bytes) {
            match self.at {
                At::Done => break,
                At::Data { left } => {
                    let rest = &bytes[taken.bytes..];
                    let length =
                        usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    payload(&rest[..length]);
                    taken.bytes += length;
                    taken.payload += length as u64;
                    self.at = match left - length as u64 {
                        0 => At::DataCr,
                        left => At::Data { left },
                    };
                }
                at => {
                    self.at = self.step(at, byte)?;
                    taken.bytes += 1;
                }
            }
        }
        Ok(taken)
    }

    fn step(&mut self, at: At, byte: u8) -> Result<At, Malformed> {
        match at {
            At::Size { digits, size } => in_size(digits, size, byte),
            At::Extension { size } => {
                self.extensions += 1;
                match byte {
                    b'\r' => Ok(At::SizeEnd { size }),
                    _ if is_text(byte) && self.extensions <= MAX_EXTENSIONS => Ok(at),
                    _ => Err(Malformed::ChunkExtension),
                }
            }
            At::SizeEnd { size: 0 } => expect(byte, b'\n', At::TrailerStart, Malformed::ChunkSize),
            At::SizeEnd { size } => {
                expect(byte, b'\n', At::Data { left: size }, Malformed::ChunkSize)
            }
            At::DataCr => expect(byte, b'\r', At::DataLf, Malformed::ChunkEnd),
            At::DataLf => {
                let next = At::Size { digits: 0, size: 0 };
                expect(byte, b'\n', next, Malformed::ChunkEnd)
            }
            At::LastLf => expect(byte, b'\n', At::Done, Malformed::ChunkEnd),
            At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerEnd => {
                self.trailers += 1;
                match self.trailers {
                    0..=MAX_TRAILERS => self.in_trailer(at, byte),
                    _ => Err(Malformed::Trailer),
                }
            }
            // Both are dealt with before.
            At::Data { .. } | At::Done => Ok(at),
        }
    }

    fn in_trailer(&mut self, at: At, byte: u8) -> Result<At, Malformed> {
        match (at, byte) {
            (At::TrailerStart, b'\r') => Ok(At::LastLf),
            (At::TrailerStart, _) if is_token(byte) => {
                self.name = Name::default();
                self.name.push(byte);
                Ok(At::TrailerName)
            }
            (At::TrailerName, b':') if self.name.may_come_late() => Ok(At::TrailerValue),
            (At::TrailerName, _) if is_token(byte) => {
                self.name.push(byte);
                Ok(at)
            }
            (At::TrailerValue, b'\r') => Ok(At::TrailerEnd),
            (At::TrailerValue, _) if is_text(byte) => Ok(at),
            (At::TrailerEnd, b'\n') => Ok(At::TrailerStart),
            _ => Err(Malformed::Trailer),
        }
    }
}

fn in_size(digits: u8, size: u64, byte: u8) -> Result<At, Malformed> {
    match (char::from(byte).to_digit(16), byte) {
        (Some(digit), _) if digits < MAX_DIGITS => Ok(At::Size {
            digits: digits + 1,
            size: size << 4 | u64::from(digit),
        }),
        (None, b'\r') if digits > 0 => Ok(At::SizeEnd { size }),
        (None, b';') if digits > 0 => Ok(At::Extension { size }),
        _ => Err(Malformed::ChunkSize),
    }
}

fn expect(byte: u8, wanted: u8, next: At, otherwise: Malformed) -> Result<At, Malformed> {
    (byte == wanted).then_some(next).ok_or(otherwise)
}

/// What extensions and values of headers are made of.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
