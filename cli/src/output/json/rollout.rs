//! Rollouts.

use super::{decision, plan, time, word};
use crate::output::words;
use serde_json::{Value, json};
use serinus_proto::v1;

/// One rollout as it is now.
#[must_use]
pub fn rollout(rollout: &v1::Rollout) -> Value {
    json!({
        "id": rollout.id,
        "model": rollout.model,
        "plan": rollout.plan.as_ref().map(plan),
        "ramp": rollout.plan.as_ref().and_then(plan::ramp),
        "state": words::state(rollout.state()),
        "cause": word(words::cause(rollout.cause())),
        "reason": rollout.reason,
        "actor": rollout.actor,
        "undoes": word(&rollout.undoes),
        "step": rollout.step,
        "split": rollout.split,
        "selector": rollout.selector.as_ref().map(selector),
        "achieved_share": rollout.achieved_share,
        "epoch": rollout.epoch,
        "revision": rollout.revision,
        "fence": rollout.fence.as_ref().map(fence),
        "created": time(rollout.created.as_ref()),
        "updated": time(rollout.updated.as_ref()),
        "step_entered": time(rollout.step_entered.as_ref()),
        "finished": time(rollout.finished.as_ref()),
        "gate": word(&rollout.gate),
        "gate_asked": (rollout.gate_asked != 0).then_some(rollout.gate_asked),
        "gate_deadline": time(rollout.gate_deadline.as_ref()),
        "approval_deadline": time(rollout.approval_deadline.as_ref()),
        "approved": rollout.approved,
        "approved_by": word(&rollout.approved_by),
        "frozen_until": time(rollout.frozen_until.as_ref()),
        "queue_position": (rollout.queue_position > 0).then_some(rollout.queue_position),
        "verbs": rollout.verbs,
        "decision": rollout.decision.as_ref().map(decision),
        "fleet": rollout.fleet.as_ref().map(fleet),
        "traffic": rollout.traffic.as_ref().map(traffic),
    })
}

/// Label to its values.
pub(crate) fn selector(selector: &v1::Selector) -> Value {
    let all = selector.labels.iter();
    Value::from_iter(all.map(|(name, of)| (name.clone(), json!(of.values))))
}

pub(super) fn fence(fence: &v1::Fence) -> Value {
    json!({
        "generation": fence.generation,
        "term": fence.term,
        "revision": fence.revision,
    })
}

fn fleet(fleet: &v1::Fleet) -> Value {
    json!({
        "serving": fleet.serving,
        "connected": fleet.connected,
        "current": fleet.current,
        "rejected": fleet.rejected,
        "rejection": fleet.rejection,
        "stable_ready": fleet.stable_ready,
        "canary_ready": fleet.canary_ready,
        "breakers_open": fleet.breakers_open,
        "warming": fleet.warming,
        "canary_not_ready": fleet.canary_not_ready,
        "killed": fleet.killed,
        "reverted": fleet.reverted,
        "stale": fleet.stale,
        "quarantined": fleet.quarantined,
    })
}

/// What was measured: rates per second, and counts since the start of the rollout.
#[must_use]
pub fn traffic(traffic: &v1::Traffic) -> Value {
    json!({
        "requests_per_second": traffic.requests_per_second,
        "canary_per_second": traffic.canary_per_second,
        "stable_requests": traffic.stable_requests,
        "canary_requests": traffic.canary_requests,
        "stable_errors": traffic.stable_errors,
        "canary_errors": traffic.canary_errors,
        "rescued": traffic.rescued,
        "user_errors": traffic.user_errors,
        "exposed_users": traffic.exposed_users,
        "overrides": traffic.overrides,
        "unkeyed": traffic.unkeyed,
        "stable_streams": traffic.stable_streams,
        "canary_streams": traffic.canary_streams,
        "stable_failed_streams": traffic.stable_failed_streams,
        "canary_failed_streams": traffic.canary_failed_streams,
        "stable_output_tokens": traffic.stable_output_tokens,
        "canary_output_tokens": traffic.canary_output_tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    #[test]
    fn fields_are_the_contracts_and_words_the_products() {
        let mut example = fixture::rollout();
        example.fence = Some(v1::Fence {
            generation: 1,
            term: 2,
            revision: 3,
        });
        let value = rollout(&example);
        assert_eq!(value["state"], "RUNNING");
        assert_eq!(value["cause"], Value::Null);
        assert_eq!(value["step"], 1);
        assert_eq!(value["split"], json!({"v1": 0.75, "v2": 0.25}));
        assert_eq!(value["created"], "2026-09-21T14:13:20.000Z");
        assert_eq!(value["finished"], Value::Null);
        assert_eq!(
            value["fence"],
            json!({"generation": 1, "term": 2, "revision": 3})
        );
        assert_eq!(value["fleet"]["current"], 3);
        assert_eq!(value["traffic"]["canary_per_second"], 103.0);
        assert_eq!(value["achieved_share"], 0.2491);
    }

    #[test]
    fn every_field_of_the_contract_is_there() {
        let value = rollout(&fixture::rollout());
        let fields: Vec<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = fields_of("Rollout");
        // Of the plan, which here is the text that was asked for.
        expected.push("ramp".to_owned());
        expected.sort();
        assert_eq!(fields, expected);
    }

    /// The fields of a message as the served descriptors have them.
    fn fields_of(message: &str) -> Vec<String> {
        use prost::Message as _;
        let files =
            prost_types::FileDescriptorSet::decode(serinus_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut messages = files.file.iter().flat_map(|file| &file.message_type);
        let found = messages.find(|found| found.name() == message).unwrap();
        found
            .field
            .iter()
            .map(|field| field.name().to_owned())
            .collect()
    }
}
