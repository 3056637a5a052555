//! The events that several ways lead to: beginning, entering a step, stopping, ending.

use super::terms::{self, Target};
use super::time::timestamp;
use super::{Phase, RULES, Rollout, split};
use serinus_common::allocation::{Allocation, Owned};
use serinus_proto::v1;
use serinus_proto::v1::event::Kind;

/// The first events of a rollout of a complete plan: created, then its warm-up or first step with its split, epoch 1.
#[must_use]
pub fn create(plan: &v1::Plan) -> Vec<Kind> {
    let warmup = terms::warmup_ms(plan).is_some();
    let targets = if warmup {
        terms::warmup_targets(plan)
    } else {
        terms::targets(plan, 0)
    };
    let mut events = vec![
        Kind::Created(v1::Created {
            plan: Some(plan.clone()),
            engine_version: serinus_evidence::ENGINE_VERSION,
            rules: RULES,
            ..v1::Created::default()
        }),
        entered(0, warmup),
    ];
    events.extend(split::first(
        plan,
        &targets,
        terms::selector(plan, 0).as_ref(),
    ));
    events
}

/// No canary has a bucket yet.
pub(super) fn nobody(plan: &v1::Plan) -> Allocation {
    let owned = |name: &str| Owned {
        variant: name.to_owned(),
        ranges: Vec::new(),
    };
    Allocation::from_owned(terms::canaries(plan).map(owned).collect()).unwrap_or_default()
}

/// Ends a rollout because another one takes its place: rolled back, whatever it was doing. Empty if it has ended.
#[must_use]
pub fn supersede(rollout: &Rollout) -> Vec<Kind> {
    if rollout.is_terminal() {
        Vec::new()
    } else {
        roll_back(rollout, v1::Cause::Superseded, None)
    }
}

fn entered(step: usize, warmup: bool) -> Kind {
    Kind::StepEntered(v1::StepEntered {
        step: index(step),
        warmup,
    })
}

pub(super) fn index(step: usize) -> u32 {
    u32::try_from(step).unwrap_or(u32::MAX)
}

/// Enters a step at its split.
pub(super) fn enter(rollout: &Rollout, step: usize) -> Vec<Kind> {
    let mut events = vec![entered(step, false)];
    let plan = &rollout.plan;
    let selector = terms::selector(plan, step);
    let change = split::change_for(rollout, &terms::targets(plan, step), selector.as_ref());
    events.extend(change);
    events
}

/// Enters a step after the split was set by hand: nobody who has the canary now is moved back.
pub(super) fn enter_from_manual(rollout: &Rollout, step: usize, warmup: bool) -> Vec<Kind> {
    let plan = &rollout.plan;
    let asked = if warmup {
        terms::warmup_targets(plan)
    } else {
        terms::targets(plan, step)
    };
    let higher = |(asked, now): (&Target<'_>, &Target<'_>)| asked.1 >= now.1;
    let mut events = vec![entered(step, warmup)];
    let present = split::present(rollout);
    let targets = if asked.iter().zip(&present).all(higher) {
        asked
    } else {
        present
    };
    let selector = terms::selector(plan, step);
    events.extend(split::change_for(rollout, &targets, selector.as_ref()));
    events
}

pub(super) fn start_bake(rollout: &Rollout, now_ms: u64) -> Kind {
    let until = timestamp(now_ms.saturating_add(terms::bake_ms(&rollout.plan)));
    Kind::BakeStarted(v1::BakeStarted { until: Some(until) })
}

/// Goes on where it stopped. A bake that was interrupted begins again: it is a watch without gaps.
pub(super) fn resume(rollout: &Rollout, now_ms: u64) -> Vec<Kind> {
    let mut events = vec![resumed(rollout)];
    if rollout.phase() == Phase::Bake {
        events.push(start_bake(rollout, now_ms));
    }
    events
}

pub(super) fn resumed(rollout: &Rollout) -> Kind {
    resumed_at(rollout.step)
}

pub(super) fn resumed_at(step: usize) -> Kind {
    Kind::Resumed(v1::Resumed { step: index(step) })
}

/// Everybody to the canary, for good.
pub(super) fn finish(rollout: &Rollout, decision: Option<v1::Decision>) -> Vec<Kind> {
    let targets = terms::full_targets(&rollout.plan);
    let variant = targets
        .first()
        .map_or_else(String::new, |(name, _)| (*name).to_owned());
    // On every sidecar.
    let change = split::change_for(rollout, &targets, None);
    let mut events: Vec<Kind> = change.into_iter().collect();
    events.push(Kind::Promoted(v1::Promoted { variant, decision }));
    events
}

/// Everybody to stable, for good, in one step.
pub(super) fn roll_back(
    rollout: &Rollout,
    cause: v1::Cause,
    decision: Option<v1::Decision>,
) -> Vec<Kind> {
    let targets = terms::no_targets(&rollout.plan);
    let mut events: Vec<Kind> = split::change(rollout, &targets).into_iter().collect();
    events.push(Kind::RolledBack(v1::RolledBack {
        cause: cause.into(),
        variants: terms::canaries(&rollout.plan).map(str::to_owned).collect(),
        decision,
    }));
    events
}
