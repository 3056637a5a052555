//! Ramps that are paced by the evidence: how far a rollout goes once its present step may be left.

use super::{Facts, Rollout, terms};
use crate::plan::view;
use serinus_common::ppm::Ppm;

/// From this share on every step is entered: how a canary bears load is seen only under load.
const NEVER_SKIPPED: u32 = 500_000;

/// The step to enter instead of `next`: steps that could be left at once, since their own tolerance is excluded
/// already and nobody has to approve it, are passed over.
pub(super) fn furthest(rollout: &Rollout, next: usize, facts: &Facts) -> usize {
    let plan = &rollout.plan;
    let Some(excluded) = facts.excluded_tolerance else {
        return next;
    };
    if rollout.warmup || !view::is_paced(plan) {
        return next;
    }
    let skippable = |step: usize| {
        terms::kappa(plan, step) >= excluded
            && terms::asked(plan, step) < Ppm::new(NEVER_SKIPPED).unwrap_or_default()
            && terms::approval(plan, step).is_none()
            && plan.steps.get(step).is_none_or(|step| step.gate.is_none())
            && terms::min_requests(plan, step) == 0
    };
    let last = plan.steps.len().saturating_sub(1);
    let mut step = next;
    while step < last && skippable(step) {
        step += 1;
    }
    step
}
