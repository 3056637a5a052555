//! What the rest of the control plane reads from a completed plan.

use super::duration::to_std;
use serinus_common::ppm::Ppm;
use serinus_proto::v1::guardrail::Metric;
use serinus_proto::v1::{Guardrail, Plan, Selector, Step, Variant};
use std::time::Duration;

/// Kappa of a step that names none: `clamp(0.5 / share, 1, 10)`.
fn natural_kappa(share: Ppm) -> f64 {
    if share == Ppm::ZERO {
        return 10.0;
    }
    (0.5 / share.fraction()).clamp(1.0, 10.0)
}

/// The variant under test; `None` only in a plan that was never completed.
#[must_use]
pub fn canary(plan: &Plan) -> Option<&Variant> {
    plan.canaries.first()
}

/// Name of the stable variant; empty only in a plan that was never completed.
#[must_use]
pub fn stable_name(plan: &Plan) -> &str {
    plan.stable.as_ref().map_or("", |stable| &stable.name)
}

fn written(plan: &Plan, step: &Step) -> Vec<Ppm> {
    let share = |name: &str| {
        let fraction = step.split.get(name).copied().unwrap_or_default();
        Ppm::from_fraction(fraction).unwrap_or_default()
    };
    plan.canaries
        .iter()
        .map(|canary| share(&canary.name))
        .collect()
}

/// What a step gives the canaries together, as written: before the holdback. Zero beyond the last step.
#[must_use]
pub fn asked(plan: &Plan, step: usize) -> Ppm {
    let shares = plan
        .steps
        .get(step)
        .map(|step| written(plan, step))
        .unwrap_or_default();
    let sum = shares
        .iter()
        .map(|share| share.get())
        .fold(0, u32::saturating_add);
    Ppm::new(sum).unwrap_or(Ppm::ONE)
}

/// Share that stays on stable until the bake ends.
#[must_use]
pub fn holdback(plan: &Plan) -> Ppm {
    let holdback = plan.bake.as_ref().and_then(|bake| bake.holdback);
    holdback
        .and_then(|share| Ppm::from_fraction(share).ok())
        .unwrap_or_default()
}

/// The canaries' shares in a step, in the plan's order; one that gets 1.0 gets 1.0 less the holdback.
#[must_use]
pub fn targets(plan: &Plan, step: usize) -> Vec<(&str, Ppm)> {
    let shares = plan
        .steps
        .get(step)
        .map(|step| written(plan, step))
        .unwrap_or_default();
    let held_back = |share| {
        if share == Ppm::ONE {
            holdback(plan).complement()
        } else {
            share
        }
    };
    plan.canaries
        .iter()
        .zip(shares)
        .map(|(canary, share)| (canary.name.as_str(), held_back(share)))
        .collect()
}

/// Whether requests are assigned by a key, so that those of one user go the same way.
#[must_use]
pub fn has_key(plan: &Plan) -> bool {
    plan.bucketing
        .as_ref()
        .is_none_or(|bucketing| bucketing.key != "none")
}

/// How many margins of harm must be excluded to leave a step.
#[must_use]
pub fn kappa(plan: &Plan, step: usize) -> f64 {
    match plan.steps.get(step).map(|step| step.tolerance) {
        Some(tolerance) if tolerance > 0.0 => tolerance,
        _ => natural_kappa(asked(plan, step)),
    }
}

