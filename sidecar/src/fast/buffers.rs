//! The buffers of one worker. A connection on which nothing happens holds none.

use std::cell::{Cell, RefCell};

/// One read takes at most this much. It is large, so that a large body takes few of them.
const SCRATCH: usize = 256 << 10;

/// A buffer that has grown larger is not worth keeping.
const LARGEST: usize = 64 << 10;
const FIRST: usize = 4 << 10;
const MOST: usize = 64;

/// Lent within one poll (the scratch) or for the time of a call.
#[derive(Default)]
pub(crate) struct Buffers {
    scratch: Cell<Vec<u8>>,
    free: RefCell<Vec<Vec<u8>>>,
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
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| Vec::with_capacity(FIRST))
    }

    #[inline]
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if (1..=LARGEST).contains(&buffer.capacity()) && free.len() < MOST {
            buffer.clear();
            free.push(buffer);
        }
    }
}
