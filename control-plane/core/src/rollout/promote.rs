//! Where an operator's word leads: to the next step, or back onto the ramp after a split by hand.

use super::assess::{Next, next};
use super::words::percent;
use super::{Refused, Rollout, act, terms};
use crate::selector::covers;
use serinus_common::ppm::Ppm;
use serinus_proto::v1::event::Kind;

/// Where a rollout goes on after a split by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resumption {
    pub(super) step: usize,
    pub(super) warmup: bool,
}

/// At the first step whose share is at least the present one; in the warm-up, if it was not over and gives as much.
pub(super) fn resumption(rollout: &Rollout) -> Resumption {
    let plan = &rollout.plan;
    let now = present(rollout);
    if rollout.warmup
        && now <= terms::total(&terms::warmup_targets(plan))
        && keeps_everybody(rollout, 0)
    {
        return Resumption {
            step: 0,
            warmup: true,
        };
    }
    let enough = |&step: &usize| terms::asked(plan, step) >= now && keeps_everybody(rollout, step);
    let step = (0..plan.steps.len()).find(enough);
    Resumption {
        step: step.unwrap_or_else(|| last(rollout)),
        warmup: false,
    }
}

/// Whether a step selects every sidecar that is selected now.
fn keeps_everybody(rollout: &Rollout, step: usize) -> bool {
    let of_step = terms::selector(&rollout.plan, step);
    covers(of_step.as_ref(), rollout.selector.as_ref())
}

fn present(rollout: &Rollout) -> Ppm {
    Ppm::new(rollout.canary_ppm()).unwrap_or(Ppm::ONE)
}

fn last(rollout: &Rollout) -> usize {
    rollout.plan.steps.len().saturating_sub(1)
}

/// Moves on without evidence.
pub(super) fn to_next(rollout: &Rollout, now_ms: u64) -> Result<Vec<Kind>, Refused> {
    if rollout.is_manual() {
        return beyond_manual(rollout);
    }
    match next(rollout) {
        Next::Step(step) => Ok(act::enter(rollout, step)),
        Next::Bake => Ok(vec![act::start_bake(rollout, now_ms)]),
        Next::Promotion => Ok(act::finish(rollout, None)),
        Next::PlanEnd => Err(no_next_step(rollout)),
    }
}

/// After a split by hand the next step is the first one that gives more.
fn beyond_manual(rollout: &Rollout) -> Result<Vec<Kind>, Refused> {
    let now = present(rollout);
    let more =
        |&step: &usize| terms::asked(&rollout.plan, step) > now && keeps_everybody(rollout, step);
    let step = (0..rollout.plan.steps.len()).find(more);
    let full = Some(last(rollout)).filter(|&step| terms::is_full(&rollout.plan, step));
    let step = step.or(full).ok_or_else(|| no_next_step(rollout))?;
    Ok(act::enter_from_manual(rollout, step, false))
}

fn no_next_step(rollout: &Rollout) -> Refused {
    Refused::NoNextStep {
        share: percent(terms::asked(&rollout.plan, last(rollout))),
    }
}
