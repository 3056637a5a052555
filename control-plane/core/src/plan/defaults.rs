//! What a plan means where it says nothing.

use super::duration;
use serinus_common::ppm::Ppm;
use serinus_proto::v1::bucketing::Hash;
use serinus_proto::v1::failure::Fallback;
use serinus_proto::v1::guardrail::{Action, Metric};
use serinus_proto::v1::labelled::Direction;
use serinus_proto::v1::targeting_rule::Place;
use serinus_proto::v1::{
    Approval, Bake, Breaker, Bucketing, Budget, Confidence, ErrorRate, Failure, Gate, Guardrail,
    Labelled, Latency, OnNoEvidence, Plan, Step, Then, Variant, Warmup,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Canary shares of the default ramp.
pub(super) const RAMP: [f64; 4] = [0.05, 0.25, 0.5, 1.0];

/// In a split, stands for the stable variant, whatever its name.
pub(super) const STABLE_ALIAS: &str = "stable";

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Fills in every default; a filled plan stays as it is.
pub(super) fn fill(mut plan: Plan, stable: Option<&Variant>) -> Plan {
    if let Some(known) = stable {
        let own = plan.stable.get_or_insert_with(|| known.clone());
        if own.name == known.name && own.endpoints.is_empty() {
            own.endpoints.clone_from(&known.endpoints);
        }
        if own.name == known.name && own.rewrite.is_none() {
            own.rewrite.clone_from(&known.rewrite);
        }
    }
    let bucketing = plan.bucketing.take().unwrap_or_default();
    plan.bucketing = Some(fill_bucketing(bucketing));
    let stable = plan.stable.as_ref().map(|stable| stable.name.clone());
    let taken = plan
        .canaries
        .iter()
        .any(|canary| canary.name == STABLE_ALIAS);
    for rule in &mut plan.targeting {
        if let (STABLE_ALIAS, false, Some(name)) = (rule.variant.as_str(), taken, &stable) {
            rule.variant.clone_from(name);
        }
        if let Some(Place::Header(name)) = &mut rule.place {
            name.make_ascii_lowercase();
        }
    }
    fill_failure(plan.failure.get_or_insert_with(Failure::default));
    fill_ramp(&mut plan);
    fill_steps(&mut plan);
    fill_guardrails(&mut plan);
    let bake = plan.bake.get_or_insert_with(Bake::default);
    default_duration(&mut bake.duration, 5 * MINUTE);
    bake.holdback = Some(snapped(bake.holdback.unwrap_or(0.05)));
    default_duration(&mut plan.max_duration, 24 * HOUR);
    let confidence = plan.confidence.get_or_insert_with(Confidence::default);
    default_number(&mut confidence.alpha, 0.05);
    default_number(&mut confidence.beta, 0.05);
    plan.budget.get_or_insert_with(Budget::default);
    for freeze in &mut plan.freeze {
        if freeze.time_zone.is_empty() {
            "UTC".clone_into(&mut freeze.time_zone);
        }
    }
    let missing = plan
        .on_no_evidence
        .get_or_insert_with(OnNoEvidence::default);
    default_duration(&mut missing.after, 30 * MINUTE);
    default_choice(&mut missing.then, Then::Hold);
    plan
}

fn fill_bucketing(mut bucketing: Bucketing) -> Bucketing {
    if bucketing.key.is_empty() {
        "header:x-user-id".clone_into(&mut bucketing.key);
    }
    // Names of headers and metadata are the same in any case; one spelling makes plans comparable.
    if let Some((kind @ ("header" | "metadata"), name)) = bucketing.key.split_once(':') {
        bucketing.key = format!("{kind}:{}", name.to_ascii_lowercase());
    }
    default_choice(&mut bucketing.hash, Hash::Xxh3);
    bucketing
}

/// Slow answers count when they end: a step that is left before the slowest have has not seen them.
fn fill_ramp(plan: &mut Plan) {
    let failure = plan.failure.as_ref();
    let slowest = duration::to_std(failure.and_then(|failure| failure.attempt_timeout.as_ref()));
    let Some(ramp) = &mut plan.ramp else { return };
    if ramp.victims == 0 {
        ramp.victims = 30;
    }
    default_number(&mut ramp.max_share, 1.0);
    ramp.max_share = snapped(ramp.max_share);
    let settled = slowest.saturating_add(Duration::from_secs(2));
    ramp.min_duration
        .get_or_insert_with(|| duration::to_proto(settled));
    if let Some(approval) = &mut ramp.approval {
        fill_approval(approval);
    }
}

fn fill_steps(plan: &mut Plan) {
    let paced = plan.ramp.is_some();
    let stable = plan.stable.as_ref().map(|stable| stable.name.clone());
    let canaries: Vec<String> = plan.canaries.iter().map(|c| c.name.clone()).collect();
    if let ([canary], true) = (canaries.as_slice(), plan.steps.is_empty() && !paced) {
        plan.steps = RAMP.map(|share| ramp_step(canary, share)).into();
    }
    for step in &mut plan.steps {
        fill_split(&mut step.split, stable.as_deref(), &canaries);
        default_duration(&mut step.min_duration, 30);
        if let Some(approval) = &mut step.approval {
            fill_approval(approval);
        }
        if let Some(gate) = &mut step.gate {
            fill_gate(gate);
        }
    }
    if let Some(gate) = plan.bake.as_mut().and_then(|bake| bake.gate.as_mut()) {
        fill_gate(gate);
    }
    let first = plan
        .steps
        .first()
        .map_or(0.02, |step| canary_share(&step.split, &canaries));
    if let Some(warmup) = &mut plan.warmup {
        fill_warmup(warmup, first);
    }
}

fn ramp_step(canary: &str, share: f64) -> Step {
    Step {
        split: split(canary, STABLE_ALIAS, share),
        ..Step::default()
    }
}

/// The split that gives the canary this share.
pub(super) fn split(canary: &str, stable: &str, share: f64) -> BTreeMap<String, f64> {
    let rest = Ppm::from_fraction(share).map_or(0.0, |share| share.complement().fraction());
    BTreeMap::from([(canary.to_owned(), share), (stable.to_owned(), rest)])
}

fn fill_split(split: &mut BTreeMap<String, f64>, stable: Option<&str>, canaries: &[String]) {
    if split.is_empty() {
        return;
    }
    if let Some(stable) = stable.filter(|name| !split.contains_key(*name)) {
        let named = canaries.iter().any(|name| name == STABLE_ALIAS);
        if let (false, Some(share)) = (named, split.remove(STABLE_ALIAS)) {
            split.insert(stable.to_owned(), share);
        }
    }
    for name in canaries.iter().map(String::as_str).chain(stable) {
        if !split.contains_key(name) {
            split.insert(name.to_owned(), 0.0);
        }
    }
    for share in split.values_mut() {
        *share = snapped(*share);
    }
}

/// The nearest millionth, where it is a share at all.
fn snapped(share: f64) -> f64 {
    Ppm::from_fraction(share).map_or(share, Ppm::fraction)
}

/// What the canaries get of a split.
pub(super) fn canary_share(split: &BTreeMap<String, f64>, canaries: &[String]) -> f64 {
    canaries.iter().filter_map(|name| split.get(name)).sum()
}

fn fill_approval(approval: &mut Approval) {
    default_duration(&mut approval.timeout, 24 * HOUR);
    default_choice(&mut approval.then, Then::Hold);
}

fn fill_gate(gate: &mut Gate) {
    default_duration(&mut gate.timeout, 24 * HOUR);
    default_choice(&mut gate.then, Then::Hold);
    default_choice(&mut gate.on_deny, Then::Hold);
}

fn fill_warmup(warmup: &mut Warmup, first_step: f64) {
    let most = if first_step > 0.0 { first_step } else { 0.02 };
    default_number(&mut warmup.share, most.min(0.02));
    warmup.share = snapped(warmup.share);
}

fn fill_guardrails(plan: &mut Plan) {
    if plan.guardrails.is_empty() {
        let of = |metric| Guardrail {
            metric: Some(metric),
            ..Guardrail::default()
        };
        plan.guardrails = vec![
            of(Metric::ErrorRate(ErrorRate { margin: 0.0025 })),
            of(Metric::Latency(Latency::default())),
        ];
    }
    for guardrail in &mut plan.guardrails {
        default_choice(&mut guardrail.on_breach, Action::Rollback);
        // Whoever only wants to be told does not want to be kept.
        let notice = guardrail.on_breach() == Action::Notify;
        guardrail.required.get_or_insert(!notice);
        match &mut guardrail.metric {
            Some(Metric::Latency(latency)) => fill_latency(latency),
            Some(Metric::Accuracy(labelled)) => {
                "accuracy".clone_into(&mut labelled.name);
                default_choice(&mut labelled.direction, Direction::HigherIsBetter);
                fill_window(labelled);
            }
            Some(Metric::Outcome(labelled)) => fill_window(labelled),
            _ => {}
        }
    }
}

/// One bound alone is the whole tolerance; none means the documented pair.
fn fill_latency(latency: &mut Latency) {
    if latency.quantiles.is_empty() {
        latency.quantiles = vec![0.5, 0.95, 0.99];
    }
    let (ratio, slack) = match (latency.ratio == 0.0, latency.slack.is_none()) {
        (true, true) => (1.10, Duration::from_millis(2)),
        _ => (1.0, Duration::ZERO),
    };
    default_number(&mut latency.ratio, ratio);
    latency
        .slack
        .get_or_insert_with(|| duration::to_proto(slack));
}

fn fill_window(labelled: &mut Labelled) {
    default_duration(&mut labelled.label_window, 10 * MINUTE);
}

fn fill_failure(failure: &mut Failure) {
    default_choice(&mut failure.fallback, Fallback::Stable);
    default_duration(&mut failure.timeout, 10);
    let whole = duration::to_std(failure.timeout.as_ref());
    let attempt = whole.min(Duration::from_secs(5));
    failure
        .attempt_timeout
        .get_or_insert_with(|| duration::to_proto(attempt));
    let breaker = failure.breaker.get_or_insert_with(Breaker::default);
    if breaker.consecutive == 0 {
        breaker.consecutive = 5;
    }
    default_number(&mut breaker.error_ratio, 0.5);
}

fn default_duration(field: &mut Option<prost_types::Duration>, seconds: u64) {
    field.get_or_insert_with(|| duration::to_proto(Duration::from_secs(seconds)));
}

fn default_number(field: &mut f64, value: f64) {
    if *field == 0.0 {
        *field = value;
    }
}

fn default_choice<E: Into<i32>>(field: &mut i32, value: E) {
    if *field == 0 {
        *field = value.into();
    }
}
