//! A promotion taken back: a rollout whose first step gives everything to the variant that was stable before.

use super::words::span;
use super::{Refused, Rollout, act};
use serinus_proto::v1::event::Kind;
use serinus_proto::v1::{self, State};
use std::collections::BTreeMap;

/// The former stable variant is expected to be kept for so long after a promotion.
const WITHIN_MS: u64 = 7 * 24 * 3_600_000;

/// The complete plan that takes a promotion back; `stable` is the model's stable variant now. No evidence is asked for:
/// the variant served everybody before, and whoever calls has a reason to hurry.
///
/// # Errors
/// If it was not promoted, too long ago, or is not what serves today.
pub fn undo(rollout: &Rollout, now_ms: u64, stable: &v1::Variant) -> Result<v1::Plan, Refused> {
    let nothing = |why: String| Err(Refused::NothingToUndo(why));
    let (id, plan) = (&rollout.id, &rollout.plan);
    let former = plan.stable.clone().unwrap_or_default();
    match rollout.state {
        State::Promoted => {}
        State::RolledBack => {
            let name = &stable.name;
            return nothing(format!(
                "rollout {id} was rolled back, everybody is on {name}"
            ));
        }
        _ => return Err(Refused::wrong_state(rollout, "undo")),
    }
    if plan
        .canaries
        .iter()
        .all(|canary| canary.name != stable.name)
    {
        let (model, name) = (&rollout.model, &stable.name);
        return nothing(format!(
            "the stable variant of {model} is {name} now, which rollout {id} did not promote"
        ));
    }
    let ago_ms = now_ms.saturating_sub(rollout.finished_ms.unwrap_or(now_ms));
    if ago_ms > WITHIN_MS {
        let (ago, most, name) = (span(ago_ms), span(WITHIN_MS), &former.name);
        return nothing(format!(
            "rollout {id} was promoted {ago} ago, and a promotion can be taken back for {most}; deploy {name} as the canary of a new rollout"
        ));
    }
    Ok(reversed(plan, former, stable))
}

fn reversed(plan: &v1::Plan, former: v1::Variant, stable: &v1::Variant) -> v1::Plan {
    let split = [(former.name.clone(), 1.0), (stable.name.clone(), 0.0)];
    let step = v1::Step {
        split: BTreeMap::from(split),
        min_duration: Some(prost_types::Duration::default()),
        ..v1::Step::default()
    };
    let bake = v1::Bake {
        duration: Some(prost_types::Duration::default()),
        holdback: Some(0.0),
        gate: None,
    };
    v1::Plan {
        model: plan.model.clone(),
        stable: Some(stable.clone()),
        canaries: vec![former],
        bucketing: plan.bucketing.clone(),
        steps: vec![step],
        bake: Some(bake),
        max_duration: plan.max_duration,
        guardrails: plan.guardrails.clone(),
        confidence: plan.confidence,
        budget: plan.budget,
        on_no_evidence: plan.on_no_evidence,
        failure: plan.failure,
        allow_large_first_step: true,
        ..v1::Plan::default()
    }
}

/// The events of a rollout of such a plan, which begins and ends at once.
#[must_use]
pub fn undoing(plan: &v1::Plan, undone: &str) -> Vec<Kind> {
    let mut events = act::create(plan);
    for event in &mut events {
        if let Kind::Created(created) = event {
            undone.clone_into(&mut created.undoes);
        }
    }
    let variant = plan.canaries.first().map(|canary| canary.name.clone());
    events.push(Kind::Promoted(v1::Promoted {
        variant: variant.unwrap_or_default(),
        decision: None,
    }));
    events
}
