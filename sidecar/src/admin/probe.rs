//! Whether each variant's endpoints are ready, looked at every second and as soon as there is a new one.
//!
//! What is asked is the model's own readiness, by what its server speaks (`probe/ask.rs`). An endpoint that was ready is
//! given up only after three failures in a row; one that was not is ready with the first good answer. What is found is
//! written where the workers read it.

mod ask;
mod h2;
mod http;
mod question;

use crate::sync::{Probed, ProbedVariant};
use crate::table::{Address, Route, Variant};
use crate::tls::Tls;
use ask::{Asking, Unready};
use question::Known;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Longer than this, an endpoint does not answer.
const PATIENCE: Duration = Duration::from_secs(1);
const GIVE_UP_AFTER: u32 = 3;

/// Model, variant, endpoint.
type Target = (String, String, Address);

/// What is known of every endpoint.
#[derive(Debug)]
pub struct Prober {
    tls: Arc<Tls>,
    known: BTreeMap<Target, Health>,
}

#[derive(Clone, Debug, Default)]
struct Health {
    ready: bool,
    failures: u32,
    unready: Unready,
    /// What it answers to.
    speaks: Known,
}

impl Health {
    fn observe(&mut self, result: Result<Known, Unready>) {
        match result {
            Ok(speaks) => {
                *self = Self {
                    ready: true,
                    speaks,
                    ..Self::default()
                }
            }
            Err(unready) => {
                self.failures = self.failures.saturating_add(1);
                self.ready &= self.failures < GIVE_UP_AFTER;
                self.unready = unready;
            }
        }
    }
}

impl Prober {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(tls: Arc<Tls>) -> Self {
        Self {
            tls,
            known: BTreeMap::new(),
        }
    }

    /// Looks at every endpoint of the routes once, all at the same time.
    pub async fn round(&mut self, routes: &[Arc<Route>]) -> Probed {
        let mut checks = JoinSet::new();
        let mut health = BTreeMap::new();
        for (target, asking) in targets(routes) {
            let known = self.known.remove(&target).unwrap_or_default();
            let speaks = known.speaks;
            health.insert(target.clone(), known);
            let dial = Arc::clone(self.tls.to(&asking.model));
            checks.spawn(async move {
                let check = tokio::time::timeout(PATIENCE, asking.ask(speaks, &dial));
                let result = check
                    .await
                    .unwrap_or_else(|_| Err("does not answer within 1 s".to_owned().into()));
                (target, result)
            });
        }
        while let Some(done) = checks.join_next().await {
            if let Ok((target, result)) = done
                && let Some(health) = health.get_mut(&target)
            {
                health.observe(result);
            }
        }
        self.known = health;
        self.probed(routes)
    }

    fn health(&self, route: &Route, variant: &Variant, address: &Address) -> Health {
        let target = (route.model.clone(), variant.name.clone(), address.clone());
        self.known.get(&target).cloned().unwrap_or_default()
    }

    /// Whether the name says nothing: not even the servers of stable know the model by it.
    fn is_unnamed(&self, route: &Route) -> bool {
        route.variants.first().is_some_and(|stable| {
            let mut endpoints = stable.endpoints.iter();
            endpoints.all(|address| self.health(route, stable, address).unready.no_model)
        })
    }

    fn probed(&self, routes: &[Arc<Route>]) -> Probed {
        let mut probed = Probed::new();
        for route in routes {
            let unnamed = self.is_unnamed(route);
            for (position, variant) in route.variants.iter().enumerate() {
                let mut sum = ProbedVariant {
                    stable: position == 0,
                    ..ProbedVariant::default()
                };
                for (at, address) in variant.endpoints.iter().enumerate() {
                    let mut health = self.health(route, variant, address);
                    if unnamed && health.unready.no_model {
                        health.ready = true;
                        health.unready = Unready::default();
                    }
                    if let Some(shared) = variant.health.get(at) {
                        shared.set(health.ready);
                    }
                    sum.ready |= health.ready;
                    sum.endpoints
                        .insert(address.to_string(), health.unready.why);
                }
                probed.insert((route.model.clone(), variant.name.clone()), sum);
            }
        }
        probed
    }
}

fn targets(routes: &[Arc<Route>]) -> Vec<(Target, Asking)> {
    let mut targets = Vec::new();
    for route in routes {
        for variant in &route.variants {
            for address in &variant.endpoints {
                let target = (route.model.clone(), variant.name.clone(), address.clone());
                targets.push((target, Asking::new(route, variant, address)));
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests;
