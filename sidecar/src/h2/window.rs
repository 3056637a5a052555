//! Flow control (RFC 9113, section 5.2).

use super::frame::Code;

/// No window is larger.
const LARGEST: i64 = (1 << 31) - 1;

/// What may still be sent. It can be below 0, after the other side has made its windows smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sending(i64);

impl Sending {
    pub(super) fn new(window: u32) -> Self {
        Self(i64::from(window))
    }

    pub(super) fn left(self) -> usize {
        self.0.max(0) as usize
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.0 -= bytes as i64;
    }

    pub(super) fn give(&mut self, bytes: i64) -> Result<(), Code> {
        self.0 += bytes;
        match self.0 > LARGEST {
            true => Err(Code::FLOW_CONTROL),
            false => Ok(()),
        }
    }
}

/// What the other side may still send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiving {
    left: u32,
    whole: u32,
    /// Passed on, and not given back yet.
    owed: u32,
}

impl Receiving {
    pub(super) fn new(whole: u32) -> Self {
        Self {
            left: whole,
            whole,
            owed: 0,
        }
    }

    pub(super) fn take(&mut self, bytes: u32) -> Result<(), Code> {
        self.left = self.left.checked_sub(bytes).ok_or(Code::FLOW_CONTROL)?;
        Ok(())
    }

    /// Gives back what has been passed on; half a window at a time is told to the other side.
    pub(super) fn give(&mut self, bytes: u32) -> Option<u32> {
        self.owed += bytes;
        if self.owed < self.whole / 2 {
            return None;
        }
        self.left += self.owed;
        Some(std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_is_never_exceeded() {
        let mut sending = Sending::new(10);
        sending.take(10);
        sending.give(-5).unwrap();
        assert_eq!(sending.left(), 0);
        sending.give(6).unwrap();
        assert_eq!(sending.left(), 1);
        assert_eq!(sending.give(LARGEST), Err(Code::FLOW_CONTROL));
        let mut receiving = Receiving::new(10);
        assert_eq!(receiving.take(11), Err(Code::FLOW_CONTROL));
    }

    proptest! {
        /// Whoever passes on what has come never stops the other side for good, and never lets it send more than the whole.
        #[test]
        fn what_is_passed_on_comes_back(parts in prop::collection::vec(1u32..50, 1..100)) {
            let mut receiving = Receiving::new(100);
            let mut sender = 100u32;
            for part in parts {
                let part = part.min(sender);
                sender -= part;
                receiving.take(part).unwrap();
                sender += receiving.give(part).unwrap_or(0);
                prop_assert!(sender > 50 - 1 && sender <= 100);
                prop_assert_eq!(sender, receiving.left);
            }
        }
    }
}
