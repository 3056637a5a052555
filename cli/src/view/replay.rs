//! Decisions made again: `serinus rollout replay`.

mod other_plan;

pub(crate) use other_plan::{OtherPlan, other_plan};

use super::{decision_sentence, event_text, header, number};
use serinus_core::replay::{Difference, ENGINE_VERSION, Outcome, Recording, Redecided, Replayed};
use serinus_proto::v1::{self, event::Kind};

/// A line per decision, what differs below it, and how many came out the same.
pub(crate) fn replayed(recording: &Recording, replayed: &Replayed) -> String {
    let mut text = title(recording);
    text.push_str(&format!(
        "{} of {} slices and {} of {} label slices folded, up to the last decision; begun under engine version {}, this is \
         {ENGINE_VERSION}\n\n",
        number::thousands(replayed.slices),
        number::thousands(recording.slices.len() as u64),
        number::thousands(replayed.label_slices),
        number::thousands(recording.label_slices.len() as u64),
        recording.engine_version()
    ));
    let begun_ms = begun_ms(recording);
    for decision in &replayed.decisions {
        text.push_str(&line(decision, begun_ms));
        if let Outcome::Differs(differences) = &decision.outcome {
            text.extend(differences.iter().map(difference));
        }
    }
    text.push('\n');
    text.push_str(&verdict(replayed));
    text
}

fn title(recording: &Recording) -> String {
    let model = recording.created().map_or("", |(event, _)| &event.model);
    let from_to = header::from_to(recording.plan().ok());
    let id = &recording.header.rollout;
    clean(&format!("{model}  {from_to}   rollout {id}")) + "\n"
}

fn begun_ms(recording: &Recording) -> u64 {
    let created = recording.created().ok().and_then(|(event, _)| event.time);
    created.as_ref().map_or(0, number::unix_ms)
}

fn line(decision: &Redecided, begun_ms: u64) -> String {
    let first = decision.events.first();
    let revision = first.map_or(0, |event| event.revision);
    let at_ms = first
        .and_then(|event| event.time.as_ref())
        .map_or(0, number::unix_ms);
    let word = match &decision.outcome {
        Outcome::Same => "same",
        Outcome::Differs(_) => "DIFFERS",
        Outcome::NotStored => "not stored",
    };
    let at = since(at_ms, begun_ms);
    clean(&format!(
        "{revision:>6}  {at:>9}  {word:10}  {}",
        what(decision)
    )) + "\n"
}

/// `+12.3s`, since the start of the rollout.
fn since(at_ms: u64, begun_ms: u64) -> String {
    format!("+{:.1}s", at_ms.saturating_sub(begun_ms) as f64 / 1000.0)
}

/// The sentence of the decision, else what the first event says.
pub(crate) fn what(decision: &Redecided) -> String {
    let sentence = decision.events.iter().find_map(sentence);
    let changed = decision.events.iter().filter(|event| is_verdict(event));
    let mut parts: Vec<String> = changed.map(event_text).collect();
    parts.extend(sentence);
    if parts.is_empty() {
        parts.extend(decision.events.first().map(event_text));
    }
    parts.join("; ")
}

fn is_verdict(event: &v1::Event) -> bool {
    matches!(event.kind, Some(Kind::VerdictChanged(_)))
}

fn sentence(event: &v1::Event) -> Option<String> {
    let decision = match event.kind.as_ref()? {
        Kind::DecisionMade(made) => made.decision.as_ref(),
        Kind::Held(held) => held.decision.as_ref(),
        Kind::Promoted(promoted) => promoted.decision.as_ref(),
        Kind::RolledBack(back) => back.decision.as_ref(),
        _ => None,
    };
    decision.map(decision_sentence)
}

fn difference(difference: &Difference) -> String {
    let Difference {
        field,
        recorded,
        recomputed,
    } = difference;
    clean(&format!(
        "{:31}{field}: recorded {recorded}, made again {recomputed}",
        ""
    )) + "\n"
}

fn verdict(replayed: &Replayed) -> String {
    let (all, same) = (replayed.decisions.len(), replayed.reproduced());
    if same == all {
        let decisions = count(all, "decision");
        return format!("{decisions}, all reproduced bit for bit\n");
    }
    let mut text = format!("{}, {same} reproduced bit for bit", count(all, "decision"));
    if replayed.broken() > 0 {
        text.push_str(&format!(
            "; {} DIFFER: the data or the program is not what it was",
            replayed.broken()
        ));
    }
    text.push('\n');
    if let Some(version) = other_version(replayed) {
        text.push_str(&format!(
            "decided by engine version {version}; this is {ENGINE_VERSION}: the record is readable, a recomputation may differ\n"
        ));
    }
    if replayed
        .decisions
        .iter()
        .any(|of| of.outcome == Outcome::NotStored)
    {
        text.push_str(
            "not stored: what the control plane knew beyond the slices was not recorded then\n",
        );
    }
    text
}

/// Of a decision that this engine is not held to.
fn other_version(replayed: &Replayed) -> Option<u32> {
    let versions = replayed.decisions.iter().map(|of| of.engine_version);
    versions
        .into_iter()
        .find(|&version| version != ENGINE_VERSION)
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", number::thousands(number as u64))
}

/// Text of others must not move the cursor.
fn clean(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests;
