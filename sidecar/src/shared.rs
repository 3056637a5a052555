//! What the workers and the rest of the sidecar share: the routing table, the breakers, and counts for people.

mod breakers;
mod health;
mod totals;

pub use breakers::{BreakerCell, BreakerStatus};
pub use health::EndpointHealth;
pub use totals::{LocalCounters, VariantTotals};

use crate::table::Table;
use breakers::Breakers;
use health::Healths;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use totals::Totals;

pub(crate) use totals::{Count, Portion};

/// Shared between the workers and the rest of the sidecar. Workers read it when its version has changed and write to it
/// once a second; no request takes a lock here, but for results of canaries, which feed their breaker.
#[derive(Debug)]
pub struct Shared {
    version: AtomicU64,
    table: Mutex<Arc<Table>>,
    breakers: Mutex<Breakers>,
    healths: Mutex<Healths>,
    /// Notified when there are endpoints that nobody has looked at.
    strangers: Notify,
    totals: Mutex<Totals>,
    counters: totals::Counters,
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// With an empty table: every request is answered 404 until one is published.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: AtomicU64::new(1),
            table: Mutex::new(Arc::new(Table::empty())),
            breakers: Mutex::default(),
            healths: Mutex::default(),
            strangers: Notify::new(),
            totals: Mutex::default(),
            counters: totals::Counters::default(),
        }
    }

    /// Puts a table in force for every request that starts from now on. Breakers of the same rollout and variant keep
    /// their state.
    pub fn publish(&self, mut table: Table) {
        lock(&self.breakers).attach(table.routes_mut());
        let strangers = lock(&self.healths).attach(table.routes_mut());
        lock(&self.totals).forget_all_but(table.routes());
        *lock(&self.table) = Arc::new(table);
        self.version.fetch_add(1, Ordering::Release);
        if strangers {
            self.strangers.notify_one();
        }
    }

    /// From now on endpoints are looked at: a canary has nothing until one of its own is found ready.
    pub(crate) fn watch_endpoints(&self) {
        lock(&self.healths).watched = true;
    }

    /// Ends when there are endpoints that nobody has looked at.
    pub(crate) async fn strangers(&self) {
        self.strangers.notified().await;
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&lock(&self.table))
    }

    /// Changes with every table.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Counts per model, rollout and variant since the start, at most a second old; ended rollouts are kept for a while.
    #[must_use]
    pub fn totals(&self) -> Vec<VariantTotals> {
        lock(&self.totals).all()
    }

    /// The breaker of every canary in force.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        lock(&self.breakers).all()
    }

    /// Counts that belong to no variant.
    #[must_use]
    pub fn local(&self) -> LocalCounters {
        self.counters.read()
    }

    pub(crate) fn count(&self, what: Count) {
        self.counters.add(what, 1);
    }

    pub(crate) fn connections(&self, change: i64) {
        self.counters.connections(change);
    }

    /// What a worker has counted since the last call, and what it has in flight now.
    pub(crate) fn absorb(&self, worker: usize, portions: Vec<Portion>) {
        lock(&self.totals).absorb(worker, portions);
    }
}

/// A panic while a lock was held leaves counts, not invariants, behind: go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
