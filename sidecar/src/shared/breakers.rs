//! One breaker per canary, for all workers.

use crate::breaker::{Admission, Breaker, Change, Thresholds};
use crate::table::Route;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;

/// The breaker of one canary. A closed one costs a request one relaxed load.
#[derive(Debug)]
pub struct BreakerCell {
    open: AtomicBool,
    inner: Mutex<Breaker>,
}

impl BreakerCell {
    fn new(thresholds: Thresholds) -> Self {
        Self {
            open: AtomicBool::new(false),
            inner: Mutex::new(Breaker::new(thresholds)),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn admit(&self, now_ms: u64, rescuable: bool) -> Admission {
        if !self.open.load(Ordering::Relaxed) {
            return Admission::Pass;
        }
        lock(&self.inner).admit(now_ms, rescuable)
    }

    pub(crate) fn record(&self, now_ms: u64, probe: bool, failed: bool) -> Option<Change> {
        let mut inner = lock(&self.inner);
        let change = inner.record(now_ms, probe, failed);
        self.open.store(inner.is_open(), Ordering::Relaxed);
        change
    }
}

/// How a canary's breaker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerStatus {
    /// The model.
    pub model: String,
    /// The rollout; empty for a static split.
    pub rollout: String,
    /// The canary.
    pub variant: String,
    /// It is not used.
    pub open: bool,
    /// Times that it has opened since the start.
    pub openings: u64,
}

type Key = (String, String, String);

#[derive(Debug, Default)]
pub(super) struct Breakers {
    cells: BTreeMap<Key, Arc<BreakerCell>>,
}

impl Breakers {
    /// Gives every canary its breaker: the one it has, or a new one. Those of other rollouts go.
    pub(super) fn attach(&mut self, routes: &mut [Arc<Route>]) {
        let mut kept = BTreeMap::new();
        for shared in routes {
            let route = Arc::make_mut(shared);
            for variant in route.variants.iter_mut().skip(1) {
                let key = (
                    route.model.clone(),
                    route.rollout.clone(),
                    variant.name.clone(),
                );
                let thresholds = route.policy.thresholds;
                let cell = self.cells.remove(&key);
                let cell = cell.unwrap_or_else(|| Arc::new(BreakerCell::new(thresholds)));
                lock(&cell.inner).set_thresholds(thresholds);
                variant.breaker = Some(Arc::clone(&cell));
                kept.insert(key, cell);
            }
        }
        self.cells = kept;
    }

    pub(super) fn all(&self) -> Vec<BreakerStatus> {
        let status = |((model, rollout, variant), cell): (&Key, &Arc<BreakerCell>)| {
            let inner = lock(&cell.inner);
            BreakerStatus {
                model: model.clone(),
                rollout: rollout.clone(),
                variant: variant.clone(),
                open: inner.is_open(),
                openings: inner.openings(),
            }
        };
        self.cells.iter().map(status).collect()
    }
}
