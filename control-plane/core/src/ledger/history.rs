//! Stable's traffic second by second, with or without a rollout: what a new rollout begins with knowing.
//!
//! It lives in memory only. What is known when a rollout is created is frozen and stored with it, so that its engine
//! is the same after a restart and in a replay.

use super::counts::{Counts, sketch_from_wire, sketch_to_wire};
use serinus_common::sketch::Sketch;
use serinus_evidence::{Arm, Counts as Events, Settings};
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;

/// So many seconds are kept.
pub const SECONDS: u64 = 1200;
/// The newest of them, whose sum is the baseline.
const BASELINE: usize = 60;
/// Seconds whose latencies are kept together.
const BLOCK: u64 = 10;
/// A rate of traffic is known after so many seconds of it.
const RATED: u64 = 10;
/// Reports of seconds that ended so lately may be on their way.
const UNSETTLED: u64 = 1;
/// The engine takes no count from here on for true.
const IMPLAUSIBLE: u64 = u32::MAX as u64;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    requests: u64,
    errors: u64,
    /// Of the other variants.
    others: u64,
}

impl Second {
    fn all(&self) -> u64 {
        self.requests.saturating_add(self.others)
    }
}

/// The last 1200 seconds of one model's stable variant, summed over sidecars.
#[derive(Clone, Debug, Default)]
pub struct History {
    seconds: BTreeMap<u64, Second>,
    /// Of the newest only, by ten seconds: sketches are what takes room.
    latencies: BTreeMap<u64, Sketch>,
}

impl History {
    /// Adds what stable answered in a unix second, as heard at `now_s`, and how many requests other variants answered.
    pub fn absorb(&mut self, second: u64, now_s: u64, stable: &Counts, others: u64) {
        let second = second.min(now_s);
        let oldest = now_s.saturating_sub(SECONDS + UNSETTLED);
        self.seconds = self.seconds.split_off(&oldest);
        let untimed = now_s.saturating_sub(BASELINE as u64 + UNSETTLED) / BLOCK;
        self.latencies = self.latencies.split_off(&untimed);
        if second < oldest {
            return;
        }
        let sum = self.seconds.entry(second).or_default();
        sum.requests = sum.requests.saturating_add(stable.requests());
        sum.errors = sum.errors.saturating_add(stable.errors());
        sum.others = sum.others.saturating_add(others);
        if second / BLOCK >= untimed {
            let latency = self.latencies.entry(second / BLOCK).or_default();
            latency.merge(&stable.latency);
        }
    }

    /// Whether everything in it is too old to be of use.
    #[must_use]
    pub fn is_over(&self, now_s: u64) -> bool {
        let newest = self.seconds.last_key_value();
        newest.is_none_or(|(&newest, _)| newest + SECONDS < now_s)
    }

    /// What is known at `now_s`: seconds without a report had no requests, and there are none before the first request.
    /// `None` if nothing is known.
    #[must_use]
    pub fn freeze(&self, now_s: u64) -> Option<stored::StableHistory> {
        let (first, seconds) = self.settled(now_s);
        let end = first + seconds.len() as u64;
        let from = first.max(end.saturating_sub(BASELINE as u64));
        let mut latency = Sketch::default();
        for (_, of_block) in self.latencies.range(from / BLOCK..) {
            latency.merge(of_block);
        }
        let frozen = stored::StableHistory {
            requests: seconds.iter().map(|second| second.requests).collect(),
            errors: seconds.iter().map(|second| second.errors).collect(),
            latency: Some(sketch_to_wire(&latency)),
        };
        is_plausible(&frozen).then_some(frozen)
    }

    /// Another variant is stable from now on: of it nothing is known, but the traffic is what it was.
    pub fn begin_anew(&mut self) {
        for second in self.seconds.values_mut() {
            second.others = second.all();
            (second.requests, second.errors) = (0, 0);
        }
        self.latencies.clear();
    }

    /// Requests per second of all variants, over the last minute; `None` if that is not known yet.
    #[must_use]
    pub fn rate(&self, now_s: u64) -> Option<f64> {
        let end = now_s.saturating_sub(UNSETTLED);
        let known = self.seconds.range(end.saturating_sub(SECONDS)..end);
        let mut known = known.filter(|(_, second)| second.all() > 0);
        let first = *known.next()?.0;
        let from = first.max(end.saturating_sub(BASELINE as u64));
        let last = self.seconds.range(from..end).map(|(_, second)| second);
        let sum = last.fold(0u64, |sum, second| sum.saturating_add(second.all()));
        let seconds = end - from;
        (seconds >= RATED && sum > 0).then(|| sum as f64 / seconds as f64)
    }

    /// From the first second with a request, which is returned too, to the last one of which every report should be
    /// here.
    fn settled(&self, now_s: u64) -> (u64, Vec<Second>) {
        let end = now_s.saturating_sub(UNSETTLED);
        let oldest = end.saturating_sub(SECONDS);
        let mut known = self.seconds.range(oldest..end);
        let first = known.find(|(_, second)| second.requests > 0);
        let first = first.map_or(end, |(&first, _)| first);
        let at = |second| self.seconds.get(&second).copied().unwrap_or_default();
        (first, (first..end).map(at).collect())
    }
}

fn last_minute<T>(seconds: &[T]) -> &[T] {
    &seconds[seconds.len().saturating_sub(BASELINE)..]
}

/// Something is known, and nothing that the engine would refuse.
fn is_plausible(frozen: &stored::StableHistory) -> bool {
    let sum = |counts: &[u64]| counts.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    let timed = frozen.latency.as_ref().map_or(0, |of| sum(&of.counts));
    let mut pairs = frozen.requests.iter().zip(&frozen.errors);
    let right = pairs.all(|(requests, errors)| errors <= requests);
    // A sum over a minute that is right is right for each second; older seconds must be so by themselves.
    let small = sum(last_minute(&frozen.requests)) < IMPLAUSIBLE && timed < IMPLAUSIBLE;
    let each = frozen
        .requests
        .iter()
        .all(|&requests| requests < IMPLAUSIBLE);
    !frozen.requests.is_empty() && right && small && each
}

/// The engine's settings for a rollout that began with this knowledge of stable.
#[must_use]
pub fn begin_with(settings: Settings, known: Option<&stored::StableHistory>) -> Settings {
    let Some(known) = known else { return settings };
    let seconds = known.requests.iter().zip(&known.errors);
    let stable_history: Vec<Events> = seconds.map(|(&n, &x)| Events { x, n }).collect();
    let last = last_minute(&stable_history).iter();
    let (requests, errors) = last.fold((0, 0), |(n, x), second| (n + second.n, x + second.x));
    let latency = sketch_from_wire(known.latency.as_ref()).unwrap_or_default();
    let baseline = Arm {
        requests,
        errors,
        latency: latency.iter().collect(),
    };
    Settings {
        baseline: (requests > 0).then_some(baseline),
        stable_history,
        ..settings
    }
}

#[cfg(test)]
mod tests;
