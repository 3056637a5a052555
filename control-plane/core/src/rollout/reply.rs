//! Parts of the messages to whoever was refused.

use serinus_proto::v1::{self, State};

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Unspecified => "in an unknown state",
        State::WarmingUp => "WARMING_UP",
        State::Running => "RUNNING",
        State::Paused => "PAUSED",
        State::Held => "HELD",
        State::Baking => "BAKING",
        State::Promoted => "PROMOTED",
        State::RolledBack => "ROLLED_BACK",
        State::Queued => "QUEUED",
        State::Cancelled => "CANCELLED",
    }
}

pub(super) fn hint(state: State, verb: &str) -> &'static str {
    match (state, verb) {
        (State::Promoted, "rollback") => {
            " (its canary is the model's stable now: undo takes that back)"
        }
        (_, "undo") => " (rollback takes it back)",
        (State::Held, "resume") => " at the end of its plan",
        _ => "",
    }
}

pub(super) fn instead(verbs: &[&str]) -> String {
    if verbs.is_empty() {
        return "it has ended, a new one starts with apply".to_owned();
    }
    format!("possible now: {}", verbs.join(", "))
}

pub(super) fn list(violations: &[v1::Violation]) -> String {
    let lines: Vec<String> = violations
        .iter()
        .map(|v| format!("{}: {}", v.path, v.message))
        .collect();
    lines.join("\n")
}
