//! What the same slices cannot tell about another plan.

use super::{WhatIf, takers, times};
use crate::plan::{format_duration, view};
use crate::replay::Recording;
use serinus_proto::v1;
use v1::guardrail::Metric;

/// Each as a sentence, the most important one first.
pub(super) fn limits(recording: &Recording, plan: &v1::Plan, found: &WhatIf) -> Vec<String> {
    let Ok(recorded) = recording.plan() else {
        return Vec::new();
    };
    let mut limits = Vec::new();
    limits.extend(other_model(recorded, plan));
    if let Some(from_ms) = found.splits_differ_from_ms {
        let begun = recording.created().ok().and_then(|(event, _)| event.time);
        let after = from_ms.saturating_sub(begun.as_ref().map_or(0, crate::rollout::millis));
        limits.push(format!(
            "From {:.1} s after its start on the traffic would have been split otherwise: what is said of later moments is \
             about the recorded split.",
            after as f64 / 1000.0
        ));
    }
    for guardrail in &plan.guardrails {
        limits.extend(labels(recorded, guardrail));
    }
    limits.extend(warm(recording, recorded, plan));
    limits.extend(latencies(plan));
    if plan.budget.is_some_and(|budget| budget.exposed_keys > 0) {
        limits.push(
            "The cap on exposed users is not replayed: how many there were is stored at recorded decisions only."
                .to_owned(),
        );
    }
    if !times::are_stored(recording) {
        limits.push(
            "When each slice was folded was not stored: times are those of its last second and, for labels, of the end \
             of their window."
                .to_owned(),
        );
    }
    limits.push(
        "Only evidence is replayed: breakers, silence, refusals, approvals and waiting times of the plan are not."
            .to_owned(),
    );
    limits
}

fn other_model(recorded: &v1::Plan, plan: &v1::Plan) -> Option<String> {
    let name = |plan: &v1::Plan| {
        let canary = view::canary(plan).map_or("", |canary| canary.name.as_str());
        format!("{} {} -> {canary}", plan.model, view::stable_name(plan))
    };
    let (recorded, plan) = (name(recorded), name(plan));
    (recorded != plan).then(|| {
        format!(
            "The plan is for {plan}, the recording is of {recorded}: its slices are taken as they are."
        )
    })
}

fn labels(recorded: &v1::Plan, guardrail: &v1::Guardrail) -> Option<String> {
    let window = view::label_window(guardrail)?;
    let name = view::metric_name(guardrail);
    let Some(source) = takers::source(recorded, guardrail) else {
        return Some(format!(
            "{name}: no labels of it were collected, so it has no evidence here."
        ));
    };
    let old = view::label_window(source).unwrap_or_default();
    (old != window).then(|| {
        format!(
            "{name}: its labels were sealed {} after their predictions; what a window of {} would have added or left out \
             is not stored.",
            format_duration(old),
            format_duration(window)
        )
    })
}

fn warm(recording: &Recording, recorded: &v1::Plan, plan: &v1::Plan) -> Option<String> {
    let judges_latency = plan.guardrails.iter().any(is_latency);
    let left_out = recording.slices.iter().filter(|slice| slice.warm).count();
    let differs = view::warmup(recorded) != view::warmup(plan);
    (judges_latency && differs && left_out > 0).then(|| {
        format!(
            "The canary's latency in the {left_out} slices of the recorded warm-up is left out, whatever this plan says \
             of a warm-up."
        )
    })
}

fn latencies(plan: &v1::Plan) -> Option<String> {
    plan.guardrails.iter().any(is_latency).then(|| {
        "Latencies come from the stored sketches of both variants, as they did live: every quantile, ratio and limit can \
         be replayed, to the 2 % of a bucket."
            .to_owned()
    })
}

fn is_latency(guardrail: &v1::Guardrail) -> bool {
    matches!(
        guardrail.metric,
        Some(Metric::Latency(_) | Metric::LatencyLimit(_))
    )
}
