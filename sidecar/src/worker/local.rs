//! The routing table as one worker uses it: with its own pools, counts and budgets, which outlive the table.

use super::Worker;
use crate::head::Head;
use crate::limits::Limits;
use crate::meter::{Epoch, Meters};
use crate::pool::Endpoint;
use crate::proxy::budget::Budget;
use crate::route::named::Place;
use crate::table::{Address, Policy, Route, Table};
use crate::tls::Tls;
use serinus_common::prediction_id::IdKey;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A table with a worker's own state.
#[derive(Debug, Default)]
pub(super) struct LocalTable {
    table: Option<Arc<Table>>,
    routes: Vec<Rc<LocalRoute>>,
}

/// A model with a worker's own state.
#[derive(Debug)]
pub(crate) struct LocalRoute {
    route: Arc<Route>,
    table: Arc<Table>,
    meter: Rc<Epoch>,
    lanes: Vec<Lane>,
    budget: Rc<RefCell<Budget>>,
}

/// A variant with a worker's own state.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) endpoints: Vec<Rc<Endpoint>>,
    in_flight: Rc<Cell<usize>>,
}

impl Lane {
    /// Whether at least one endpoint is ready, as the checks found.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.is_ready())
    }
}

/// What outlives tables.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By model, variant and address: two variants of one server share no connections, so that neither can be in the
    /// other's way.
    endpoints: HashMap<(String, String, Address), Rc<Endpoint>>,
    in_flight: HashMap<(String, String), Rc<Cell<usize>>>,
    budgets: HashMap<String, Rc<RefCell<Budget>>>,
}

impl Registry {
    pub(super) fn localise(
        &mut self,
        table: Arc<Table>,
        meters: &Meters,
        limits: &Limits,
        tls: &Tls,
        now_ms: u64,
    ) -> LocalTable {
        let mut routes = Vec::with_capacity(table.routes().len());
        for route in table.routes() {
            let lanes = route.variants.iter().map(|variant| Lane {
                endpoints: variant
                    .endpoints
                    .iter()
                    .enumerate()
                    .map(|(at, address)| {
                        let key = (route.model.clone(), variant.name.clone(), address.clone());
                        let endpoint = self.endpoint(key, limits, tls);
                        endpoint.watch(variant.health.get(at).cloned());
                        endpoint
                    })
                    .collect(),
                in_flight: self.in_flight(&route.model, &variant.name),
            });
            let lanes: Vec<Lane> = lanes.collect();
            let most = limits.in_flight_per_variant;
            let budget = self.budgets.entry(route.model.clone());
            let budget = budget.or_insert_with(|| Rc::new(RefCell::new(Budget::new(now_ms, most))));
            routes.push(Rc::new(LocalRoute {
                route: Arc::clone(route),
                table: Arc::clone(&table),
                meter: meters.epoch(route),
                lanes,
                budget: Rc::clone(budget),
            }));
        }
        self.forget_unused(&routes);
        LocalTable {
            table: Some(table),
            routes,
        }
    }

    fn endpoint(
        &mut self,
        key: (String, String, Address),
        limits: &Limits,
        tls: &Tls,
    ) -> Rc<Endpoint> {
        let (dial, address) = (tls.to(&key.0), key.2.clone());
        let endpoint = self.endpoints.entry(key);
        let new = || {
            let dial = Arc::clone(dial);
            Rc::new(Endpoint::new(address, limits.connect_timeout, dial))
        };
        Rc::clone(endpoint.or_insert_with(new))
    }

    fn in_flight(&mut self, model: &str, variant: &str) -> Rc<Cell<usize>> {
        let key = (model.to_owned(), variant.to_owned());
        Rc::clone(self.in_flight.entry(key).or_default())
    }

    fn forget_unused(&mut self, routes: &[Rc<LocalRoute>]) {
        self.endpoints
            .retain(|_, endpoint| Rc::strong_count(endpoint) > 1);
        self.in_flight
            .retain(|_, counter| Rc::strong_count(counter) > 1);
        self.budgets
            .retain(|model, _| routes.iter().any(|local| local.route.model == *model));
    }

    /// Closes pooled connections that are of no more use.
    pub(super) fn sweep(&self, before_ms: u64) {
        for endpoint in self.endpoints.values() {
            endpoint.sweep(before_ms);
        }
    }
}

impl LocalTable {
    #[inline]
    pub(super) fn route(&self, head: &impl Head) -> Option<Rc<LocalRoute>> {
        self.at(self.table.as_ref()?.find(head)?)
    }

    /// Whether the beginning of a request's body must be known before its variant can be chosen.
    #[inline]
    pub(super) fn wants_body(&self, head: &impl Head) -> bool {
        let table = self.table.as_ref();
        table.is_some_and(|table| table.wants_body(head))
    }

    pub(super) fn place_of_name(&self, head: &impl Head) -> Option<Place> {
        self.table.as_ref()?.place_of_name(head)
    }

    pub(super) fn route_named(&self, name: Option<&[u8]>, place: Place) -> Option<Rc<LocalRoute>> {
        self.at(self.table.as_ref()?.find_named(name, place)?)
    }

    fn at(&self, position: usize) -> Option<Rc<LocalRoute>> {
        self.routes.get(position).map(Rc::clone)
    }
}

impl LocalRoute {
    #[inline]
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    #[inline]
    pub(crate) fn policy(&self) -> &Policy {
        &self.route.policy
    }

    #[inline]
    pub(crate) fn meter(&self) -> &Epoch {
        &self.meter
    }

    pub(crate) fn issuer(&self) -> u32 {
        self.table.issuer()
    }

    pub(crate) fn id_key(&self) -> &IdKey {
        self.table.id_key()
    }

    /// The variant's endpoints. Positions come from this route.
    #[inline]
    pub(crate) fn lane(&self, variant: usize) -> &Lane {
        &self.lanes[variant]
    }

    /// Whether every endpoint is known to speak HTTP/1.1.
    #[inline]
    pub(crate) fn speaks_http1(&self) -> bool {
        let mut endpoints = self.lanes.iter().flat_map(|lane| &lane.endpoints);
        endpoints.all(|endpoint| endpoint.is_http1())
    }

    /// Counts a request as in flight; false if there are `most` already.
    #[inline]
    pub(crate) fn enter(&self, variant: usize, most: usize) -> bool {
        let in_flight = &self.lanes[variant].in_flight;
        let free = in_flight.get() < most;
        if free {
            in_flight.set(in_flight.get() + 1);
        }
        free
    }

    #[inline]
    pub(crate) fn leave(&self, variant: usize) {
        let in_flight = &self.lanes[variant].in_flight;
        in_flight.set(in_flight.get().saturating_sub(1));
    }

    /// A request earns its part of a rescue.
    #[inline]
    pub(crate) fn earn(&self) {
        self.budget.borrow_mut().earn();
    }

    /// Whether one more rescue may be made.
    pub(crate) fn may_spend(&self, worker: &Worker) -> bool {
        self.budget.borrow_mut().spend(worker.deadlines.now_ms())
    }

    /// Whether one more rescue could be made now.
    pub(crate) fn could_spend(&self, worker: &Worker) -> bool {
        self.budget.borrow().suffices(worker.deadlines.now_ms())
    }
}
