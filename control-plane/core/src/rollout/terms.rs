//! The plan in the machine's terms: times in milliseconds, shares by what the rollout is doing.

use super::time::duration_ms;
use crate::plan::view;
use serinus_common::ppm::Ppm;
use serinus_proto::v1;
use std::time::Duration;

pub(super) use crate::plan::view::{
    asked, ceiling, is_full, kappa, min_requests, selector, stable_name as stable, targets,
};

/// One canary and its share.
pub(super) type Target<'a> = (&'a str, Ppm);

pub(super) fn canaries(plan: &v1::Plan) -> impl Iterator<Item = &str> {
    plan.canaries.iter().map(|canary| canary.name.as_str())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The warm-up's length, if there is one.
pub(super) fn warmup_ms(plan: &v1::Plan) -> Option<u64> {
    view::warmup(plan)
        .map(|(duration, _)| ms(duration))
        .filter(|&ms| ms > 0)
}

/// Shares in the warm-up: the first canary's; others get nothing.
pub(super) fn warmup_targets(plan: &v1::Plan) -> Vec<Target<'_>> {
    first_gets(
        plan,
        view::warmup(plan).map_or(Ppm::ZERO, |(_, share)| share),
    )
}

/// Everything for the canary: how a promotion ends.
pub(super) fn full_targets(plan: &v1::Plan) -> Vec<Target<'_>> {
    first_gets(plan, Ppm::ONE)
}

/// Nothing for any canary.
pub(super) fn no_targets(plan: &v1::Plan) -> Vec<Target<'_>> {
    first_gets(plan, Ppm::ZERO)
}

fn first_gets(plan: &v1::Plan, share: Ppm) -> Vec<Target<'_>> {
    let of = |(position, name)| (name, if position == 0 { share } else { Ppm::ZERO });
    canaries(plan).enumerate().map(of).collect()
}

/// The sum of shares.
pub(super) fn total(targets: &[Target<'_>]) -> Ppm {
    let sum: u32 = targets.iter().map(|(_, share)| share.get()).sum();
    Ppm::new(sum).unwrap_or(Ppm::ONE)
}

/// The tolerance shown in the warm-up, by the rule of steps that name none.
pub(super) fn warmup_kappa(plan: &v1::Plan) -> f64 {
    let share = total(&warmup_targets(plan));
    if share == Ppm::ZERO {
        10.0
    } else {
        (0.5 / share.fraction()).clamp(1.0, 10.0)
    }
}

pub(super) fn min_duration_ms(plan: &v1::Plan, step: usize) -> u64 {
    ms(view::min_duration(plan, step))
}

pub(super) fn bake_ms(plan: &v1::Plan) -> u64 {
    ms(view::bake(plan))
}

/// The rollout's longest time, if the plan names one.
pub(super) fn max_duration_ms(plan: &v1::Plan) -> Option<u64> {
    Some(ms(view::max_duration(plan))).filter(|&ms| ms > 0)
}

/// How long an approval to leave the step is waited for, and what follows then; `None` if it needs none.
pub(super) fn approval(plan: &v1::Plan, step: usize) -> Option<(u64, v1::Then)> {
    let approval = plan.steps.get(step)?.approval.as_ref()?;
    let then = match approval.then() {
        v1::Then::Unspecified => v1::Then::Hold,
        then => then,
    };
    Some((approval.timeout.as_ref().map_or(0, duration_ms), then))
}

/// After how long without evidence what is done; `None` if the plan does not say.
pub(super) fn on_no_evidence(plan: &v1::Plan) -> Option<(u64, v1::Then)> {
    let rule = plan.on_no_evidence.as_ref()?;
    let rollback = rule.then() == v1::Then::Rollback;
    let then = if rollback {
        v1::Then::Rollback
    } else {
        v1::Then::Hold
    };
    Some((rule.after.as_ref().map_or(0, duration_ms), then))
}

/// How many keys may meet the canary before it is SAFE at tolerance 1.
pub(super) fn exposed_keys(plan: &v1::Plan) -> Option<u64> {
    plan.budget
        .as_ref()
        .map(|budget| budget.exposed_keys)
        .filter(|&cap| cap > 0)
}

pub(super) fn is_required(guardrail: &v1::Guardrail) -> bool {
    guardrail.required.unwrap_or(true)
}
