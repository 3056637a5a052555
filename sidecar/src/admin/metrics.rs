//! `/metrics`: the text format of Prometheus, from counts that exist anyway.

mod exposition;

use super::Parts;
use crate::meter::Tally;
use crate::shared::VariantTotals;
use crate::sync::follow::Standing;
use exposition::{Exposition, Kind};
use serinus_common::class::Class;
use serinus_common::sketch;

/// Upper edges of the latency histogram, seconds.
const EDGES: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Everything, as text.
pub(super) fn text(parts: &Parts) -> String {
    let mut out = Exposition::default();
    process(parts, &mut out);
    traffic(&parts.shared.totals(), &mut out);
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

/// A counter of a variant: name, help, where it is.
type VariantCounter = (&'static str, &'static str, fn(&Tally) -> u64);

const VARIANT_COUNTERS: [VariantCounter; 9] = [
    (
        "assigned_total",
        "Judged requests that were assigned to the variant.",
        |t| t.assigned,
    ),
    (
        "rescued_total",
        "Calls that failed at the variant and were answered by stable.",
        |t| t.rescued,
    ),
    (
        "user_errors_total",
        "Failures that the application saw.",
        |t| t.user_errors,
    ),
    ("response_bytes_total", "Bytes of answers' bodies.", |t| {
        t.response_bytes
    }),
    (
        "breaker_openings_total",
        "Times that the variant's breaker opened.",
        |t| t.breaker_openings,
    ),
    (
        "failed_probes_total",
        "Probes through the open breaker that failed.",
        |t| t.failed_probes,
    ),
    (
        "diverted_total",
        "Requests sent to stable because the breaker was open or the variant not ready.",
        |t| t.diverted,
    ),
    (
        "overrides_total",
        "Requests that named the variant themselves, or that a rule sent there; never judged.",
        |t| t.overrides,
    ),
    ("unkeyed_total", "Assigned requests without a key.", |t| {
        t.unkeyed
    }),
];

fn traffic(totals: &[VariantTotals], out: &mut Exposition) {
    out.family(
        "requests_total",
        Kind::Counter,
        "Judged requests that ended, by class; what failed before rescue.",
    );
    for total in totals {
        for class in Class::ALL {
            let [model, rollout, variant] = labels(total);
            let labels = [model, rollout, variant, ("class", class.name())];
            out.sample("requests_total", &labels, total.tally.class(class) as f64);
        }
    }
    for (name, help, of) in VARIANT_COUNTERS {
        out.family(name, Kind::Counter, help);
        for total in totals {
            out.sample(name, &labels(total), of(&total.tally) as f64);
        }
    }
    out.family(
        "in_flight",
        Kind::Gauge,
        "Requests that the variant is answering.",
    );
    for total in totals {
        out.sample("in_flight", &labels(total), total.in_flight as f64);
    }
    out.family("latency_seconds", Kind::Histogram, "Time until the end of the answer (its head for streams), of all but cancelled requests; within 1 %.");
    for total in totals {
        latency(total, out);
    }
}

fn labels(total: &VariantTotals) -> [(&'static str, &str); 3] {
    [
        ("model", &total.model),
        ("rollout", &total.rollout),
        ("variant", &total.variant),
    ]
}

fn latency(total: &VariantTotals, out: &mut Exposition) {
    let mut below = [0u64; EDGES.len()];
    let mut sum = 0.0;
    for (index, count) in total.tally.latency.iter() {
        // The middle of the bucket, as for quantiles.
        let seconds = sketch::upper_edge(index) * 2.0 / (sketch::GAMMA + 1.0) / 1e6;
        sum += seconds * count as f64;
        for (cumulative, _) in below
            .iter_mut()
            .zip(EDGES)
            .filter(|(_, edge)| seconds <= *edge)
        {
            *cumulative += count;
        }
    }
    let [model, rollout, variant] = labels(total);
    for (count, edge) in below.iter().zip(EDGES) {
        let edge = edge.to_string();
        out.sample(
            "latency_seconds_bucket",
            &[model, rollout, variant, ("le", &edge)],
            *count as f64,
        );
    }
    let all = total.tally.latency.total() as f64;
    out.sample(
        "latency_seconds_bucket",
        &[model, rollout, variant, ("le", "+Inf")],
        all,
    );
    out.sample("latency_seconds_sum", &labels(total), sum);
    out.sample("latency_seconds_count", &labels(total), all);
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
