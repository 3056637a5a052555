//! Which event is delivered next. The events of one lane go out one after another; lanes do not wait for each other.

use serinus_runtime::backoff::Backoff;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The first wait after a failure is up to this ...
const FIRST: Duration = Duration::from_secs(1);
/// ... and never longer than this.
const LONGEST: Duration = Duration::from_secs(300);
/// Nothing more is read from the log while so many events are not delivered.
pub(super) const ROOM: usize = 256;

/// An event that is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) revision: u64,
    /// When it happened, unix milliseconds.
    pub(super) time_ms: u64,
}

/// What is not delivered yet. Times are unix milliseconds.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<String, Lane>,
    outstanding: usize,
}

/// It is never empty.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Item>,
    busy: bool,
    due_ms: u64,
    backoff: Backoff,
}

impl Lane {
    fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            busy: false,
            due_ms: 0,
            backoff: Backoff::new(FIRST, LONGEST),
        }
    }
}

impl Lanes {
    /// Adds the newest event of a lane.
    pub(super) fn add(&mut self, lane: &str, item: Item) {
        let of = self.lanes.entry(lane.to_owned()).or_insert_with(Lane::new);
        of.waiting.push_back(item);
        self.outstanding += 1;
    }

    pub(super) fn has_room(&self) -> bool {
        self.outstanding < ROOM
    }

    pub(super) fn len(&self) -> usize {
        self.outstanding
    }

    /// Revisions, ascending.
    pub(super) fn outstanding(&self) -> Vec<u64> {
        let items = self.lanes.values().flat_map(|lane| &lane.waiting);
        let mut revisions: Vec<u64> = items.map(|item| item.revision).collect();
        revisions.sort_unstable();
        revisions
    }

    /// When the oldest one happened.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        let first = self.lanes.values().filter_map(|lane| lane.waiting.front());
        first.map(|item| item.time_ms).min()
    }

    /// The one that has been due for longest; its lane waits until it is [done](Self::done) or has
    /// [failed](Self::failed).
    pub(super) fn take(&mut self, now_ms: u64) -> Option<(String, Item)> {
        let idle = self.lanes.iter_mut();
        let due = idle.filter(|(_, lane)| !lane.busy && lane.due_ms <= now_ms);
        let (name, lane) = due.min_by_key(|(_, lane)| lane.due_ms)?;
        let item = *lane.waiting.front()?;
        lane.busy = true;
        Some((name.clone(), item))
    }

    /// When something is due, of what is not under way.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        let idle = self.lanes.values().filter(|lane| !lane.busy);
        idle.map(|lane| lane.due_ms).min()
    }

    /// The first of a lane is delivered, or given up.
    pub(super) fn done(&mut self, name: &str, now_ms: u64) {
        let Some(lane) = self.lanes.get_mut(name) else {
            return;
        };
        if lane.waiting.pop_front().is_some() {
            self.outstanding -= 1;
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(name);
            return;
        }
        lane.busy = false;
        lane.due_ms = now_ms;
        lane.backoff.reset();
    }

    /// It is tried again later, not before `at_least` has passed.
    pub(super) fn failed(&mut self, name: &str, now_ms: u64, at_least: Duration) {
        let Some(lane) = self.lanes.get_mut(name) else {
            return;
        };
        let wait = lane.backoff.next_delay().max(at_least.min(LONGEST));
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        lane.busy = false;
        lane.due_ms = now_ms.saturating_add(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(revision: u64) -> Item {
        Item {
            revision,
            time_ms: revision * 10,
        }
    }

    fn of(lanes: &[(&str, u64)]) -> Lanes {
        let mut all = Lanes::default();
        for (lane, revision) in lanes {
            all.add(lane, item(*revision));
        }
        all
    }

    #[test]
    fn a_lane_is_in_order_and_does_not_hold_others_up() {
        let mut lanes = of(&[("a", 1), ("b", 2), ("a", 3)]);
        assert_eq!(lanes.take(0), Some(("a".into(), item(1))));
        assert_eq!(lanes.take(0), Some(("b".into(), item(2))));
        assert_eq!(lanes.take(0), None, "each lane has one under way");
        lanes.failed("a", 1000, Duration::from_secs(7));
        lanes.done("b", 1000);
        assert_eq!(lanes.outstanding(), [1, 3]);
        assert_eq!(lanes.take(7999), None);
        let due = lanes.next_due_ms().unwrap();
        assert_eq!(due, 8000);
        assert_eq!(lanes.take(due), Some(("a".into(), item(1))), "again");
        lanes.done("a", due);
        assert_eq!(lanes.take(due), Some(("a".into(), item(3))));
        lanes.done("a", due);
        assert_eq!((lanes.len(), lanes.next_due_ms()), (0, None));
    }

    #[test]
    fn waits_grow_are_random_and_bounded_and_begin_anew_after_a_success() {
        let mut lanes = of(&[("a", 1), ("a", 2)]);
        let mut longest = 0;
        for failures in 0..40_u32 {
            lanes.take(u64::MAX).unwrap();
            lanes.failed("a", 0, Duration::ZERO);
            let ceiling = 1000_u64.saturating_mul(1 << failures.min(20)).min(300_000);
            let due = lanes.next_due_ms().unwrap();
            assert!(due <= ceiling, "{failures}: {due}");
            longest = longest.max(due);
        }
        // The chance that thirty of them are all shorter is below 1e-12.
        assert!(longest > 100_000, "{longest}");
        lanes.take(u64::MAX).unwrap();
        lanes.done("a", 5);
        lanes.take(5).unwrap();
        lanes.failed("a", 0, Duration::from_secs(100_000));
        assert_eq!(
            lanes.next_due_ms(),
            Some(300_000),
            "a receiver may not ask for more"
        );
    }

    #[test]
    fn what_is_read_ahead_is_bounded() {
        let mut lanes = Lanes::default();
        for revision in 1..=ROOM as u64 {
            assert!(lanes.has_room());
            lanes.add(&format!("lane-{}", revision % 7), item(revision));
        }
        assert!(!lanes.has_room());
        assert_eq!(lanes.oldest_ms(), Some(10));
        let (lane, _) = lanes.take(0).unwrap();
        lanes.done(&lane, 0);
        assert!(lanes.has_room());
    }
}
