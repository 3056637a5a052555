//! What the workers route by: one immutable table, compiled from the sidecar's own file and the assignments it holds.

mod address;
mod compile;
mod matching;
mod spec;

pub use address::{Address, AddressError};
pub use spec::{Held, Ids, Matcher, MatcherError, ModelSpec, StaticSplit};

use crate::breaker::Thresholds;
use crate::rewrite::Rewrite;
use crate::route::split::Split;
use crate::shared::BreakerCell;
use http::HeaderValue;
use matching::Index;
use serinus_common::prediction_id::IdKey;
use std::sync::Arc;
use std::time::Duration;

/// Every model that this sidecar serves.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Arc<Route>>,
    index: Index,
    ids: Ids,
}

/// One model: its variants and how requests are spread over them.
#[derive(Clone, Debug)]
pub struct Route {
    /// The model's name.
    pub model: String,
    /// Id of the active rollout; empty without one.
    pub rollout: String,
    /// Epoch of the rollout; 0 without one.
    pub epoch: u64,
    /// The first one is stable; the position is the index in prediction ids.
    pub variants: Vec<Variant>,
    /// The lease has run out: the breaker is twice as strict.
    pub frozen: bool,
    pub(crate) rollout_id: [u8; 16],
    pub(crate) matcher: Matcher,
    pub(crate) split: Split,
    pub(crate) allow_override: bool,
    pub(crate) policy: Policy,
    /// The calls of some variant may be changed in more than their path.
    pub rewrites_bodies: bool,
}

/// One version of a model.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Share of the buckets that is in force here, parts per million.
    pub share_ppm: u32,
    /// Where it answers.
    pub endpoints: Vec<Address>,
    /// What its calls are changed to.
    pub rewrite: Option<Arc<Rewrite>>,
    pub(crate) header: HeaderValue,
    /// False for canaries that must never be served again.
    pub(crate) allowed: bool,
    /// Canaries only; set when the table is published.
    pub(crate) breaker: Option<Arc<BreakerCell>>,
}

/// How users are protected from a failing canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) rescue: bool,
    pub(crate) timeout: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) thresholds: Thresholds,
}

impl Table {
    /// Serves nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            routes: Vec::new(),
            index: Index::default(),
            ids: Ids::default(),
        }
    }

    /// The models, in the order of the file.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    pub(crate) fn routes_mut(&mut self) -> &mut [Arc<Route>] {
        &mut self.routes
    }

    /// Position of the model that a request is for.
    pub(crate) fn find<'a>(
        &self,
        host: impl FnOnce() -> Option<&'a str>,
        path: &str,
    ) -> Option<usize> {
        self.index.find(host, path)
    }

    pub(crate) fn issuer(&self) -> u32 {
        self.ids.issuer
    }

    pub(crate) fn id_key(&self) -> &IdKey {
        &self.ids.key
    }
}
