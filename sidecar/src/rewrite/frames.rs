//! The same fields are appended to each message of a gRPC stream, in any pieces: of a protobuf field that is there
//! several times the last one counts. A message's new length is known as soon as its old one is, so nothing is kept but
//! the place in it.

use super::fields::Fields;
use super::splice::Sink;
use bytes::Bytes;
use thiserror::Error;

/// Compressed flag and length.
const PREFIX: usize = 5;
/// Tag of field 1 of wire type 2: `error_message` of Triton's answers.
const ERROR: u8 = 0x0a;

/// Why a message cannot be changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum FrameError {
    /// Nothing can be appended to it.
    #[error("the message is compressed")]
    Compressed,
    /// It would not fit the four bytes of its length.
    #[error("the message is too long")]
    TooLong,
}

/// What happens to messages to which nothing can be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// They are refused: the model would answer for another version.
    Refuse,
    /// They stay as they are.
    Keep {
        /// So do those that begin with field 1, and empty ones: they are errors, which name no model.
        errors: bool,
    },
}

/// Appends fields to each message.
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    fields: Bytes,
    otherwise: Otherwise,
    prefix: [u8; PREFIX],
    have: usize,
    /// Bytes of the message that are still to come.
    left: u32,
    appends: bool,
    /// What the first message says, where that is asked for.
    names: Option<Fields>,
    first: bool,
}

impl Frames {
    pub(super) fn new(fields: Bytes, otherwise: Otherwise) -> Self {
        Self {
            fields,
            otherwise,
            prefix: [0; PREFIX],
            have: 0,
            left: 0,
            appends: false,
            names: None,
            first: true,
        }
    }

    /// Reads fields 1 and 2 of the first message.
    pub(super) fn reading_names(mut self) -> Self {
        self.names = Some(Fields::default());
        self
    }

    /// Fields 1 and 2 of the first message, once it has come as a whole.
    pub(super) fn names(&self) -> Option<[Option<&[u8]>; 2]> {
        let names = self.names.as_ref()?;
        (!self.first).then(|| names.texts())
    }

    pub(super) fn feed(&mut self, data: &[u8], out: &mut impl Sink) -> Result<(), FrameError> {
        let mut at = 0;
        while at < data.len() {
            if self.have < PREFIX {
                self.prefix[self.have] = data[at];
                self.have += 1;
                at += 1;
            }
            if self.have == PREFIX && !self.begin(data.get(at), out)? {
                return Ok(());
            }
            if self.have > PREFIX {
                at = self.message(data, at, out);
            }
        }
        Ok(())
    }

    /// Whether pieces of a prefix are held back.
    pub(super) fn holds(&self) -> bool {
        (1..=PREFIX).contains(&self.have)
    }

    /// What was held back at the end of the stream: pieces of a frame that has not come.
    pub(super) fn finish(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.have);
        match held > PREFIX {
            true => Bytes::new(),
            false => Bytes::copy_from_slice(&self.prefix[..held]),
        }
    }

    /// The prefix is complete: writes it, unless the message's first byte is needed for that and is not there.
    fn begin(&mut self, next: Option<&u8>, out: &mut impl Sink) -> Result<bool, FrameError> {
        let [compressed, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length);
        let error = match (self.otherwise, next) {
            (Otherwise::Keep { errors: true }, None) if length > 0 => return Ok(false),
            (Otherwise::Keep { errors: true }, next) => length == 0 || next == Some(&ERROR),
            _ => false,
        };
        let added = u32::try_from(self.fields.len()).ok();
        let longer = added.and_then(|added| length.checked_add(added));
        let longer = match (compressed, longer, self.otherwise) {
            (0, Some(longer), _) if !error => Some(longer),
            (_, _, Otherwise::Keep { .. }) => None,
            (0, ..) => return Err(FrameError::TooLong),
            _ => return Err(FrameError::Compressed),
        };
        out.add(&[compressed]);
        out.add(&longer.unwrap_or(length).to_be_bytes());
        self.appends = longer.is_some();
        self.left = length;
        self.have = PREFIX + 1;
        Ok(true)
    }

    /// As much of the message as there is, and the fields after its last byte.
    fn message(&mut self, data: &[u8], at: usize, out: &mut impl Sink) -> usize {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let end = at + left.min(data.len() - at);
        out.keep(at..end);
        if let (true, Some(names)) = (self.first, &mut self.names) {
            names.feed(&data[at..end]);
        }
        // No more than what was left.
        self.left -= (end - at) as u32;
        if self.left == 0 {
            if self.appends {
                out.add(&self.fields);
            }
            self.have = 0;
            self.first = false;
        }
        end
    }
}

#[cfg(test)]
mod tests;
