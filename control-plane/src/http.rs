//! The HTTP surface: the API as JSON, probes and metrics for machines, and a word to people who come with a browser.

mod api;

mod connections;

use crate::engine::Handle;
use crate::listen::{Incoming, Opening};
use crate::metrics;
use api::Api;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use metrics_exporter_prometheus::PrometheusHandle;
use serinus_runtime::shutdown::Drain;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::service::Routes;

/// The version of the text form of metrics.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An engine that has shown nothing for longer is not ready: it shows something five times a second.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// What the pages are made of.
#[derive(Clone)]
struct Site {
    handle: Handle,
    metrics: PrometheusHandle,
    drain: Drain,
    grpc: SocketAddr,
    api: Api,
}

/// The first byte of a request: no request is shorter.
pub const BEGINNING: Opening = Opening {
    bytes: 1,
    frames: false,
};

/// Where the surface is, and what it speaks of.
#[derive(Debug)]
pub struct Options {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Only this host reaches the port.
    pub local: bool,
}

/// Serves until the drain, then until every request has been answered. The API answers with what `routes` of gRPC do.
pub async fn serve(
    incoming: Incoming,
    handle: Handle,
    routes: Routes,
    options: Options,
    drain: Drain,
) {
    let site = Site {
        handle,
        metrics: metrics::install(),
        drain: drain.clone(),
        grpc: options.grpc,
        api: Api::new(routes, options.local),
    };
    let upkeep = tokio::spawn(upkeep(site.metrics.clone()));
    connections::serve(incoming, router(site), drain).await;
    upkeep.abort();
}

fn router(site: Site) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/v1/{*path}", any(api))
        .with_state(site)
}

async fn upkeep(metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(crate::metrics::UPKEEP);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}

/// Whether the engine still works: it is gone after a failed commit, and then the process ends.
fn is_alive(site: &Site) -> bool {
    site.handle.watch_views().has_changed().is_ok()
}

async fn healthy(State(site): State<Site>) -> impl IntoResponse {
    match is_alive(&site) {
        // A restart would not help, so that this is no failure of the probe.
        true if site.handle.views().fence_regressed.is_some() => (
            StatusCode::OK,
            "ok, but FENCE_REGRESSION: a sidecar holds a later instruction than any of this control plane; nothing is \
             raised until it has a new generation\n",
        ),
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the engine has ended\n"),
    }
}

async fn ready(State(site): State<Site>) -> impl IntoResponse {
    if !is_alive(&site) || site.drain.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    // It works, so that a restart would make nothing better, but whoever asks would wait.
    let silence = site.handle.silence();
    if silence > LONGEST_SILENCE {
        let text = format!(
            "busy: nothing was committed for {} s; the disk, or this machine, is too slow\n",
            silence.as_secs()
        );
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    // It still serves, and rolls back.
    let note = site.handle.shortage();
    let note = note.map_or_else(String::new, |shortage| format!("{shortage}\n"));
    (StatusCode::OK, format!("ready\n{note}"))
}

async fn scrape(State(site): State<Site>) -> impl IntoResponse {
    let revision = *site.handle.watch_revision().borrow();
    let short = site.handle.shortage().is_some();
    metrics::observe(&site.handle.views(), revision, short);
    metrics::observe_engine(site.handle.waiting(), site.handle.silence());
    ([(header::CONTENT_TYPE, METRICS)], site.metrics.render())
}

async fn api(State(site): State<Site>, request: Request) -> impl IntoResponse {
    site.api.answer(request).await
}

async fn front(State(site): State<Site>) -> impl IntoResponse {
    let version = site.handle.info().version;
    let grpc = site.grpc;
    let views = site.handle.views();
    let mut page = format!(
        "Serinus control plane {version}\n\nAPI:       /v1/rollouts /v1/models /v1/sidecars /v1/events\nrollouts:  serinus --server http://{grpc} rollout list\n\
         metrics:   /metrics\nprobes:    /healthz /readyz\n"
    );
    for model in views
        .models
        .values()
        .filter(|model| !model.active_rollout.is_empty())
    {
        let name = &model.name;
        page += &format!("watch:     serinus --server http://{grpc} rollout watch {name}\n");
    }
    page
}

#[cfg(test)]
mod tests;
