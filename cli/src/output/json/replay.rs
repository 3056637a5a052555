//! Decisions made again, and other plans.

use super::{decision, event, guardrail};
use crate::view::number;
use serde_json::{Value, json};
use serinus_core::plan::view;
use serinus_core::replay::{
    Difference, ENGINE_VERSION, Moment, Outcome, Recording, Redecided, Replayed, StepFound, WhatIf,
};
use serinus_core::rollout::timestamp;
use serinus_proto::v1;

/// A recording, made again.
#[must_use]
pub fn replayed(recording: &Recording, replayed: &Replayed) -> Value {
    json!({
        "rollout": recording.header.rollout,
        "revision": recording.header.revision,
        "engine_version": ENGINE_VERSION,
        "recorded_engine_version": recording.engine_version(),
        "slices": replayed.slices,
        "label_slices": replayed.label_slices,
        "recorded_slices": recording.slices.len(),
        "recorded_label_slices": recording.label_slices.len(),
        "decisions": replayed.decisions.iter().map(redecided).collect::<Vec<_>>(),
        "count": replayed.decisions.len(),
        "reproduced": replayed.reproduced(),
        "broken": replayed.broken(),
        "beyond": replayed.beyond(),
    })
}

fn redecided(of: &Redecided) -> Value {
    let (outcome, differences) = match &of.outcome {
        Outcome::Same => ("SAME", &[][..]),
        Outcome::Differs(differences) => ("DIFFERS", differences.as_slice()),
        Outcome::NotStored => ("NOT_STORED", &[][..]),
    };
    json!({
        "outcome": outcome,
        "engine_version": of.engine_version,
        "events": of.events.iter().map(event).collect::<Vec<_>>(),
        "differences": differences.iter().map(difference).collect::<Vec<_>>(),
    })
}

fn difference(of: &Difference) -> Value {
    json!({ "field": of.field, "recorded": of.recorded, "recomputed": of.recomputed })
}

/// What another plan would have found.
#[must_use]
pub fn what_if(recording: &Recording, plan: &v1::Plan, found: &WhatIf) -> Value {
    let differ = found.splits_differ_from_ms.map(rfc3339);
    json!({
        "rollout": recording.header.rollout,
        "engine_version": ENGINE_VERSION,
        "plan": super::plan(plan),
        "rolled_back": found.rolled_back.as_ref().map(|back| json!({
            "moment": moment(back.moment),
            "decision": decision(&back.decision),
        })),
        "steps": found.steps.iter().map(step).collect::<Vec<_>>(),
        "guardrails": plan.guardrails.iter().zip(&found.guardrails).map(|(planned, of)| json!({
            "metric": view::metric_name(planned),
            "harmful": of.harmful.map(moment),
            "safe": of.safe.map(moment),
            "last": guardrail(&of.last),
        })).collect::<Vec<_>>(),
        "really": found.passages.iter().map(|passage| event(&passage.event)).collect::<Vec<_>>(),
        "splits_differ_from": differ,
        "limits": found.limits,
        "end": moment(found.end),
    })
}

fn step(of: &StepFound) -> Value {
    json!({ "share": of.share, "tolerance": of.tolerance, "safe": of.safe.map(moment) })
}

fn moment(of: Moment) -> Value {
    json!({
        "time": rfc3339(of.at_ms),
        "slices": of.slices,
        "label_slices": of.label_slices,
        "canary_requests": of.canary_requests,
    })
}

fn rfc3339(ms: u64) -> String {
    number::rfc3339(&timestamp(ms))
}
