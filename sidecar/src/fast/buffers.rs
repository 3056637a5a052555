//! The buffers of one worker. A connection on which nothing happens holds none.

use std::cell::{Cell, RefCell};

/// One read takes at most this much. It is large, so that a large body takes few of them.
const SCRATCH: usize = 256 << 10;

/// Capacity of a buffer at first.
const FIRST: usize = 4 << 10;

/// Longer messages get buffers of their own, of at least [`LONG`]. Were those given to short ones too, every buffer would
/// grow in time, and the few that are large would not stay in the processor's cache.
const SHORT: usize = 16 << 10;
const LONG: usize = 64 << 10;

/// So much is set aside for a message whose bytes have not come yet.
const AHEAD: usize = 256 << 10;

/// Bytes of either kind that are kept for the next calls; what calls give back beyond that is freed.
const KEPT: usize = 2 << 20;

/// See the module.
#[derive(Default)]
pub(crate) struct Buffers {
    scratch: Cell<Vec<u8>>,
    free: RefCell<Free>,
}

#[derive(Default)]
struct Free {
    short: Pile,
    long: Pile,
}

#[derive(Default)]
struct Pile {
    all: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pile {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.all.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn put(&mut self, buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity > 0 && self.bytes + capacity <= KEPT {
            self.bytes += capacity;
            self.all.push(buffer);
        }
    }
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

impl Buffers {
    /// Does something with the buffer that all connections read into. It is for one poll: nothing stays in it.
    #[inline]
    pub(crate) fn with_scratch<T>(&self, what: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut scratch = self.scratch.take();
        if scratch.is_empty() {
            scratch = vec![0; SCRATCH];
        }
        let result = what(&mut scratch);
        self.scratch.set(scratch);
        result
    }

    /// An empty buffer for a message of about this many bytes.
    #[inline]
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        let free = &mut *self.free.borrow_mut();
        let (pile, fresh) = match length > SHORT {
            true => (&mut free.long, LONG.max(length.min(AHEAD) + FIRST)),
            false => (&mut free.short, length + FIRST),
        };
        pile.take().unwrap_or_else(|| Vec::with_capacity(fresh))
    }

    #[inline]
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let free = &mut *self.free.borrow_mut();
        match buffer.capacity() >= LONG {
            true => free.long.put(buffer),
            false => free.short.put(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_bounded() {
        let buffers = Buffers::default();
        let mut one = buffers.take(0);
        one.extend_from_slice(&[1; 100_000]);
        let (place, capacity) = (one.as_ptr(), one.capacity());
        buffers.give_back(one);
        assert_eq!(buffers.take(100).capacity(), 100 + FIRST);
        let again = buffers.take(50_000);
        assert_eq!(
            (again.as_ptr(), again.capacity(), again.len()),
            (place, capacity, 0)
        );
        buffers.give_back(Vec::new());
        for _ in 0..100 {
            buffers.give_back(Vec::with_capacity(SCRATCH));
        }
        let free = buffers.free.borrow();
        assert_eq!(free.long.all.len(), KEPT / SCRATCH);
        assert_eq!((free.long.bytes, free.short.bytes), (KEPT, 0));
    }
}
