//! Passing over an endpoint that fails while others do not. Pure: time is passed in.

use std::cell::Cell;

/// Failures in a row that eject an endpoint; a refused connection does at once.
const FAILURES: u32 = 5;
/// The first time, ms; each time in a row is twice as long as the one before.
const SHORTEST_MS: u64 = 1000;
/// Doublings.
const MOST_DOUBLINGS: u32 = 5;

/// What is held against an endpoint.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    failures: Cell<u32>,
    /// Ejections since the last success.
    times: Cell<u32>,
    until_ms: Cell<u64>,
}

impl Ejection {
    #[inline]
    pub(super) fn succeeded(&self) {
        if self.failures.get() > 0 || self.times.get() > 0 {
            self.failures.set(0);
            self.times.set(0);
        }
    }

    pub(super) fn failed(&self, now_ms: u64) {
        let failures = self.failures.get() + 1;
        self.failures.set(failures);
        if failures >= FAILURES {
            self.eject(now_ms);
        }
    }

    pub(super) fn refused(&self, now_ms: u64) {
        self.eject(now_ms);
    }

    /// Requests that were under way when it began are no reason for another one.
    fn eject(&self, now_ms: u64) {
        self.failures.set(0);
        if self.is_in_force(now_ms) {
            return;
        }
        let times = self.times.get();
        self.until_ms
            .set(now_ms + (SHORTEST_MS << times.min(MOST_DOUBLINGS)));
        self.times.set(times.saturating_add(1));
    }

    #[inline]
    pub(super) fn is_in_force(&self, now_ms: u64) -> bool {
        self.until_ms.get() > now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn several_failures_in_a_row_eject() {
        let ejection = Ejection::default();
        for _ in 0..FAILURES - 1 {
            ejection.failed(0);
        }
        ejection.succeeded();
        ejection.failed(0);
        assert!(!ejection.is_in_force(0));
        for _ in 0..FAILURES - 1 {
            ejection.failed(0);
        }
        assert!(ejection.is_in_force(999) && !ejection.is_in_force(1000));
    }

    #[test]
    fn each_time_is_longer_until_it_succeeds() {
        let ejection = Ejection::default();
        let mut now = 0;
        for seconds in [1, 2, 4, 8, 16, 32, 32] {
            ejection.refused(now);
            ejection.refused(now + 1);
            assert!(ejection.is_in_force(now + seconds * 1000 - 1), "{seconds}");
            now += seconds * 1000;
            assert!(!ejection.is_in_force(now), "{seconds}");
        }
        ejection.succeeded();
        ejection.refused(now);
        assert!(!ejection.is_in_force(now + 1000));
    }

    proptest! {
        #[test]
        fn no_time_is_longer_than_the_longest(events in prop::collection::vec((0u8..3, 0u64..5000), 0..200)) {
            let (ejection, mut now) = (Ejection::default(), 0);
            for (event, gap) in events {
                now += gap;
                match event {
                    0 => ejection.succeeded(),
                    1 => ejection.failed(now),
                    _ => ejection.refused(now),
                }
                prop_assert!(!ejection.is_in_force(now + 32_000));
            }
        }
    }
}