/// Every tolerance that is ever asked for, ascending and distinct: the steps', the warm-up's, and 1.
#[must_use]
pub fn tolerances(plan: &Plan) -> Vec<f64> {
    let mut all: Vec<f64> = (0..plan.steps.len())
        .map(|step| kappa(plan, step))
        .collect();
    all.extend(warmup(plan).map(|(_, share)| natural_kappa(share)));
    all.push(1.0);
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// The highest share that any step gives the canaries together.
#[must_use]
pub fn ceiling(plan: &Plan) -> Ppm {
    (0..plan.steps.len())
        .map(|step| asked(plan, step))
        .max()
        .unwrap_or_default()
}

/// Which sidecars give the canary traffic in a step; `None`: all.
#[must_use]
pub fn selector(plan: &Plan, step: usize) -> Option<Selector> {
    let of_step = plan.steps.get(step).and_then(|step| step.selector.as_ref());
    crate::selector::both(plan.selector.as_ref(), of_step)
}

/// Whether a step gives the canary everything, on every sidecar.
#[must_use]
pub fn is_full(plan: &Plan, step: usize) -> bool {
    asked(plan, step) == Ppm::ONE && selector(plan, step).is_none()
}

/// Whether the last step gives the canary everything.
#[must_use]
pub fn ends_at_full(plan: &Plan) -> bool {
    let last = plan.steps.len().checked_sub(1);
    last.is_some_and(|last| is_full(plan, last))
}

/// A step is not left sooner.
#[must_use]
pub fn min_duration(plan: &Plan, step: usize) -> Duration {
    to_std(
        plan.steps
            .get(step)
            .and_then(|step| step.min_duration.as_ref()),
    )
}

/// Canary requests in a step before it may be left.
#[must_use]
pub fn min_requests(plan: &Plan, step: usize) -> u64 {
    plan.steps.get(step).map_or(0, |step| step.min_requests)
}

/// How long the canary is watched at full share.
#[must_use]
pub fn bake(plan: &Plan) -> Duration {
    to_std(plan.bake.as_ref().and_then(|bake| bake.duration.as_ref()))
}

/// Then the rollout is HELD(MAX_DURATION).
#[must_use]
pub fn max_duration(plan: &Plan) -> Duration {
    to_std(plan.max_duration.as_ref())
}

/// Length and canary share of the warm-up, if there is one.
#[must_use]
pub fn warmup(plan: &Plan) -> Option<(Duration, Ppm)> {
    let warmup = plan.warmup.as_ref()?;
    let share = Ppm::from_fraction(warmup.share).unwrap_or_default();
    // The first step of an automatic ramp is known only when it begins, and may be smaller.
    let most = if is_paced(plan) && !plan.steps.is_empty() {
        asked(plan, 0)
    } else {
        Ppm::ONE
    };
    Some((to_std(warmup.duration.as_ref()), share.min(most)))
}

/// Whether the steps were chosen for the plan, so that they may be skipped when the evidence is ahead of them.
#[must_use]
pub fn is_paced(plan: &Plan) -> bool {
    plan.ramp.is_some()
}

/// How long a prediction's label is waited for; `None` for metrics without labels.
#[must_use]
pub fn label_window(guardrail: &Guardrail) -> Option<Duration> {
    match guardrail.metric.as_ref()? {
        Metric::Accuracy(labelled) | Metric::Outcome(labelled) => {
            Some(to_std(labelled.label_window.as_ref()))
        }
        _ => None,
    }
}

/// The name by which a plan calls a guardrail's metric: `error_rate`, `latency`, `accuracy`, `outcome:click`.
#[must_use]
pub fn metric_name(guardrail: &Guardrail) -> String {
    match &guardrail.metric {
        Some(Metric::ErrorRate(_)) => "error_rate".to_owned(),
        Some(Metric::Latency(_) | Metric::LatencyLimit(_)) => "latency".to_owned(),
        Some(Metric::Accuracy(_)) => "accuracy".to_owned(),
        Some(Metric::Outcome(outcome)) => format!("outcome:{}", outcome.name),
        None => String::new(),
    }
}

/// Bound of a whole call where the caller names none.
#[must_use]
pub fn timeout(plan: &Plan) -> Duration {
    to_std(
        plan.failure
            .as_ref()
            .and_then(|failure| failure.timeout.as_ref()),
    )
}

/// Bound of one attempt until the head of its answer.
#[must_use]
pub fn attempt_timeout(plan: &Plan) -> Duration {
    let failure = plan.failure.as_ref();
    to_std(failure.and_then(|failure| failure.attempt_timeout.as_ref()))
}
