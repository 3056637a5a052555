//! The answer for programs: fractions 0..=1, times in seconds.

use super::{Results, report, words};
use serde_json::{Value, json};
use serinus_simulation::{Canary, Case, Interval, Shift, Tally, Traffic};

pub(super) fn value(results: &Results) -> Value {
    let (study, forecast) = (&results.study, results.study.forecast());
    let plan = study.plan();
    let cases = study.cases().iter().zip(&results.tallies);
    json!({
        "model": plan.model,
        "replicas": results.tallies.first().map_or(0, Tally::replicas),
        "seed": results.seed,
        "horizon_s": study.horizon_s(),
        "traffic": traffic(&results.traffic),
        "cases": cases.map(|(case, tally)| one(results, case, tally)).collect::<Vec<_>>(),
        "skipped": study.skipped(),
        "forecast": {
            "to_full_s": finite(forecast.to_full_s),
            "max_duration_s": forecast.max_duration_s,
            "slowest": forecast.slowest.map(|proof| json!({
                "guardrail": words::guardrail(plan, proof.guardrail),
                "index": proof.guardrail,
                "share": proof.share,
                "tolerance": proof.tolerance,
                "seconds": finite(proof.seconds),
            })),
            "sentence": report::expectation(results).replace('\n', " "),
        },
    })
}

/// What never happens has no time.
fn finite(seconds: f64) -> Option<f64> {
    Some(seconds).filter(|seconds| seconds.is_finite())
}

fn traffic(of: &Traffic) -> Value {
    let labels = of
        .labels
        .iter()
        .map(|label| json!({ "name": label.name, "rate": label.rate }));
    json!({
        "rps": of.rate,
        "error_rate": of.errors,
        "latency_p50_ms": of.latency.median_ms,
        "latency_p99_ms": of.latency.quantile(0.99),
        "labels": labels.collect::<Vec<_>>(),
        "label_delay_s": of.label_delay_s,
        "label_fraction": of.label_fraction,
        "users": of.users,
    })
}

fn one(results: &Results, case: &Case, tally: &Tally) -> Value {
    let plan = results.study.plan();
    let (kind, guardrail, margins) = match case.canary {
        Canary::Equal => ("equal", None, Some(0.0)),
        Canary::Worse { guardrail, margins } => ("worse", Some(guardrail), Some(margins)),
        Canary::Dead => ("dead", None, None),
    };
    let (difference, factor) = match case.shift {
        Shift::Rate(rate) => (Some(rate), None),
        Shift::Latency(factor) => (None, Some(factor)),
    };
    let served = tally.served();
    let (rollback, promotion) = (
        probability(tally.rollback()),
        probability(tally.promotion()),
    );
    let wrong = if report::is_bad(case.canary) {
        promotion.clone()
    } else {
        rollback.clone()
    };
    json!({
        "canary": kind,
        "guardrail": guardrail.map(|index| words::guardrail(plan, index)),
        "index": guardrail,
        "margins": margins,
        "difference": difference,
        "latency_factor": factor,
        "rollback": rollback,
        "promotion": promotion,
        "wrong": wrong,
        "open": tally.open(),
        "rollback_after_s": tally.rollback_s(),
        "full_share_after_s": tally.promoted_s(),
        "served": served,
        "harmed": served.map(|served| served * case.harmed),
        "causes": tally.causes(),
    })
}

fn probability((share, interval): (f64, Interval)) -> Value {
    json!({ "probability": share, "lower": interval.lower, "upper": interval.upper })
}
