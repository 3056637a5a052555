//! An event as JSON: the protobuf form of JSON, in an envelope with what a chat needs.

use crate::protojson;
use prost_reflect::{DynamicMessage, OneofDescriptor};
use serde_json::{Value, json};
use serinus_proto::v1;

/// The name of the field of `serinus.v1.Event` that carries what happened, such as `rolled_back`; empty if this program
/// does not know it.
pub(super) fn kind(event: &v1::Event) -> String {
    kind_of(&dynamic(event)).unwrap_or_default()
}

/// Every such name.
pub(super) fn kinds() -> Vec<String> {
    oneof()
        .fields()
        .map(|field| field.name().to_owned())
        .collect()
}

/// What is posted: `{"type": "rolled_back", "timestamp": ..., "text": ..., "data": EVENT}`.
pub(super) fn envelope(event: &v1::Event) -> Value {
    let dynamic = dynamic(event);
    let kind = kind_of(&dynamic).unwrap_or_default();
    let data = protojson::value(&dynamic);
    json!({
        "type": kind,
        "timestamp": data["time"],
        "text": sentence(&kind, event, &data),
        "data": data,
    })
}

/// What happened, in a line.
fn sentence(kind: &str, event: &v1::Event, data: &Value) -> String {
    let content = &data[camel(kind)];
    let mut line = match event.model.as_str() {
        "" => kind.replace('_', " "),
        model => format!("{model}: {}", kind.replace('_', " ")),
    };
    if let Some(variant) = content["variant"].as_str().filter(|name| !name.is_empty()) {
        line += &format!(" {variant}");
    }
    if let Some(cause) = content["cause"].as_str() {
        line += &format!(" ({})", cause.trim_start_matches("CAUSE_"));
    }
    if !matches!(event.actor.as_str(), "" | "serinus") {
        line += &format!(" by {}", event.actor);
    }
    let ruled = content["decision"]["sentence"].as_str().unwrap_or_default();
    let why = if event.reason.is_empty() {
        ruled
    } else {
        &event.reason
    };
    if !why.is_empty() {
        line += &format!(": {why}");
    }
    line
}

fn camel(name: &str) -> String {
    let mut upper = false;
    let mut camel = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            _ if std::mem::take(&mut upper) => camel.push(letter.to_ascii_uppercase()),
            _ => camel.push(letter),
        }
    }
    camel
}

fn kind_of(event: &DynamicMessage) -> Option<String> {
    let set = oneof().fields().find(|field| event.has_field(field));
    set.map(|field| field.name().to_owned())
}

fn dynamic(event: &v1::Event) -> DynamicMessage {
    protojson::dynamic("Event", event)
}

fn oneof() -> OneofDescriptor {
    let event = protojson::descriptor("Event");
    let kind = event.oneofs().find(|of| of.name() == "kind");
    kind.expect("what happened is in a oneof of this name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_core::rollout::timestamp;
    use v1::event::Kind;

    #[test]
    fn an_event_is_protobuf_json_in_an_envelope() {
        let event = v1::Event {
            revision: 9_007_199_254_740_993,
            time: Some(timestamp(1_790_000_000_005)),
            rollout: "r".into(),
            model: "recommender".into(),
            actor: "serinus".into(),
            reason: String::new(),
            kind: Some(Kind::RolledBack(v1::RolledBack {
                cause: v1::Cause::Guardrail.into(),
                variants: vec!["v2".into()],
                decision: Some(v1::Decision {
                    sentence: "error rate is worse".into(),
                    log_e_rollback: f64::INFINITY,
                    ..v1::Decision::default()
                }),
            })),
        };
        let value = envelope(&event);
        assert_eq!(value["type"], "rolled_back");
        assert_eq!(value["timestamp"], "2026-09-21T14:13:20.005Z");
        assert_eq!(
            value["text"],
            "recommender: rolled back (GUARDRAIL): error rate is worse"
        );
        let data = &value["data"];
        assert_eq!(data["revision"], "9007199254740993");
        assert_eq!(data["rolledBack"]["cause"], "CAUSE_GUARDRAIL");
        assert_eq!(data["rolledBack"]["decision"]["logERollback"], "Infinity");
    }

    #[test]
    fn people_are_named() {
        let event = v1::Event {
            model: "m".into(),
            actor: "ana".into(),
            reason: "looks odd".into(),
            kind: Some(Kind::Paused(v1::Paused {
                cause: v1::Cause::Operator.into(),
            })),
            ..v1::Event::default()
        };
        assert_eq!(
            envelope(&event)["text"],
            "m: paused (OPERATOR) by ana: looks odd"
        );
    }

    #[test]
    fn every_kind_has_a_name() {
        let kinds = kinds();
        assert!(
            kinds.len() > 20 && kinds.contains(&"breaker_changed".to_owned()),
            "{kinds:?}"
        );
        let nothing = v1::Event::default();
        assert_eq!(kind(&nothing), "");
        assert_eq!(envelope(&nothing)["type"], "");
    }
}
