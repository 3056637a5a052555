//! When a second is over for the whole fleet.

use std::collections::BTreeMap;

/// Which second each source has finished, and from that which seconds are closed.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    connected: BTreeMap<u64, u64>,
    /// Second -> when the first source had finished it.
    first_past: BTreeMap<u64, u64>,
    closed_before: u64,
}

impl Progress {
    /// A source that is waited for from now on.
    pub fn connect(&mut self, source: u64) {
        self.connected.entry(source).or_insert(0);
    }

    /// A source that is not waited for any more.
    pub fn disconnect(&mut self, source: u64) {
        self.connected.remove(&source);
    }

    /// A source has finished every second before `finished_before`.
    pub fn report(&mut self, source: u64, finished_before: u64, now_ms: u64) {
        if let Some(mine) = self.connected.get_mut(&source) {
            *mine = finished_before.max(*mine);
        }
        // Sources whose clock is far ahead must not close seconds that nobody else has begun.
        let sane = finished_before.min(now_ms / 1000 + 2);
        if sane > self.closed_before {
            self.first_past.entry(sane).or_insert(now_ms);
        }
    }

    /// Every second before this one is closed: all connected sources have finished it, or one did `grace_ms` ago.
    /// Never goes back.
    pub fn closed_before(&mut self, now_ms: u64, grace_ms: u64) -> u64 {
        let all = self
            .connected
            .values()
            .min()
            .copied()
            .unwrap_or(0)
            .min(now_ms / 1000 + 2);
        let waited = self
            .first_past
            .iter()
            .rev()
            .find(|&(_, &first)| first + grace_ms <= now_ms)
            .map_or(0, |(&s, _)| s);
        self.closed_before = self.closed_before.max(all).max(waited);
        self.first_past = self.first_past.split_off(&(self.closed_before + 1));
        self.closed_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_closes_when_all_have_finished_it() {
        let mut progress = Progress::default();
        progress.connect(1);
        progress.connect(2);
        progress.report(1, 101, 101_050);
        assert_eq!(progress.closed_before(101_060, 1500), 0);
        progress.report(2, 101, 101_070);
        assert_eq!(progress.closed_before(101_070, 1500), 101);
    }

    #[test]
    fn a_silent_source_holds_a_second_only_so_long() {
        let mut progress = Progress::default();
        progress.connect(1);
        progress.connect(2);
        progress.report(1, 101, 101_050);
        assert_eq!(progress.closed_before(102_549, 1500), 0);
        assert_eq!(progress.closed_before(102_550, 1500), 101);
        progress.disconnect(2);
        progress.report(1, 103, 103_010);
        assert_eq!(progress.closed_before(103_010, 1500), 103);
    }

    #[test]
    fn a_clock_far_ahead_closes_nothing_early() {
        let mut progress = Progress::default();
        progress.connect(1);
        progress.report(1, 999_999, 100_000);
        assert!(progress.closed_before(100_000, 1500) <= 102);
    }
}
