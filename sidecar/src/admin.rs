//! The admin port: outcomes, metrics, probes, status. On loopback unless told otherwise.

pub mod achieved;
mod hosts;
mod kill;
mod metrics;
mod outcomes;
pub mod probe;
mod status;

use crate::kill::Switch;
use crate::listen::Listen;
use crate::outcomes::Desk;
use crate::report::Reports;
use crate::shared::Shared;
use crate::sync::apply::Holdings;
use crate::sync::{Contact, Probed};
use achieved::Achieved;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use axum::{Extension, Json, Router, middleware};
use hosts::Hosts;
use serinus_runtime::shutdown::Drain;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// Bodies of outcomes that are held in memory at once, KiB.
const BODIES_KIB: usize = 64 << 10;

/// What the admin port shows and takes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Parts>);

/// Where everything comes from.
#[derive(Debug)]
pub struct Parts {
    /// Stable name of this sidecar.
    pub name: String,
    /// Where inference calls arrive.
    pub inference: Vec<Listen>,
    /// When the process started.
    pub started: Instant,
    /// Table, breakers and counts.
    pub shared: Arc<Shared>,
    /// What is held by order of the control plane.
    pub holdings: watch::Receiver<Holdings>,
    /// How it stands with the control plane; absent for a static sidecar.
    pub contact: Option<watch::Receiver<Contact>>,
    /// Which variants answer.
    pub probed: watch::Receiver<Probed>,
    /// The split that traffic got.
    pub achieved: watch::Receiver<Achieved>,
    /// Counts on their way.
    pub reports: Reports,
    /// Takes outcomes; absent for a static sidecar.
    pub desk: Option<Desk>,
    /// A stop has begun.
    pub drain: Drain,
    /// The word of whoever operates this host.
    pub kill: Switch,
    /// Host names by which this port may be called.
    pub hosts: Vec<String>,
    /// Longest body of outcomes, bytes.
    pub request_bytes: usize,
}

impl Admin {
    /// From its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// All routes, behind the check of the host name.
    pub fn router(self) -> Router {
        let hosts = Hosts::new(&self.0.hosts);
        let limit = DefaultBodyLimit::max(self.0.request_bytes);
        let outcomes: MethodRouter<Self> = post(outcomes::take).layer(limit);
        let memory = Arc::new(Semaphore::new(BODIES_KIB));
        let outcomes: MethodRouter<Self> = outcomes.layer(Extension(memory));
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .route("/v1/outcomes", outcomes)
            .route("/v1/kill", put(kill::put).delete(kill::delete))
            .with_state(self)
            .layer(middleware::from_fn_with_state(
                Arc::new(hosts),
                hosts::check,
            ))
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready as soon as every model's stable answers; never waits for the control plane.
async fn readyz(State(Admin(parts)): State<Admin>) -> Response {
    if parts.drain.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let missing = missing_stables(&parts);
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    let text = missing.join("\n") + "\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn missing_stables(parts: &Parts) -> Vec<String> {
    let probed = parts.probed.borrow();
    let mut missing = Vec::new();
    for route in parts.shared.table().routes() {
        let Some(stable) = route.variants.first() else {
            continue;
        };
        let key = (route.model.clone(), stable.name.clone());
        match probed.get(&key) {
            Some(variant) if variant.ready => {}
            Some(variant) => {
                let why = variant
                    .endpoints
                    .iter()
                    .map(|(url, why)| format!("{url} {why}"));
                let why: Vec<String> = why.collect();
                missing.push(format!(
                    "model {}: stable {}: {}",
                    route.model,
                    stable.name,
                    why.join(", ")
                ));
            }
            None => missing.push(format!(
                "model {}: stable {} was not checked yet",
                route.model, stable.name
            )),
        }
    }
    missing
}

async fn status(State(Admin(parts)): State<Admin>) -> Response {
    Json(status::of(&parts)).into_response()
}

async fn metrics(State(Admin(parts)): State<Admin>) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, metrics::text(&parts)).into_response()
}
