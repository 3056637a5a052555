//! Where two accounts of the same look differ.

use prost::Message as _;
use serinus_proto::v1;
use std::collections::BTreeMap;
use v1::event::Kind;

/// One field that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// e.g. `decision.guardrails[2].log_e_rollback`.
    pub field: String,
    /// In the log; numbers with all their digits. Empty if it is not there.
    pub recorded: String,
    /// Made again; empty if it is not there.
    pub recomputed: String,
}

/// Compares the events of a look. Two events are the same if their bytes are, so all numbers to the last bit.
pub(super) fn between(recorded: &[v1::Event], recomputed: &[Kind]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for at in 0..recorded.len().max(recomputed.len()) {
        let old = recorded.get(at).and_then(|event| event.kind.as_ref());
        let new = recomputed.get(at);
        if bytes(old) != bytes(new) {
            differences.extend(of_event(at, old, new));
        }
    }
    differences
}

fn bytes(kind: Option<&Kind>) -> Vec<u8> {
    let event = v1::Event {
        kind: kind.cloned(),
        ..v1::Event::default()
    };
    event.encode_to_vec()
}

fn of_event(at: usize, old: Option<&Kind>, new: Option<&Kind>) -> Vec<Difference> {
    let (mut old, mut new) = (fields(old), fields(new));
    old.retain(|field, value| new.get(field) != Some(value) || new.remove(field).is_none());
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |of: &BTreeMap<String, String>, name: &String| of.get(name).cloned();
    let differences: Vec<Difference> = names
        .into_iter()
        .map(|name| Difference {
            field: format!("events[{at}].{name}"),
            recorded: text(&old, name).unwrap_or_default(),
            recomputed: text(&new, name).unwrap_or_default(),
        })
        .collect();
    if differences.is_empty() {
        return vec![Difference {
            field: format!("events[{at}]"),
            recorded: "these bytes".to_owned(),
            recomputed: "others".to_owned(),
        }];
    }
    differences
}

/// Everything that an event says, by the path of the field.
fn fields(kind: Option<&Kind>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    match kind {
        None => {}
        Some(Kind::DecisionMade(made)) => decision(&mut all, made.decision.as_ref()),
        Some(Kind::Held(held)) => {
            all.insert("held".to_owned(), held.cause().as_str_name().to_owned());
            decision(&mut all, held.decision.as_ref());
        }
        Some(Kind::Promoted(promoted)) => {
            all.insert("promoted".to_owned(), promoted.variant.clone());
            decision(&mut all, promoted.decision.as_ref());
        }
        Some(Kind::RolledBack(back)) => {
            let text = format!("{} {:?}", back.cause().as_str_name(), back.variants);
            all.insert("rolled_back".to_owned(), text);
            decision(&mut all, back.decision.as_ref());
        }
        Some(Kind::VerdictChanged(changed)) => {
            let before = changed.before().as_str_name().to_owned();
            all.insert("verdict.before".to_owned(), before);
            if let Some(row) = &changed.evidence {
                guardrail(&mut all, "verdict", row);
            }
        }
        Some(other) => {
            all.insert("event".to_owned(), format!("{other:?}"));
        }
    }
    all
}

fn decision(all: &mut BTreeMap<String, String>, decision: Option<&v1::Decision>) {
    let Some(of) = decision else { return };
    let mut put = |name: &str, value: String| all.insert(format!("decision.{name}"), value);
    put("kind", of.kind().as_str_name().to_owned());
    put("sentence", of.sentence.clone());
    put("log_e_rollback", number(of.log_e_rollback));
    put("log_threshold", number(of.log_threshold));
    put("extra_errors", number(of.extra_errors));
    put("extra_errors_lower", number(of.extra_errors_lower));
    put("extra_errors_budget", number(of.extra_errors_budget));
    put("step", of.step.to_string());
    put("tolerance", number(of.tolerance));
    put("epoch", of.epoch.to_string());
    put("time", format!("{:?}", of.time));
    put("slices", of.slices.to_string());
    put("engine_version", of.engine_version.to_string());
    put("breakers", format!("{:?}", of.breakers));
    put("sample_ratio", format!("{:?}", of.sample_ratio));
    put("phi_users", format!("{:?}", of.phi_users));
    for (index, row) in of.guardrails.iter().enumerate() {
        guardrail(all, &format!("decision.guardrails[{index}]"), row);
    }
}

fn guardrail(all: &mut BTreeMap<String, String>, path: &str, of: &v1::GuardrailEvidence) {
    let mut put = |name: &str, value: String| all.insert(format!("{path}.{name}"), value);
    put("name", of.name.clone());
    put("verdict", of.verdict().as_str_name().to_owned());
    put("stable_value", optional(of.stable_value));
    put("canary_value", optional(of.canary_value));
    put("difference", optional(of.difference));
    put("lower", optional(of.lower));
    put("upper", optional(of.upper));
    put("limit", number(of.limit));
    put("stable_count", of.stable_count.to_string());
    put("canary_count", of.canary_count.to_string());
    put("stable_events", format!("{:?}", of.stable_events));
    put("canary_events", format!("{:?}", of.canary_events));
    put("log_e_rollback", number(of.log_e_rollback));
    put("log_threshold_rollback", number(of.log_threshold_rollback));
    put("log_e_promote", number(of.log_e_promote));
    put("log_threshold_promote", number(of.log_threshold_promote));
    put("phi", number(of.phi));
    put("missing", optional(of.missing));
    put("missing_time", format!("{:?}", of.missing_time));
}

/// The shortest text that only this number has. The wire knows one zero.
fn number(value: f64) -> String {
    format!("{:?}", value + 0.0)
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"))
}
