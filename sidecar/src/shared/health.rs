//! Whether each endpoint is ready, as the checks found; for all workers.

use crate::table::{Address, Route};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether an endpoint of a variant is ready. Reading it costs a request one relaxed load.
#[derive(Debug)]
pub struct EndpointHealth {
    ready: AtomicBool,
    /// Nobody has looked yet.
    unknown: AtomicBool,
}

impl EndpointHealth {
    pub(crate) fn new(ready: bool) -> Self {
        Self {
            ready: AtomicBool::new(ready),
            unknown: AtomicBool::new(true),
        }
    }

    /// Whether requests may go there.
    #[inline]
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether nobody has looked yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.unknown.load(Ordering::Relaxed)
    }

    /// What a check found.
    pub fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
        self.unknown.store(false, Ordering::Relaxed);
    }
}

type Key = (String, String, Address);

#[derive(Debug, Default)]
pub(super) struct Healths {
    /// Somebody looks: until then a canary's endpoint counts as not ready.
    pub(super) watched: bool,
    cells: BTreeMap<Key, Arc<EndpointHealth>>,
}

impl Healths {
    /// Gives every endpoint its cell: the one it has, or a new one. Whether there are new ones.
    pub(super) fn attach(&mut self, routes: &mut [Arc<Route>]) -> bool {
        let mut kept = BTreeMap::new();
        let mut new = false;
        for shared in routes {
            let route = Arc::make_mut(shared);
            for (at, variant) in route.variants.iter_mut().enumerate() {
                let cells = variant.endpoints.iter().map(|address| {
                    let key = (route.model.clone(), variant.name.clone(), address.clone());
                    let known = self.cells.get(&key).cloned();
                    new |= known.is_none();
                    // Stable is used whatever the checks say.
                    let fresh = || Arc::new(EndpointHealth::new(at == 0 || !self.watched));
                    let cell = known.unwrap_or_else(fresh);
                    kept.insert(key, Arc::clone(&cell));
                    cell
                });
                variant.health = cells.collect();
            }
        }
        self.cells = kept;
        new
    }
}
