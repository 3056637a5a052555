//! How much traffic there is, for display and for telling silence from health.

use super::cells::Pair;
use serinus_proto::v1;
use std::collections::BTreeMap;

const WINDOW: u64 = 10;
/// What is not reported after this many seconds did not happen.
const REPORT_DELAY: u64 = 3;
/// Weight of a new second in the usual rate.
const FRESH: f64 = 0.05;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    requests: u64,
    canary: u64,
}

/// Per epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochTotals {
    /// Judged canary requests.
    pub canary: u64,
    /// Judged stable requests.
    pub stable: u64,
    /// Canary requests assigned.
    pub assigned: u64,
    /// Second of the first assignment to the canary.
    pub first_assigned: Option<u64>,
    /// Canary requests finished, cancelled ones too.
    pub finished: u64,
}

/// The traffic of one rollout.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    recent: BTreeMap<u64, Second>,
    totals: v1::Traffic,
    epochs: BTreeMap<u64, EpochTotals>,
    usual_rate: f64,
    rated_before: u64,
    /// Second of the last canary request, or of the start.
    last_canary: u64,
}

impl Activity {
    /// From stored totals.
    pub fn restore(&mut self, totals: &v1::Traffic) {
        self.totals = *totals;
    }

    /// Counts of an epoch that are already in slices; for a start from disk.
    pub fn restore_epoch(&mut self, epoch: u64, canary: u64, stable: u64) {
        let of = self.epochs.entry(epoch).or_default();
        of.canary += canary;
        of.stable += stable;
        of.finished += canary;
        of.assigned += canary;
    }

    /// Adds one cell.
    pub fn absorb(&mut self, epoch: u64, second: u64, pair: &Pair) {
        let (canary, stable) = (pair.canary.requests(), pair.stable.requests());
        let recent = self.recent.entry(second).or_default();
        recent.requests += canary + stable + pair.canary.diverted;
        recent.canary += canary;
        let of = self.epochs.entry(epoch).or_default();
        of.canary += canary;
        of.stable += stable;
        of.assigned += pair.canary.assigned;
        of.finished += pair.canary.classes.iter().sum::<u64>();
        if pair.canary.assigned > 0 {
            of.first_assigned = Some(of.first_assigned.map_or(second, |first| first.min(second)));
        }
        if canary + pair.canary.assigned > 0 {
            self.last_canary = self.last_canary.max(second);
        }
        let t = &mut self.totals;
        t.canary_requests += canary;
        t.stable_requests += stable;
        t.canary_errors += pair.canary.errors();
        t.stable_errors += pair.stable.errors();
        t.rescued += pair.canary.rescued;
        t.user_errors += pair.canary.user_errors + pair.stable.user_errors;
        t.overrides += pair.canary.overrides + pair.stable.overrides;
        t.unkeyed += pair.canary.unkeyed + pair.stable.unkeyed;
    }

    /// Forgets what is older than the window, and learns the usual rate from closed seconds.
    pub fn close(&mut self, closed_before: u64) {
        let from = self.rated_before.max(closed_before.saturating_sub(WINDOW));
        for (_, second) in self.recent.range(from..closed_before.max(from)) {
            let n = second.requests as f64;
            self.usual_rate = if self.usual_rate == 0.0 {
                n
            } else {
                self.usual_rate + FRESH * (n - self.usual_rate)
            };
        }
        self.rated_before = self.rated_before.max(closed_before);
        self.recent = self.recent.split_off(&closed_before.saturating_sub(WINDOW));
    }

    /// Totals and the rates of the last ten seconds.
    #[must_use]
    pub fn traffic(&self, exposed_users: u64) -> v1::Traffic {
        let closed = self.rated_before;
        let span = self.recent.range(..closed);
        let (mut requests, mut canary, mut first) = (0u64, 0u64, closed);
        for (&second, of) in span {
            requests += of.requests;
            canary += of.canary;
            first = first.min(second);
        }
        let seconds = (closed - first).max(1) as f64;
        v1::Traffic {
            requests_per_second: requests as f64 / seconds,
            canary_per_second: canary as f64 / seconds,
            exposed_users,
            ..self.totals
        }
    }

    /// Totals as they are stored.
    #[must_use]
    pub fn totals(&self) -> v1::Traffic {
        self.totals
    }

    /// Counts of every epoch from `first` on.
    #[must_use]
    pub fn since_epoch(&self, first: u64) -> EpochTotals {
        let mut sum = EpochTotals::default();
        for (_, of) in self.epochs.range(first..) {
            sum.canary += of.canary;
            sum.stable += of.stable;
            sum.assigned += of.assigned;
            sum.finished += of.finished;
            sum.first_assigned = match (sum.first_assigned, of.first_assigned) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        sum
    }

    /// How many canary requests should have come since the last one at the usual rate and the present share (0..=1),
    /// counted from `since_s` at the earliest.
    #[must_use]
    pub fn expected_canary(&self, share: f64, since_s: u64, now_s: u64) -> f64 {
        let silent = now_s.saturating_sub(self.last_canary.max(since_s) + REPORT_DELAY);
        share * self.usual_rate * silent as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_common::class::Class;

    fn pair(canary: u64, stable: u64) -> Pair {
        let mut pair = Pair::default();
        pair.canary.classes[Class::Ok as usize] = canary;
        pair.canary.assigned = canary;
        pair.stable.classes[Class::Ok as usize] = stable;
        pair
    }

    #[test]
    fn rates_are_of_the_last_ten_seconds() {
        let mut activity = Activity::default();
        for second in 100..130 {
            activity.absorb(1, second, &pair(10, 90));
        }
        activity.close(130);
        let traffic = activity.traffic(7);
        assert_eq!(
            (traffic.requests_per_second, traffic.canary_per_second),
            (100.0, 10.0)
        );
        assert_eq!(
            (
                traffic.canary_requests,
                traffic.stable_requests,
                traffic.exposed_users
            ),
            (300, 2700, 7)
        );
        assert_eq!(activity.since_epoch(1).canary, 300);
        assert_eq!(activity.since_epoch(2), EpochTotals::default());
    }

    #[test]
    fn silence_is_measured_against_the_usual_rate() {
        let mut activity = Activity::default();
        assert_eq!(
            activity.expected_canary(0.1, 0, 1_000),
            0.0,
            "nothing is expected of a model without traffic"
        );
        for second in 100..120 {
            activity.absorb(1, second, &pair(10, 90));
        }
        activity.close(120);
        assert_eq!(
            activity.expected_canary(0.1, 0, 122),
            0.0,
            "reports may be on their way"
        );
        assert!((activity.expected_canary(0.1, 0, 132) - 100.0).abs() < 1e-9);
        assert!((activity.expected_canary(0.1, 127, 132) - 20.0).abs() < 1e-9);
    }
}
