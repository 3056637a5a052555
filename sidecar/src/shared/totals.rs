//! Cumulative counts for `/metrics` and `/status`.

use crate::meter::Tally;
use crate::table::Route;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Tables after which the counts of an ended rollout are forgotten.
const KEPT_TABLES: u64 = 64;

/// Counts of one variant since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantTotals {
    /// The model.
    pub model: String,
    /// The rollout; empty outside of rollouts.
    pub rollout: String,
    /// The variant.
    pub variant: String,
    /// What was counted.
    pub tally: Tally,
    /// Requests that it is answering now.
    pub in_flight: u64,
}

/// What happened to requests that belong to no variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalCounters {
    /// Answered 503 because a variant had too many in flight.
    pub shed: u64,
    /// Answered 4xx or 501 by the sidecar itself.
    pub refused: u64,
    /// Of these: for a model that is not served here.
    pub unmatched: u64,
    /// Of these: because they were no sound HTTP/1.1.
    pub malformed: u64,
    /// Client connections that were turned away.
    pub connections_refused: u64,
    /// Client connections now.
    pub connections: u64,
}

/// An event to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Shed,
    Refused,
    Unmatched,
    ConnectionRefused,
    Malformed,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    events: [AtomicU64; 5],
    connections: AtomicI64,
}

impl Counters {
    pub(super) fn add(&self, what: Count, n: u64) {
        self.events[what as usize].fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn connections(&self, change: i64) {
        self.connections.fetch_add(change, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> LocalCounters {
        let of = |what: Count| self.events[what as usize].load(Ordering::Relaxed);
        LocalCounters {
            shed: of(Count::Shed),
            refused: of(Count::Refused),
            unmatched: of(Count::Unmatched),
            malformed: of(Count::Malformed),
            connections_refused: of(Count::ConnectionRefused),
            connections: u64::try_from(self.connections.load(Ordering::Relaxed)).unwrap_or(0),
        }
    }
}

/// Part of a variant's counts, from one worker.
#[derive(Clone, Debug)]
pub(crate) struct Portion {
    pub(crate) model: String,
    pub(crate) rollout: String,
    pub(crate) variant: String,
    pub(crate) tally: Tally,
    pub(crate) in_flight: u64,
}

type Key = (String, String, String);

#[derive(Debug, Default)]
pub(super) struct Totals {
    tables: u64,
    entries: BTreeMap<Key, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    tally: Tally,
    in_flight: BTreeMap<usize, u64>,
    last_table: u64,
}

impl Totals {
    pub(super) fn absorb(&mut self, worker: usize, portions: Vec<Portion>) {
        for portion in portions {
            let key = (portion.model, portion.rollout, portion.variant);
            let entry = self.entries.entry(key).or_default();
            entry.tally.merge(&portion.tally);
            entry.in_flight.insert(worker, portion.in_flight);
            entry.last_table = self.tables;
        }
    }

    pub(super) fn forget_all_but(&mut self, routes: &[Arc<Route>]) {
        self.tables += 1;
        for route in routes {
            for variant in &route.variants {
                let key = (
                    route.model.clone(),
                    route.rollout.clone(),
                    variant.name.clone(),
                );
                self.entries.entry(key).or_default().last_table = self.tables;
            }
        }
        let oldest = self.tables.saturating_sub(KEPT_TABLES);
        self.entries.retain(|_, entry| entry.last_table >= oldest);
    }

    pub(super) fn all(&self) -> Vec<VariantTotals> {
        let total = |((model, rollout, variant), entry): (&Key, &Entry)| VariantTotals {
            model: model.clone(),
            rollout: rollout.clone(),
            variant: variant.clone(),
            tally: entry.tally.clone(),
            in_flight: entry.in_flight.values().sum(),
        };
        self.entries.iter().map(total).collect()
    }
}
