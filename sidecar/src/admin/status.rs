//! `/status`: everything about this sidecar, as JSON.

use super::Parts;
use crate::kill::Killed;
use crate::rewrite;
use crate::shared::{BreakerStatus, VariantTotals};
use crate::sync::apply::Holdings;
use crate::sync::follow::{InForce, fence};
use crate::table::{Route, Variant};
use serde::Serialize;
use serinus_common::class::Class;
use serinus_common::sketch::Sketch;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub(super) struct Status {
    name: String,
    version: &'static str,
    /// Number of this run; new at every start.
    incarnation: u64,
    uptime_seconds: u64,
    inference: String,
    stopping: bool,
    control_plane: Option<ControlPlane>,
    /// Why the state file could not be written.
    unsaved: Option<String>,
    /// Models whose canaries an operator of this host has stopped; `*`: all.
    killed: Vec<String>,
    reports: Reports,
    outcomes: Option<Outcomes>,
    models: Vec<Model>,
}

#[derive(Debug, Serialize)]
struct ControlPlane {
    connected: bool,
    url: Option<String>,
    since_unix_ms: Option<u64>,
    trouble: Option<String>,
    connections: u64,
}

#[derive(Debug, Serialize)]
struct Reports {
    waiting: usize,
    stored_up_to: u64,
    /// Why the control plane does not count them.
    refused: Option<String>,
}

#[derive(Debug, Serialize)]
struct Outcomes {
    accepted: u64,
    refused: u64,
    dropped: u64,
    waiting_bytes: u64,
    by_status: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: String,
    /// Absent while only the own file counts.
    assignment: Option<Assignment>,
    variants: Vec<VariantView>,
}

#[derive(Debug, Serialize)]
struct Assignment {
    rollout: String,
    epoch: u64,
    fence: String,
    latched: bool,
    rolled_back: bool,
    /// `none`, `fresh`, `frozen`, `reverting` or `reverted`.
    lease: &'static str,
}

#[derive(Debug, Serialize)]
struct VariantView {
    name: String,
    stable: bool,
    ready: bool,
    /// Share of the buckets that is in force here, 0..=1.
    share: f64,
    /// Share of the requests since the present epoch began here.
    achieved: Option<f64>,
    /// Endpoint to why it does not answer; empty where it does.
    endpoints: BTreeMap<String, String>,
    /// How its calls name the model there, where that is not how their callers do.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrite: Option<rewrite::Spec>,
    breaker: Option<Breaker>,
    in_flight: u64,
    assigned: u64,
    /// Ended requests by class, since the start.
    requests: BTreeMap<&'static str, u64>,
    rescued: u64,
    diverted: u64,
    overrides: u64,
    user_errors: u64,
    latency_ms: Option<Latency>,
    /// Answers that were streams; of these, failed after their head.
    streams: u64,
    failed_streams: u64,
    /// Until the first part of a stream that had content.
    first_token_ms: Option<Latency>,
    /// Of answers, as the server counted them.
    output_tokens: u64,
}

#[derive(Debug, Serialize)]
struct Breaker {
    open: bool,
    openings: u64,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
}

pub(super) fn of(parts: &Parts) -> Status {
    let holdings = parts.holdings.borrow();
    let (waiting, stored_up_to) = parts.reports.backlog();
    Status {
        name: parts.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        incarnation: parts.reports.incarnation(),
        uptime_seconds: parts.started.elapsed().as_secs(),
        inference: crate::listen::list(&parts.inference),
        stopping: parts.drain.is_draining(),
        control_plane: control_plane(parts),
        unsaved: holdings.unsaved.clone(),
        killed: match &holdings.killed {
            Killed::Nothing => Vec::new(),
            Killed::Everything => vec!["*".to_owned()],
            Killed::Models(models) => models.iter().cloned().collect(),
        },
        reports: Reports {
            waiting,
            stored_up_to,
            refused: parts.reports.refused(),
        },
        outcomes: outcomes(parts),
        models: models(parts, &holdings),
    }
}

