//! Where a message's body ends.

use super::chunks::Chunks;
use super::malformed::Malformed;

/// What is still to come of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Length(u64),
    Chunked(Chunks),
    /// Everything until the connection is closed.
    UntilClose,
}

/// How much of the bytes at hand belongs to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// To be passed on as they are.
    pub(crate) bytes: usize,
    /// Of these: the body's own, without the framing of chunks.
    pub(crate) payload: u64,
}

impl Body {
    pub(crate) fn none() -> Self {
        Self::Length(0)
    }

    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunks::default())
    }

    /// Whether the end was seen. The end of what lasts until the connection is closed never is.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Takes the body's part of `bytes`; `payload` is given the parts of the body's own.
    ///
    /// # Errors
    /// For chunks that are not sound.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        mut payload: impl FnMut(&[u8]),
    ) -> Result<Taken, Malformed> {
        match self {
            Self::Chunked(chunks) => chunks.take(bytes, payload),
            Self::UntilClose => {
                payload(bytes);
                Ok(whole(bytes.len()))
            }
            Self::Length(left) => {
                let length =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= length as u64;
                payload(&bytes[..length]);
                Ok(whole(length))
            }
        }
    }
}

fn whole(bytes: usize) -> Taken {
    Taken {
        bytes,
        payload: bytes as u64,
    }
}
