//! `/metrics`: the text format of Prometheus, from counts that exist anyway.

mod exposition;
mod traffic;

use super::Parts;
use crate::sync::follow::Standing;
use exposition::{Exposition, Kind};

/// Everything, as text.
pub(super) fn text(parts: &Parts) -> String {
    let mut out = Exposition::default();
    process(parts, &mut out);
    traffic::write(&parts.shared.totals(), &mut out);
    variants(parts, &mut out);
    models(parts, &mut out);
    control_plane(parts, &mut out);
    outcomes(parts, &mut out);
    out.finish()
}

fn process(parts: &Parts, out: &mut Exposition) {
    out.family(
        "info",
        Kind::Gauge,
        "Always 1; name and version of this sidecar.",
    );
    let labels = [
        ("name", parts.name.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    out.sample("info", &labels, 1.0);
    out.single(
        "uptime_seconds",
        Kind::Gauge,
        "Time since the start.",
        parts.started.elapsed().as_secs_f64(),
    );
    let local = parts.shared.local();
    for (name, kind, help, value) in [
        (
            "shed_total",
            Kind::Counter,
            "Requests answered 503 because a variant had too many in flight.",
            local.shed,
        ),
        (
            "refused_total",
            Kind::Counter,
            "Requests answered 4xx or 501 by the sidecar itself.",
            local.refused,
        ),
        (
            "unmatched_total",
            Kind::Counter,
            "Refused requests for a model that is not served here.",
            local.unmatched,
        ),
        (
            "malformed_total",
            Kind::Counter,
            "Refused requests that were no sound HTTP/1.1.",
            local.malformed,
        ),
        (
            "connections_refused_total",
            Kind::Counter,
            "Connections that were turned away.",
            local.connections_refused,
        ),
        (
            "connections",
            Kind::Gauge,
            "Open connections of applications.",
            local.connections,
        ),
    ] {
        out.single(name, kind, help, value as f64);
    }
}

fn variants(parts: &Parts, out: &mut Exposition) {
    let table = parts.shared.table();
    let all = || {
        table
            .routes()
            .iter()
            .flat_map(|route| route.variants.iter().map(move |v| (route, v)))
    };
    out.family(
        "share_ratio",
        Kind::Gauge,
        "Share of the buckets that is in force here.",
    );
    for (route, variant) in all() {
        let labels = [
            ("model", route.model.as_str()),
            ("variant", variant.name.as_str()),
        ];
        out.sample("share_ratio", &labels, f64::from(variant.share_ppm) / 1e6);
    }
    let achieved = parts.achieved.borrow();
    out.family(
        "achieved_ratio",
        Kind::Gauge,
        "Share of the requests since the present epoch began here.",
    );
    for (route, variant) in all() {
        if let Some(share) = achieved.share(&route.model, &variant.name) {
            let labels = [
                ("model", route.model.as_str()),
                ("variant", variant.name.as_str()),
            ];
            out.sample("achieved_ratio", &labels, share);
        }
    }
    out.family(
        "variant_ready",
        Kind::Gauge,
        "Whether at least one endpoint of the variant is ready.",
    );
    for ((model, variant), probed) in parts.probed.borrow().iter() {
        let labels = [("model", model.as_str()), ("variant", variant.as_str())];
        out.sample("variant_ready", &labels, f64::from(u8::from(probed.ready)));
    }
    out.family(
        "breaker_open",
        Kind::Gauge,
        "Whether the canary is not used because it failed.",
    );
    for breaker in parts.shared.breakers() {
        let labels = [
            ("model", breaker.model.as_str()),
            ("rollout", &breaker.rollout),
            ("variant", &breaker.variant),
        ];
        out.sample("breaker_open", &labels, f64::from(u8::from(breaker.open)));
    }
}

fn models(parts: &Parts, out: &mut Exposition) {
    type Flag = (&'static str, &'static str, fn(Standing, bool) -> bool);
    const FLAGS: [Flag; 3] = [
        (
            "stale",
            "Whether the lease ran out: nothing rises, breakers are stricter.",
            |s, _| !matches!(s, Standing::Unleased | Standing::Fresh),
        ),
        (
            "reverted",
            "Whether the canary's share goes back to stable, or is there, for lack of contact.",
            |s, _| matches!(s, Standing::Reverting(_)),
        ),
        (
            "latched",
            "Whether the rollout's canary is never served again.",
            |_, latched| latched,
        ),
    ];
    let holdings = parts.holdings.borrow();
    for (name, help, flag) in FLAGS {
        out.family(name, Kind::Gauge, help);
        for held in &holdings.in_force {
            let labels = [("model", held.assignment.model.as_str())];
            out.sample(
                name,
                &labels,
                f64::from(u8::from(flag(held.standing, held.latched))),
            );
        }
    }
    out.family(
        "killed",
        Kind::Gauge,
        "Whether an operator of this host has stopped the canary.",
    );
    for route in parts.shared.table().routes() {
        let labels = [("model", route.model.as_str())];
        out.sample("killed", &labels, f64::from(u8::from(route.killed)));
    }
    out.family("epoch", Kind::Gauge, "Epoch of the assignment in force.");
    for held in &holdings.in_force {
        let labels = [
            ("model", held.assignment.model.as_str()),
            ("rollout", &held.assignment.rollout),
        ];
        out.sample("epoch", &labels, held.assignment.epoch as f64);
    }
    let unsaved = f64::from(u8::from(holdings.unsaved.is_some()));
    out.single(
        "state_unsaved",
        Kind::Gauge,
        "Whether the state file could not be written.",
        unsaved,
    );
}

fn control_plane(parts: &Parts, out: &mut Exposition) {
    let Some(contact) = &parts.contact else {
        return;
    };
    let contact = contact.borrow();
    let connected = f64::from(u8::from(contact.session.is_some()));
    out.single(
        "control_plane_connected",
        Kind::Gauge,
        "Whether there is contact with the control plane.",
        connected,
    );
    out.single(
        "control_plane_connections_total",
        Kind::Counter,
        "Connections to the control plane since the start.",
        contact.connections as f64,
    );
    let (waiting, committed) = parts.reports.backlog();
    out.single(
        "reports_waiting",
        Kind::Gauge,
        "Reports that the control plane has not stored.",
        waiting as f64,
    );
    out.single(
        "reports_stored",
        Kind::Gauge,
        "Highest number of a report that is stored, per incarnation.",
        committed as f64,
    );
}

fn outcomes(parts: &Parts, out: &mut Exposition) {
    let Some(desk) = &parts.desk else { return };
    let tally = desk.tally();
    for (name, help, value) in [
        (
            "outcomes_accepted_total",
            "Outcomes that were put on disk.",
            tally.accepted(),
        ),
        (
            "outcomes_refused_total",
            "Outcomes that were sent away because the spool was full or could not be written.",
            tally.refused(),
        ),
        (
            "outcomes_dropped_total",
            "Outcomes that the control plane refused to look at.",
            tally.dropped(),
        ),
        (
            "outcomes_failed_calls_total",
            "Calls with outcomes that failed and are made again.",
            tally.failed_calls(),
        ),
    ] {
        out.single(name, Kind::Counter, help, value as f64);
    }
    out.family("outcomes_total", Kind::Counter, "Outcomes by final status.");
    for (status, count) in tally.by_status() {
        out.sample("outcomes_total", &[("status", status)], count as f64);
    }
    out.single(
        "outcomes_waiting_bytes",
        Kind::Gauge,
        "Bytes of outcomes that the control plane has not answered.",
        desk.waiting_bytes() as f64,
    );
}
