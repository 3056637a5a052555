//! The buffers of one worker. A connection on which nothing happens holds none.

use std::cell::{Cell, RefCell};

/// One read takes at most this much. It is large, so that a large body takes few of them.
const SCRATCH: usize = 256 << 10;

/// Capacity of a buffer at first.
const FIRST: usize = 4 << 10;

/// Bytes that are kept for the next calls; what calls give back beyond that is freed.
const KEPT: usize = 2 << 20;

/// See the module.
#[derive(Default)]
pub(crate) struct Buffers {
    scratch: Cell<Vec<u8>>,
    free: RefCell<Free>,
}

#[derive(Default)]
struct Free {
    all: Vec<Vec<u8>>,
    bytes: usize,
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

    /// An empty buffer.
    #[inline]
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut free = self.free.borrow_mut();
        match free.all.pop() {
            Some(buffer) => {
                free.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(FIRST),
        }
    }

    #[inline]
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        let capacity = buffer.capacity();
        if capacity > 0 && free.bytes + capacity <= KEPT {
            buffer.clear();
            free.bytes += capacity;
            free.all.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_bounded() {
        let buffers = Buffers::default();
        let mut one = buffers.take();
        one.extend_from_slice(&[1; 100_000]);
        let (place, capacity) = (one.as_ptr(), one.capacity());
        buffers.give_back(one);
        let again = buffers.take();
        assert_eq!(
            (again.as_ptr(), again.capacity(), again.len()),
            (place, capacity, 0)
        );
        buffers.give_back(Vec::new());
        for _ in 0..100 {
            buffers.give_back(Vec::with_capacity(SCRATCH));
        }
        let free = buffers.free.borrow();
        assert_eq!((free.all.len(), free.bytes), (KEPT / SCRATCH, KEPT));
    }
}
