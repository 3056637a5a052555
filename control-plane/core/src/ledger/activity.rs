//! How much traffic there is, for display and for telling silence from health. Silence is told by this machine's own
//! clock: a sidecar whose clock is wrong is not silent.

use super::cells::Pair;
use super::counts::Counts;
use serinus_proto::{stored::v1 as stored, v1};
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

/// What became of the requests of one variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VariantTotals {
    /// Finished and judged.
    pub judged: u64,
    /// Assigned.
    pub assigned: u64,
    /// Finished, cancelled ones too.
    pub finished: u64,
}

/// Per epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochTotals {
    /// The variant under test.
    pub canary: VariantTotals,
    /// The one that serves today.
    pub stable: VariantTotals,
    /// Second in which the first assignment to the canary was heard of.
    pub canary_assigned_since: Option<u64>,
}

/// The traffic of one rollout.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    recent: BTreeMap<u64, Second>,
    totals: v1::Traffic,
    epochs: BTreeMap<u64, EpochTotals>,
    usual_rate: f64,
    rated_before: u64,
    /// The present epoch.
    current: u64,
    /// Second in which any request of it was heard of last.
    heard: u64,
    /// Requests of it since the last one of the canary.
    since_canary: u64,
    /// Silence before this second is not the traffic's: nobody listened.
    listening_since: u64,
}

impl Activity {
    /// Takes back what [`Activity::to_stored`] gave. Nobody has listened since.
    pub fn restore(&mut self, totals: &stored::Totals) {
        self.totals = totals.traffic.unwrap_or_default();
        self.usual_rate = totals.usual_rate;
        self.heard = totals.heard;
        self.since_canary = totals.since_canary;
        let epochs = totals.epochs.iter();
        self.epochs = epochs.map(|of| (of.epoch, from_stored(of))).collect();
    }

    /// For the disk.
    #[must_use]
    pub fn to_stored(&self) -> stored::Totals {
        stored::Totals {
            traffic: Some(self.totals),
            epochs: self
                .epochs
                .iter()
                .map(|(&e, of)| to_stored(e, of))
                .collect(),
            usual_rate: self.usual_rate,
            heard: self.heard,
            since_canary: self.since_canary,
            ..stored::Totals::default()
        }
    }

    /// Listening begins, or begins again after a restart.
    pub fn listen(&mut self, now_s: u64) {
        self.listening_since = now_s;
    }

    /// Adds one cell that arrived at `now_s`.
    pub fn absorb(&mut self, epoch: u64, second: u64, now_s: u64, pair: &Pair) {
        let (canary, stable) = (pair.canary.requests(), pair.stable.requests());
        let recent = self.recent.entry(second).or_default();
        recent.requests += canary + stable + pair.canary.diverted;
        recent.canary += canary;
        let of = self.epochs.entry(epoch).or_default();
        of.canary.add(&pair.canary);
        of.stable.add(&pair.stable);
        if pair.canary.assigned > 0 {
            of.canary_assigned_since.get_or_insert(now_s);
        }
        if epoch == self.current {
            self.hear(
                now_s,
                canary + pair.canary.assigned,
                stable + pair.canary.diverted,
            );
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
        let (canary, stable) = (&pair.canary.contents, &pair.stable.contents);
        for (total, more) in [
            (&mut t.stable_streams, stable.streams),
            (&mut t.canary_streams, canary.streams),
            (&mut t.stable_failed_streams, stable.failed_streams),
            (&mut t.canary_failed_streams, canary.failed_streams),
            (&mut t.stable_output_tokens, stable.output_tokens),
            (&mut t.canary_output_tokens, canary.output_tokens),
        ] {
            *total = total.saturating_add(more);
        }
    }

    fn hear(&mut self, now_s: u64, canary: u64, others: u64) {
        self.since_canary = if canary > 0 {
            0
        } else {
            self.since_canary + others
        };
        if canary + others > 0 {
            self.heard = self.heard.max(now_s);
        }
    }

    /// Forgets what is older than the window, and learns the usual rate from closed seconds. Says whether it did.
    pub fn close(&mut self, closed_before: u64) -> bool {
        let from = self.rated_before.max(closed_before.saturating_sub(WINDOW));
        let usual = self.usual_rate;
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
        self.usual_rate.to_bits() != usual.to_bits()
    }

    /// An epoch began, or a step. The step that began with the epoch `first` is the only one that is asked about from
    /// now on: earlier epochs are forgotten, and those between it and `current` are one.
    pub fn begin(&mut self, first: u64, current: u64) {
        if current != self.current {
            self.current = current;
            self.since_canary = 0;
        }
        self.epochs = self.epochs.split_off(&first);
        let later = self.epochs.split_off(&current.max(first));
        let between = self.since_epoch(first);
        self.epochs = later;
        if between != EpochTotals::default() {
            self.epochs.entry(first).or_default().merge(&between);
        }
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

    /// Totals alone.
    #[must_use]
    pub fn totals(&self) -> v1::Traffic {
        self.totals
    }

    /// Counts of every epoch from `first` on.
    #[must_use]
    pub fn since_epoch(&self, first: u64) -> EpochTotals {
        let mut sum = EpochTotals::default();
        for (_, of) in self.epochs.range(first..) {
            sum.merge(of);
        }
        sum
    }

    /// How many canary requests should have come since the last one at the present share (0..=1): of the requests that
    /// came, and at the usual rate of those that did not, counted from `since_s` at the earliest. While a rollout is
    /// `held` for silence, also the time counts in which nobody listened: a restart alone is no sign of life.
    #[must_use]
    pub fn expected_canary(&self, share: f64, since_s: u64, now_s: u64, held: bool) -> f64 {
        let mut from = self.heard.max(since_s);
        if !held {
            from = from.max(self.listening_since);
        }
        let silence = now_s.saturating_sub(from + REPORT_DELAY) as f64;
        share * (self.since_canary as f64 + self.usual_rate * silence)
    }
}

impl VariantTotals {
    fn add(&mut self, counts: &Counts) {
        self.judged += counts.requests();
        self.assigned += counts.assigned;
        self.finished += counts.classes.iter().sum::<u64>();
    }

    fn merge(&mut self, other: &Self) {
        self.judged += other.judged;
        self.assigned += other.assigned;
        self.finished += other.finished;
    }
}

impl EpochTotals {
    fn merge(&mut self, other: &Self) {
        self.canary.merge(&other.canary);
        self.stable.merge(&other.stable);
        self.canary_assigned_since = match (self.canary_assigned_since, other.canary_assigned_since)
        {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

fn to_stored(epoch: u64, of: &EpochTotals) -> stored::EpochTotals {
    let variant = |of: &VariantTotals| stored::VariantTotals {
        judged: of.judged,
        assigned: of.assigned,
        finished: of.finished,
    };
    stored::EpochTotals {
        epoch,
        canary: Some(variant(&of.canary)),
        stable: Some(variant(&of.stable)),
        canary_assigned_since: of.canary_assigned_since.unwrap_or(0),
    }
}

fn from_stored(stored: &stored::EpochTotals) -> EpochTotals {
    let variant = |of: Option<stored::VariantTotals>| {
        let of = of.unwrap_or_default();
        VariantTotals {
            judged: of.judged,
            assigned: of.assigned,
            finished: of.finished,
        }
    };
    EpochTotals {
        canary: variant(stored.canary),
        stable: variant(stored.stable),
        canary_assigned_since: Some(stored.canary_assigned_since).filter(|&since| since > 0),
    }
}

#[cfg(test)]
mod tests;
