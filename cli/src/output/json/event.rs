//! Events: `kind` names the one field that carries the content.

use super::rollout::fence;
use super::{decision, guardrail, model::variant, plan, selector, time, word};
use crate::output::words;
use serde_json::{Value, json};
use serinus_proto::v1::{self, event::Kind};

/// One entry of the log, e.g. `{"revision": 7, "kind": "SPLIT_CHANGED", "split_changed": {"epoch": 2, ...}, ...}`.
#[must_use]
pub fn event(event: &v1::Event) -> Value {
    let mut value = json!({
        "revision": event.revision,
        "time": time(event.time.as_ref()),
        "rollout": event.rollout,
        "model": event.model,
        "actor": event.actor,
        "reason": event.reason,
        "kind": null,
    });
    if let Some(kind) = &event.kind {
        let (field, content) = content(kind);
        value["kind"] = field.to_uppercase().into();
        value[field] = content;
    }
    value
}

fn content(kind: &Kind) -> (&'static str, Value) {
    match kind {
        Kind::Created(e) => (
            "created",
            json!({
                "plan": e.plan.as_ref().map(plan),
                "ramp": e.plan.as_ref().and_then(plan::ramp),
                "undoes": word(&e.undoes),
            }),
        ),
        Kind::StepEntered(e) => (
            "step_entered",
            json!({ "step": e.step, "warmup": e.warmup }),
        ),
        Kind::SplitChanged(e) => ("split_changed", split_changed(e)),
        Kind::VerdictChanged(e) => (
            "verdict_changed",
            json!({
                "before": words::verdict(e.before()),
                "evidence": e.evidence.as_ref().map(guardrail),
            }),
        ),
        Kind::DecisionMade(e) => (
            "decision_made",
            with_decision(e.decision.as_ref(), json!({})),
        ),
        Kind::Paused(e) => ("paused", json!({ "cause": word(words::cause(e.cause())) })),
        Kind::Resumed(e) => ("resumed", json!({ "step": e.step })),
        Kind::Held(e) => {
            let cause = json!({ "cause": word(words::cause(e.cause())) });
            ("held", with_decision(e.decision.as_ref(), cause))
        }
        Kind::ApprovalRequested(e) => (
            "approval_requested",
            json!({ "deadline": time(e.deadline.as_ref()) }),
        ),
        Kind::GateAsked(e) => (
            "gate_asked",
            json!({ "gate": e.gate, "deadline": time(e.deadline.as_ref()) }),
        ),
        Kind::GateAnswered(e) => (
            "gate_answered",
            json!({ "gate": e.gate, "approved": e.approved, "asked": e.asked }),
        ),
        Kind::Approved(_) => ("approved", json!({})),
        Kind::BakeStarted(e) => ("bake_started", json!({ "until": time(e.until.as_ref()) })),
        Kind::Promoted(e) => {
            let variant = json!({ "variant": e.variant });
            ("promoted", with_decision(e.decision.as_ref(), variant))
        }
        Kind::RolledBack(e) => {
            let cause = word(words::cause(e.cause()));
            let value = json!({ "cause": cause, "variants": e.variants });
            ("rolled_back", with_decision(e.decision.as_ref(), value))
        }
        Kind::FreezeBegan(e) => ("freeze_began", json!({ "until": time(e.until.as_ref()) })),
        Kind::CapLifted(_) => ("cap_lifted", json!({})),
        Kind::FreezeEnded(_) => ("freeze_ended", json!({})),
        Kind::Queued(e) => ("queued", json!({ "plan": e.plan.as_ref().map(plan) })),
        Kind::Cancelled(e) => {
            let violation = |v: &v1::Violation| json!({ "path": v.path, "message": v.message });
            let violations = e.violations.iter().map(violation).collect::<Vec<_>>();
            let cause = word(words::cause(e.cause()));
            (
                "cancelled",
                json!({ "cause": cause, "violations": violations }),
            )
        }
        other => fleet_content(other),
    }
}

