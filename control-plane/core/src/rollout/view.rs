//! A rollout as its readers see it.

use super::time::timestamp;
use super::{Approval, Gate, Rollout, act, external, verbs};
use serinus_common::ppm::Ppm;
use serinus_proto::v1;

/// The public form. Fence, fleet, traffic, decision and achieved share are not the log's to know: they are left empty.
#[must_use]
pub fn view(rollout: &Rollout) -> v1::Rollout {
    let approval_deadline = match rollout.approval {
        Approval::Waiting { deadline_ms } => Some(timestamp(deadline_ms)),
        Approval::None | Approval::Given => None,
    };
    let (gate, gate_asked, gate_deadline) = match (&rollout.gate, external::needed(rollout)) {
        (Gate::Waiting { asked, deadline_ms }, Some(gate)) => {
            (gate.name.clone(), *asked, Some(timestamp(*deadline_ms)))
        }
        _ => (String::new(), 0, None),
    };
    v1::Rollout {
        id: rollout.id.clone(),
        model: rollout.model.clone(),
        plan: Some(rollout.plan.clone()),
        state: rollout.state.into(),
        cause: rollout.cause.into(),
        step: act::index(rollout.step),
        split: rollout.split.clone(),
        selector: rollout.selector.clone(),
        epoch: rollout.epoch,
        revision: rollout.revision,
        created: Some(timestamp(rollout.created_ms)),
        updated: Some(timestamp(rollout.updated_ms)),
        step_entered: Some(timestamp(rollout.step_entered_ms)),
        finished: rollout.finished_ms.map(timestamp),
        approval_deadline,
        frozen_until: rollout.frozen.map(|frozen| timestamp(frozen.until_ms)),
        approved: rollout.approval == Approval::Given,
        approved_by: rollout.approved_by.clone(),
        verbs: verbs(rollout).into_iter().map(str::to_owned).collect(),
        reason: rollout.reason.clone(),
        actor: rollout.actor.clone(),
        undoes: rollout.undoes.clone(),
        gate,
        gate_asked,
        gate_deadline,
        ..v1::Rollout::default()
    }
}

impl Rollout {
    /// The canaries' present share in words: "25%".
    pub(super) fn split_percent(&self) -> String {
        super::words::percent(Ppm::new(self.canary_ppm()).unwrap_or(Ppm::ONE))
    }
}
