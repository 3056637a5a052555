//! What was counted of each variant.

use super::exposition::{Exposition, Kind};
use crate::meter::Tally;
use crate::shared::VariantTotals;
use serinus_common::class::Class;
use serinus_common::sketch::{self, Sketch};

/// Upper edges of the histograms, seconds.
const EDGES: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// A counter of a variant: name, help, where it is.
type VariantCounter = (&'static str, &'static str, fn(&Tally) -> u64);

const COUNTERS: [VariantCounter; 15] = [
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
    (
        "streams_total",
        "Answers that were streams of events or of gRPC messages.",
        |t| t.contents.streams,
    ),
    (
        "failed_streams_total",
        "Streams that failed after their head, within themselves or by breaking off.",
        |t| t.contents.failed_streams,
    ),
    (
        "unread_streams_total",
        "Streams that were not looked into because they were compressed.",
        |t| t.contents.unread_streams,
    ),
    (
        "stream_chunks_total",
        "Parts of streams that had content; no tokens.",
        |t| t.contents.chunks,
    ),
    (
        "input_tokens_total",
        "Tokens of prompts, as the server counted them.",
        |t| t.contents.input_tokens,
    ),
    (
        "output_tokens_total",
        "Tokens of answers, as the server counted them.",
        |t| t.contents.output_tokens,
    ),
];

/// A histogram of a variant: name, help, where it is.
type VariantHistogram = (&'static str, &'static str, fn(&Tally) -> &Sketch);

const HISTOGRAMS: [VariantHistogram; 3] = [
    (
        "latency_seconds",
        "Time until the end of the answer (its head for streams), of all but cancelled requests; within 1 %.",
        |t| &t.latency,
    ),
    (
        "first_token_seconds",
        "Time until the first part of a stream that had content.",
        |t| &t.contents.first_token,
    ),
    (
        "per_token_seconds",
        "Time for each token after the first, of streams whose server counted them.",
        |t| &t.contents.per_token,
    ),
];

pub(super) fn write(totals: &[VariantTotals], out: &mut Exposition) {
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
    for (name, help, of) in COUNTERS {
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
    for (name, help, of) in HISTOGRAMS {
        out.family(name, Kind::Histogram, help);
        for total in totals {
            histogram(name, of(&total.tally), &labels(total), out);
        }
    }
}

fn labels(total: &VariantTotals) -> [(&'static str, &str); 3] {
    [
        ("model", &total.model),
        ("rollout", &total.rollout),
        ("variant", &total.variant),
    ]
}

fn histogram(name: &str, of: &Sketch, labels: &[(&str, &str); 3], out: &mut Exposition) {
    let mut below = [0u64; EDGES.len()];
    let mut sum = 0.0;
    for (index, count) in of.iter() {
        // The middle of the bucket, as for quantiles.
        let seconds = sketch::upper_edge(index) * 2.0 / (sketch::GAMMA + 1.0) / 1e6;
        sum += seconds * count as f64;
        let edges = below.iter_mut().zip(EDGES);
        edges
            .filter(|(_, edge)| seconds <= *edge)
            .for_each(|(cumulative, _)| *cumulative += count);
    }
    let bucket = format!("{name}_bucket");
    let [model, rollout, variant] = *labels;
    for (count, edge) in below.iter().zip(EDGES) {
        let edge = edge.to_string();
        let labels = [model, rollout, variant, ("le", &edge)];
        out.sample(&bucket, &labels, *count as f64);
    }
    let all = of.total() as f64;
    out.sample(&bucket, &[model, rollout, variant, ("le", "+Inf")], all);
    out.sample(&format!("{name}_sum"), labels, sum);
    out.sample(&format!("{name}_count"), labels, all);
}
