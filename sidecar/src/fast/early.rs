//! Bytes that the client has sent and nobody has used yet: a part of a head, or requests that wait for their turn.

use super::buffers::Buffers;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Early {
    bytes: Vec<u8>,
    from: usize,
}

impl Early {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8], buffers: &Buffers) {
        if bytes.is_empty() {
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.take(bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn consume(&mut self, bytes: usize, buffers: &Buffers) {
        self.from += bytes;
        if self.from >= self.bytes.len() {
            self.from = 0;
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
    }

    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.bytes.drain(..self.from);
        self.bytes
    }
}
