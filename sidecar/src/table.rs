//! What the workers route by: one immutable table, compiled from the sidecar's own file and the assignments it holds.

mod address;
mod compile;
mod matching;
mod spec;

pub(crate) use address::SOCKET_PATH;
pub use address::{Address, AddressError, Scheme, Target};
pub use spec::{Held, Ids, Matcher, MatcherError, ModelSpec, StaticSplit};

use crate::breaker::Thresholds;
use crate::head::Head;
use crate::rewrite::{Rewrite, StreamForm};
use crate::route::key::KeySource;
use crate::route::kind::is_about_server;
use crate::route::named::Place;
use crate::route::split::Split;
use crate::route::targeting::Rules;
use crate::shared::{BreakerCell, EndpointHealth};
use http::HeaderValue;
use matching::{Found, Index};
use serinus_common::prediction_id::IdKey;
use std::sync::Arc;
use std::time::Duration;

/// Every model that this sidecar serves.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Arc<Route>>,
    index: Index,
    ids: Ids,
    /// Some request's body may have to be looked into.
    looks_into_bodies: bool,
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
    /// An operator of this host has stopped the canaries: what is meant for them goes to stable and counts for neither.
    pub killed: bool,
    pub(crate) rollout_id: [u8; 16],
    pub(crate) matcher: Matcher,
    pub(crate) split: Split,
    pub(crate) targeting: Rules,
    /// What is asked whether the model is ready.
    pub(crate) ready_path: Option<String>,
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
    /// What the answers of its gRPC streams are.
    pub(crate) stream: StreamForm,
    /// False for canaries that must never be served again.
    pub(crate) allowed: bool,
    /// Canaries only; set when the table is published.
    pub(crate) breaker: Option<Arc<BreakerCell>>,
    /// One per endpoint; set when the table is published.
    pub(crate) health: Vec<Arc<EndpointHealth>>,
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
            looks_into_bodies: false,
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

    /// Position of the model that a request is for; `None` if only its body can tell.
    #[inline]
    pub(crate) fn find(&self, head: &impl Head) -> Option<usize> {
        match self.index.find(head) {
            Found::Model(at) => Some(at),
            Found::InBody(_) | Found::Nothing => None,
        }
    }

    /// Where in its body a request names its model, if nothing else tells it.
    pub(crate) fn place_of_name(&self, head: &impl Head) -> Option<Place> {
        match self.index.find(head) {
            Found::InBody(place) => Some(place),
            Found::Model(_) | Found::Nothing => None,
        }
    }

    /// Position of the model with the name that a body has.
    pub(crate) fn find_named(&self, name: Option<&[u8]>, place: Place) -> Option<usize> {
        self.index.named(name, place)
    }

    /// Whether more than a request's head has to do with its variant: the beginning of its body must be known before it
    /// can be chosen, or the answer carries a cookie that keeps the choice.
    #[inline]
    pub(crate) fn wants_body(&self, head: &impl Head) -> bool {
        self.looks_into_bodies
            && match self.index.find(head) {
                Found::Model(at) => {
                    let route = &self.routes[at];
                    route.has_key_in_body(head) || route.needs_cookie(head)
                }
                Found::InBody(_) => true,
                Found::Nothing => false,
            }
    }

    pub(crate) fn issuer(&self) -> u32 {
        self.ids.issuer
    }

    pub(crate) fn id_key(&self) -> &IdKey {
        &self.ids.key
    }
}

impl Route {
    /// Whether a request is to be given the cookie that has its key.
    pub(crate) fn needs_cookie(&self, head: &impl Head) -> bool {
        self.split.sticky
            && self.split.key.of(head).is_none()
            && !is_about_server(head.method(), head.path())
    }

    /// Whether a request's key is in its body: a JSON document that is not compressed.
    pub(crate) fn has_key_in_body(&self, head: &impl Head) -> bool {
        let is = |name, wanted: fn(&[u8]) -> bool| head.value(name).is_some_and(wanted);
        matches!(self.split.key, KeySource::Json(_))
            && matches!(head.method(), "POST" | "PUT" | "PATCH")
            && !is("content-encoding", |value| value != b"identity")
            && !is("content-type", |value| {
                value.starts_with(b"application/grpc")
            })
            && !is_about_server(head.method(), head.path())
    }
}