fn fleet_content(kind: &Kind) -> (&'static str, Value) {
    match kind {
        Kind::SelectionChanged(e) => (
            "selection_changed",
            json!({ "sidecar": e.sidecar, "selected": e.selected }),
        ),
        Kind::SidecarLost(e) => ("sidecar_lost", json!({ "sidecar": e.sidecar })),
        Kind::AssignmentRejected(e) => (
            "assignment_rejected",
            json!({ "sidecar": e.sidecar, "detail": e.detail }),
        ),
        Kind::ModelChanged(e) => (
            "model_changed",
            json!({ "stable": e.stable.as_ref().map(variant) }),
        ),
        Kind::BreakerChanged(e) => (
            "breaker_changed",
            json!({ "sidecar": e.sidecar, "variant": e.variant, "open": e.open }),
        ),
        Kind::Restored(e) => (
            "restored",
            json!({ "generation": e.generation, "revision": e.revision, "detail": e.detail }),
        ),
        Kind::FenceRegressed(e) => (
            "fence_regressed",
            json!({
                "sidecar": e.sidecar,
                "held": e.held.as_ref().map(fence),
                "newest": e.newest.as_ref().map(fence),
            }),
        ),
        // Incarnations are text: they are random and may be larger than the whole numbers that JSON readers keep.
        Kind::SidecarQuarantined(e) => (
            "sidecar_quarantined",
            json!({ "sidecar": e.sidecar, "incarnation": e.incarnation.to_string(), "why": e.why }),
        ),
        Kind::SidecarReleased(e) => (
            "sidecar_released",
            json!({ "sidecar": e.sidecar, "incarnation": e.incarnation.to_string() }),
        ),
        Kind::OverrideChanged(e) => (
            "override_changed",
            json!({ "sidecar": e.sidecar, "killed": e.killed }),
        ),
        // `content` has the others.
        _ => ("unknown", Value::Null),
    }
}

fn split_changed(e: &v1::SplitChanged) -> Value {
    json!({
        "epoch": e.epoch,
        "split": e.split,
        "shares": e.shares.iter().map(share).collect::<Vec<_>>(),
        "selector": e.selector.as_ref().map(selector),
    })
}

fn share(share: &v1::Share) -> Value {
    let range = |range: &v1::BucketRange| json!({ "start": range.start, "end": range.end });
    json!({
        "variant": share.variant,
        "ppm": share.ppm,
        "ranges": share.ranges.iter().map(range).collect::<Vec<_>>(),
    })
}

fn with_decision(evidence: Option<&v1::Decision>, mut value: Value) -> Value {
    value["decision"] = evidence.map(decision).into();
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    fn json_of(kind: Kind) -> Value {
        event(&v1::Event {
            kind: Some(kind),
            ..fixture::event()
        })
    }

    #[test]
    fn the_kind_names_the_field_with_the_content() {
        let value = json_of(Kind::SplitChanged(v1::SplitChanged {
            epoch: 2,
            split: [("v2".to_owned(), 0.1)].into(),
            shares: vec![v1::Share {
                variant: "v2".into(),
                ppm: 100_000,
                ranges: vec![v1::BucketRange {
                    start: 0,
                    end: 100_000,
                }],
            }],
            ..v1::SplitChanged::default()
        }));
        assert_eq!(value["kind"], "SPLIT_CHANGED");
        assert_eq!(value["revision"], 17);
        assert_eq!(value["time"], "2026-09-21T14:13:20.005Z");
        let shares = &value["split_changed"]["shares"][0];
        assert_eq!(shares["ranges"], json!([{"start": 0, "end": 100_000}]));
    }

    #[test]
    fn endings_carry_cause_and_decision() {
        let value = json_of(Kind::RolledBack(v1::RolledBack {
            cause: v1::Cause::Guardrail.into(),
            variants: vec!["v2".into()],
            decision: fixture::rollout().decision,
        }));
        assert_eq!(value["rolled_back"]["cause"], "GUARDRAIL");
        assert_eq!(value["rolled_back"]["decision"]["kind"], "CONTINUE");
        let value = json_of(Kind::Held(v1::Held {
            cause: v1::Cause::NoTraffic.into(),
            decision: None,
        }));
        assert_eq!(
            value["held"],
            json!({"cause": "NO_TRAFFIC", "decision": null})
        );
    }

    #[test]
    fn no_kind_falls_through() {
        let fleet = [
            Kind::SelectionChanged(v1::SelectionChanged::default()),
            Kind::SidecarLost(v1::SidecarLost::default()),
            Kind::AssignmentRejected(v1::AssignmentRejected::default()),
            Kind::ModelChanged(v1::ModelChanged::default()),
            Kind::BreakerChanged(v1::BreakerChanged::default()),
            Kind::FenceRegressed(v1::FenceRegressed::default()),
            Kind::SidecarQuarantined(v1::SidecarQuarantined::default()),
            Kind::SidecarReleased(v1::SidecarReleased::default()),
            Kind::OverrideChanged(v1::OverrideChanged::default()),
        ];
        for kind in fleet {
            let value = json_of(kind);
            assert_ne!(value["kind"], "UNKNOWN");
        }
    }
}