fn control_plane(parts: &Parts) -> Option<ControlPlane> {
    let contact = parts.contact.as_ref()?.borrow();
    let session = contact.session.as_ref();
    Some(ControlPlane {
        connected: session.is_some(),
        url: session.map(|session| session.url.clone()),
        since_unix_ms: session.map(|session| session.since_ms),
        trouble: (!contact.trouble.is_empty()).then(|| contact.trouble.clone()),
        connections: contact.connections,
    })
}

fn outcomes(parts: &Parts) -> Option<Outcomes> {
    let desk = parts.desk.as_ref()?;
    Some(Outcomes {
        accepted: desk.tally().accepted(),
        refused: desk.tally().refused(),
        dropped: desk.tally().dropped(),
        waiting_bytes: desk.waiting_bytes(),
        by_status: desk.tally().by_status().collect(),
    })
}

fn models(parts: &Parts, holdings: &Holdings) -> Vec<Model> {
    let totals = parts.shared.totals();
    let breakers = parts.shared.breakers();
    let table = parts.shared.table();
    let model = |route: &std::sync::Arc<Route>| {
        let held = holdings
            .in_force
            .iter()
            .find(|held| held.assignment.model == route.model);
        let variants = route.variants.iter().enumerate();
        Model {
            name: route.model.clone(),
            assignment: held.map(assignment),
            variants: variants
                .map(|(at, variant)| view(parts, route, at, variant, &totals, &breakers))
                .collect(),
        }
    };
    table.routes().iter().map(model).collect()
}

fn assignment(held: &InForce) -> Assignment {
    let assignment = &held.assignment;
    Assignment {
        rollout: assignment.rollout.clone(),
        epoch: assignment.epoch,
        fence: assignment
            .fence
            .as_ref()
            .map(fence)
            .unwrap_or_default()
            .to_string(),
        latched: held.latched,
        rolled_back: assignment.rolled_back,
        lease: held.standing.name(),
    }
}

fn view(
    parts: &Parts,
    route: &Route,
    at: usize,
    variant: &Variant,
    totals: &[VariantTotals],
    breakers: &[BreakerStatus],
) -> VariantView {
    let same = |model: &str, rollout: &str, name: &str| {
        model == route.model && rollout == route.rollout && name == variant.name
    };
    let total = totals
        .iter()
        .find(|t| same(&t.model, &t.rollout, &t.variant));
    let tally = total.map(|t| t.tally.clone()).unwrap_or_default();
    let breaker = breakers
        .iter()
        .find(|b| same(&b.model, &b.rollout, &b.variant));
    let probed = parts.probed.borrow();
    let probed = probed.get(&(route.model.clone(), variant.name.clone()));
    VariantView {
        name: variant.name.clone(),
        stable: at == 0,
        ready: probed.is_some_and(|probed| probed.ready),
        share: f64::from(variant.share_ppm) / 1e6,
        achieved: parts.achieved.borrow().share(&route.model, &variant.name),
        endpoints: probed
            .map(|probed| probed.endpoints.clone())
            .unwrap_or_default(),
        rewrite: variant.rewrite.as_ref().map(|of| of.spec().clone()),
        breaker: breaker.map(|breaker| Breaker {
            open: breaker.open,
            openings: breaker.openings,
        }),
        in_flight: total.map_or(0, |total| total.in_flight),
        assigned: tally.assigned,
        requests: Class::ALL
            .iter()
            .map(|&class| (class.name(), tally.class(class)))
            .collect(),
        rescued: tally.rescued,
        diverted: tally.diverted,
        overrides: tally.overrides,
        user_errors: tally.user_errors,
        latency_ms: Latency::of(&tally.latency),
        streams: tally.contents.streams,
        failed_streams: tally.contents.failed_streams,
        first_token_ms: Latency::of(&tally.contents.first_token),
        output_tokens: tally.contents.output_tokens,
    }
}

impl Latency {
    fn of(sketch: &Sketch) -> Option<Self> {
        let milliseconds = |q| Some(sketch.quantile(q)? / 1000.0);
        Some(Self {
            p50: milliseconds(0.5)?,
            p95: milliseconds(0.95)?,
            p99: milliseconds(0.99)?,
        })
    }
}
