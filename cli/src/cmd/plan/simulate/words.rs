//! Cases and guardrails in words.

use crate::view::number;
use serinus_core::plan;
use serinus_proto::v1;
use serinus_simulation::{Canary, Case, Proof, Shift};
use std::time::Duration;
use v1::guardrail::Metric;

/// A guardrail as it is called on the screen: `error rate`, `latency`, `latency p99 <= 250ms`, `outcome click`.
pub(super) fn guardrail(plan: &v1::Plan, index: usize) -> String {
    let metric = plan
        .guardrails
        .get(index)
        .and_then(|guardrail| guardrail.metric.as_ref());
    match metric {
        Some(Metric::ErrorRate(_)) => "error rate".to_owned(),
        Some(Metric::Latency(_)) => "latency".to_owned(),
        Some(Metric::LatencyLimit(limit)) => {
            let bound = plan::format_duration(plan::std_duration(limit.limit.as_ref()));
            format!(
                "latency p{} <= {bound}",
                (limit.quantile * 1e5).round() / 1e3
            )
        }
        Some(Metric::Accuracy(_)) => "accuracy".to_owned(),
        Some(Metric::Outcome(outcome)) => format!("outcome {}", outcome.name),
        None => String::new(),
    }
}

/// What the canary is: `as stable`, `accuracy -1.0pp`, `latency x1.10`, `fails always`.
pub(super) fn canary(plan: &v1::Plan, case: &Case) -> String {
    match case.canary {
        Canary::Equal => "as stable".to_owned(),
        Canary::Worse {
            guardrail: index, ..
        } => format!("{} {}", guardrail(plan, index), shift(case.shift)),
        Canary::Dead => "fails always".to_owned(),
    }
}

/// `-1.0pp`, `x1.10`.
pub(super) fn shift(shift: Shift) -> String {
    match shift {
        Shift::Rate(rate) => format!("{}pp", trimmed(number::points(rate, 4))),
        Shift::Latency(factor) => format!("x{factor:.2}"),
    }
}

/// Without the zeros that say nothing: `-1` for `-1.0000`.
fn trimmed(number: String) -> String {
    number
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// How many margins that is: `1.5x`; empty where there are none.
pub(super) fn margins(case: &Case) -> String {
    match case.canary {
        Canary::Worse { margins, .. } => format!("{margins}x"),
        Canary::Equal | Canary::Dead => String::new(),
    }
}

/// `9h05m`.
pub(super) fn time(seconds: f64) -> String {
    number::duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// `200`, `0.5`.
pub(super) fn per_second(rate: f64) -> String {
    let noun = if rate == 1.0 { "request" } else { "requests" };
    format!("{rate} {noun}/s")
}

/// What a guardrail tolerates in a step: `2.5pp in accuracy`, `x1.21 in latency`.
pub(super) fn proof(plan: &v1::Plan, proof: &Proof) -> String {
    let name = guardrail(plan, proof.guardrail);
    let metric = plan
        .guardrails
        .get(proof.guardrail)
        .and_then(|guardrail| guardrail.metric.as_ref());
    let points = |margin: f64| {
        let margin = margin * proof.tolerance;
        let points = trimmed(number::points(margin, 4));
        format!("a margin of {}pp in {name}", points.trim_start_matches('+'))
    };
    match metric {
        Some(Metric::ErrorRate(of)) => points(of.margin),
        Some(Metric::Accuracy(of) | Metric::Outcome(of)) => points(of.margin),
        Some(Metric::Latency(of)) => {
            format!("a ratio of {:.2} in {name}", of.ratio.powf(proof.tolerance))
        }
        _ => name,
    }
}
