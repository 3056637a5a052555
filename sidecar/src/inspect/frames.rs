//! Splits a stream of gRPC messages, and looks for the error that Triton puts into them while the status stays OK.

use super::Findings;
use crate::rewrite::StreamForm;
use serinus_common::class::Class;

/// Compressed flag and length.
const HEAD: usize = 5;

#[derive(Clone, Debug)]
pub(super) struct Frames {
    form: StreamForm,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the message that are still to come.
    left: u32,
    fields: Option<Fields>,
    messages: u64,
    failed: bool,
    /// Some message was compressed.
    unread: bool,
}

impl Frames {
    pub(super) fn new(form: StreamForm) -> Self {
        Self {
            form,
            head: [0; HEAD],
            have: 0,
            left: 0,
            fields: None,
            messages: 0,
            failed: false,
            unread: false,
        }
    }

    /// Whether a message was completed that is no error.
    pub(super) fn feed(&mut self, mut data: &[u8]) -> bool {
        let before = self.messages;
        while !data.is_empty() {
            let used = if self.have < HEAD {
                self.head(data)
            } else {
                self.body(data)
            };
            data = data.get(used..).unwrap_or_default();
            if self.have == HEAD && self.left == 0 {
                self.end_message();
            }
        }
        self.messages > before
    }

    pub(super) fn finish(self) -> Findings {
        Findings {
            class: self.failed.then_some(Class::Model),
            stream: true,
            unread: self.unread,
            chunks: self.messages,
            ..Findings::default()
        }
    }

    fn head(&mut self, data: &[u8]) -> usize {
        let used = data.len().min(HEAD - self.have);
        self.head[self.have..self.have + used].copy_from_slice(&data[..used]);
        self.have += used;
        if self.have == HEAD {
            let [compressed, length @ ..] = self.head;
            self.left = u32::from_be_bytes(length);
            let wrapped = self.form == StreamForm::Wrapped;
            self.unread |= wrapped && compressed != 0;
            self.fields = (wrapped && compressed == 0).then(Fields::default);
        }
        used
    }

    fn body(&mut self, data: &[u8]) -> usize {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let used = data.len().min(left);
        if let Some(fields) = &mut self.fields {
            fields.feed(&data[..used]);
        }
        // At most `left`, which is a u32.
        self.left -= used as u32;
        used
    }

    fn end_message(&mut self) {
        self.have = 0;
        let error = self.fields.take().is_some_and(|fields| fields.error);
        self.failed |= error;
        self.messages += u64::from(!error);
    }
}

/// The fields of one message, of which only `error_message`, number 1, matters.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    at: At,
    /// What has come of a number, and its bits.
    number: u64,
    shift: u32,
    error: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Key,
    Varint,
    Length {
        field: u64,
    },
    Skip(u64),
    /// This is no message: nothing more is read of it.
    Lost,
}

impl Fields {
    fn feed(&mut self, mut data: &[u8]) {
        while let Some(&byte) = data.first() {
            let used = match self.at {
                At::Lost => return,
                At::Skip(n) => self.skip(n, data.len()),
                At::Key | At::Varint | At::Length { .. } => {
                    if let Some(number) = self.varint(byte) {
                        self.next(number);
                    }
                    1
                }
            };
            data = data.get(used..).unwrap_or_default();
        }
    }

    fn skip(&mut self, n: u64, available: usize) -> usize {
        let used = usize::try_from(n).unwrap_or(usize::MAX).min(available);
        let rest = n - used as u64;
        self.at = if rest == 0 { At::Key } else { At::Skip(rest) };
        used
    }

    fn varint(&mut self, byte: u8) -> Option<u64> {
        if self.shift > 63 {
            self.at = At::Lost;
            return None;
        }
        self.number |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte & 0x80 != 0 {
            return None;
        }
        self.shift = 0;
        Some(std::mem::take(&mut self.number))
    }

    fn next(&mut self, number: u64) {
        self.at = match self.at {
            At::Key => match number & 7 {
                0 => At::Varint,
                1 => At::Skip(8),
                2 => At::Length { field: number >> 3 },
                5 => At::Skip(4),
                _ => At::Lost,
            },
            At::Length { field } => {
                self.error |= field == 1 && number > 0;
                if number == 0 {
                    At::Key
                } else {
                    At::Skip(number)
                }
            }
            At::Varint | At::Skip(_) | At::Lost => At::Key,
        };
    }
}

#[cfg(test)]
mod tests;
