//! Unix time from a monotonic clock.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How far it may go back within one correction, ms: it still advances by at least 0.9 s a second.
const SLOWEST_MS: u64 = 100;

/// Unix milliseconds that never go back. It follows the wall clock forward at once and backward by slowing down, so that
/// no cell is opened twice; between corrections a reading costs no call of the system.
#[derive(Debug)]
pub(crate) struct Timeline {
    origin: Cell<Instant>,
    origin_ms: Cell<u64>,
}

impl Timeline {
    pub(crate) fn new(now: Instant, wall_ms: u64) -> Self {
        Self {
            origin: Cell::new(now),
            origin_ms: Cell::new(wall_ms),
        }
    }

    #[inline]
    pub(crate) fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin.get());
        self.origin_ms.get() + since.as_millis() as u64
    }

    /// Corrects it by the wall clock; once a second.
    pub(crate) fn align(&self, now: Instant, wall_ms: u64) {
        let since = now.saturating_duration_since(self.origin.get());
        if since < Duration::from_millis(2 * SLOWEST_MS) {
            return;
        }
        let before = self.ms(now);
        self.origin_ms
            .set(wall_ms.max(before - SLOWEST_MS.min(before)));
        self.origin.set(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_follows_the_wall_clock() {
        let t0 = Instant::now();
        let line = Timeline::new(t0, 1_000_000);
        assert_eq!(line.ms(t0 + Duration::from_millis(1500)), 1_001_500);
        let t1 = t0 + Duration::from_secs(2);
        line.align(t1, 1_009_000);
        assert_eq!(line.ms(t1), 1_009_000);
        let t2 = t1 + Duration::from_secs(1);
        line.align(t2, 1_000_000);
        assert_eq!(line.ms(t2), 1_009_900);
    }

    proptest! {
        #[test]
        fn seconds_never_go_back(steps in prop::collection::vec((1u64..3000, -5000i64..5000), 1..50)) {
            let mut now = Instant::now();
            let mut wall = 1_700_000_000_000u64;
            let line = Timeline::new(now, wall);
            let mut last = line.ms(now);
            for (step, jump) in steps {
                now += Duration::from_millis(step);
                wall = (wall + step).saturating_add_signed(jump);
                let before = line.ms(now);
                prop_assert!(before >= last);
                line.align(now, wall);
                // A correction never undoes more than it slows down by.
                prop_assert!(line.ms(now) + SLOWEST_MS >= before);
                last = line.ms(now);
            }
        }
    }
}
