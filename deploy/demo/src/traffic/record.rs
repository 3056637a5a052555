//! Counting what users see.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use super::stats::{Move, Stats, TargetStats, UNKNOWN_VARIANT, VariantStats};

/// A request that ended, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Number of the user, if requests have keys.
    pub user: Option<u32>,
    /// Index of the target.
    pub target: usize,
    /// Who answered; [`UNKNOWN_VARIANT`] if the answer does not say or there is none.
    pub variant: &'a str,
    /// Who had answered this user at this target before this request was sent.
    pub previous: Option<&'a str>,
    /// The status; `None` if there was no answer.
    pub status: Option<u16>,
    /// When the request was sent.
    pub sent: Instant,
    /// When the last byte of the answer had come, or hope was given up.
    pub ended: Instant,
}

/// Called for each request that ended. It runs on the generator's thread: it must be quick, must not
/// wait, and must not panic (nobody would notice: tell the test through shared state).
pub type Observer = Box<dyn FnMut(&Seen<'_>) + Send>;

/// A request that ended.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) user: Option<u32>,
    pub(super) target: usize,
    pub(super) sent: Instant,
    pub(super) ended: Instant,
    pub(super) result: Result<Answered<'a>, String>,
}

/// What a user cares about in an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered<'a> {
    pub(super) status: u16,
    pub(super) variant: Option<&'a str>,
    /// Whether the answer was right, where the truth is known.
    pub(super) right: Option<bool>,
}

/// The counts of a load.
pub(super) struct Recorder {
    variants: Vec<Tally>,
    targets: Vec<TargetStats>,
    statuses: BTreeMap<u16, u64>,
    ended: u64,
    errors: u64,
    transport_errors: u64,
    last_transport_error: Option<String>,
    /// By user and target.
    last: HashMap<(u32, usize), Last>,
    /// By indices of variants: from, to.
    moves: BTreeMap<(usize, usize), u64>,
    observer: Option<Observer>,
}

struct Tally {
    name: String,
    requests: u64,
    errors: u64,
    judged: u64,
    right: u64,
    users: HashSet<u32>,
    latency: Histogram,
}

/// The latest request of a user at a target that some variant answered.
#[derive(Clone, Copy)]
struct Last {
    variant: usize,
    sent: Instant,
    ended: Instant,
}

impl Recorder {
    pub(super) fn new(targets: usize, observer: Option<Observer>) -> Self {
        Self {
            variants: Vec::new(),
            targets: vec![TargetStats::default(); targets],
            statuses: BTreeMap::new(),
            ended: 0,
            errors: 0,
            transport_errors: 0,
            last_transport_error: None,
            last: HashMap::new(),
            moves: BTreeMap::new(),
            observer,
        }
    }

    pub(super) fn record(&mut self, ended: &Ended<'_>) {
        let answer = ended.result.as_ref().ok();
        let status = answer.map(|a| a.status);
        let error = status.is_none_or(|status| status >= 400);
        self.count(ended, error);

        let named = answer.and_then(|a| a.variant);
        let variant = self.variant(named.unwrap_or(UNKNOWN_VARIANT));
        self.variants[variant].count(ended, error);
        let previous = match (ended.user, named) {
            (Some(user), Some(_)) => self.follow((user, ended.target), variant, ended),
            _ => None,
        };
        if let Some(from) = previous.filter(|previous| *previous != variant) {
            *self.moves.entry((from, variant)).or_default() += 1;
        }
        if let Some(observer) = &mut self.observer {
            observer(&Seen {
                user: ended.user,
                target: ended.target,
                variant: &self.variants[variant].name,
                previous: previous.map(|previous| self.variants[previous].name.as_str()),
                status,
                sent: ended.sent,
                ended: ended.ended,
            });
        }
    }

    fn count(&mut self, ended: &Ended<'_>, error: bool) {
        self.ended += 1;
        self.errors += u64::from(error);
        let target = &mut self.targets[ended.target];
        target.requests += 1;
        target.errors += u64::from(error);
        match &ended.result {
            Ok(answer) => *self.statuses.entry(answer.status).or_default() += 1,
            Err(why) => {
                self.transport_errors += 1;
                self.last_transport_error = Some(why.clone());
            }
        }
    }

    /// A load sees a handful of variants: a search is cheaper than a map.
    fn variant(&mut self, name: &str) -> usize {
        let known = self.variants.iter().position(|tally| tally.name == name);
        known.unwrap_or_else(|| {
            self.variants.push(Tally::new(name));
            self.variants.len() - 1
        })
    }

    /// Remembers who answered and tells who did before, if this request was sent after that one had ended.
    fn follow(&mut self, key: (u32, usize), variant: usize, now: &Ended<'_>) -> Option<usize> {
        let latest = Last {
            variant,
            sent: now.sent,
            ended: now.ended,
        };
        match self.last.entry(key) {
            Entry::Vacant(first) => {
                first.insert(latest);
                None
            }
            Entry::Occupied(mut last) => {
                let before = *last.get();
                if now.sent >= before.sent {
                    last.insert(latest);
                }
                (now.sent >= before.ended).then_some(before.variant)
            }
        }
    }

    /// The counts; those that are kept elsewhere are left at their defaults.
    pub(super) fn stats(&self) -> Stats {
        let name = |index: usize| self.variants[index].name.clone();
        let moved = |(&(from, to), &count): (&(usize, usize), &u64)| Move {
            from: name(from),
            to: name(to),
            count,
        };
        Stats {
            ended: self.ended,
            errors: self.errors,
            transport_errors: self.transport_errors,
            last_transport_error: self.last_transport_error.clone(),
            statuses: self.statuses.clone(),
            variants: self
                .variants
                .iter()
                .map(|tally| (tally.name.clone(), tally.stats()))
                .collect(),
            targets: self.targets.clone(),
            moves: self.moves.iter().map(moved).collect(),
            ..Stats::default()
        }
    }
}

impl Tally {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            requests: 0,
            errors: 0,
            judged: 0,
            right: 0,
            users: HashSet::new(),
            latency: Histogram::default(),
        }
    }

    fn count(&mut self, ended: &Ended<'_>, error: bool) {
        self.requests += 1;
        self.errors += u64::from(error);
        let Ok(answer) = &ended.result else { return };
        self.users.extend(ended.user);
        self.latency
            .record(ended.ended.saturating_duration_since(ended.sent));
        if let Some(right) = answer.right {
            self.judged += 1;
            self.right += u64::from(right);
        }
    }

    fn stats(&self) -> VariantStats {
        VariantStats {
            requests: self.requests,
            errors: self.errors,
            exposed_users: self.users.len() as u64,
            judged: self.judged,
            right: self.right,
            latency: self.latency.summary(),
        }
    }
}

/// Whole milliseconds, as [`Stats::elapsed_ms`] wants them.
pub(super) fn whole_ms(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
