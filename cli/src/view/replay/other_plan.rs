//! What another plan would have found in the recorded slices.

use super::super::guardrail::table;
use super::super::{Options, decision_sentence, event_text, number};
use super::{begun_ms, clean, count, since, title};
use serinus_core::replay::{ENGINE_VERSION, GuardrailFound, Moment, Recording, StepFound, WhatIf};
use serinus_proto::v1;

/// A plan and what it would have found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherPlan<'a> {
    pub(crate) file: &'a str,
    pub(crate) plan: &'a v1::Plan,
    pub(crate) recording: &'a Recording,
    pub(crate) found: &'a WhatIf,
}

/// When it would have rolled back, what its steps would have been allowed, each guardrail at the end, and next to it what
/// really happened; then what this cannot tell.
pub(crate) fn other_plan(other: OtherPlan<'_>, options: Options) -> String {
    let OtherPlan {
        file,
        plan,
        recording,
        found,
    } = other;
    let begun_ms = begun_ms(recording);
    let mut text = title(recording);
    text.push_str(&clean(&format!(
        "under {file}: {} slices and {} label slices folded by engine version {ENGINE_VERSION}",
        number::thousands(found.end.slices),
        number::thousands(found.end.label_slices)
    )));
    text.push_str("\n\n");
    text.push_str(&rolled_back(found, begun_ms));
    for (index, step) in found.steps.iter().enumerate() {
        text.push_str(&self::step(index, step, begun_ms));
    }
    text.push('\n');
    let rows: Vec<v1::GuardrailEvidence> =
        found.guardrails.iter().map(|of| of.last.clone()).collect();
    let lines = table(Some(plan), &rows);
    text.extend(lines.iter().map(|line| line.print(options)));
    for of in &found.guardrails {
        text.push_str(&first(of, begun_ms));
    }
    text.push_str("\nreally\n");
    for passage in &found.passages {
        let at = since(passage.at_ms, begun_ms);
        text.push_str(&clean(&format!(
            "  {at:>9}  {}",
            event_text(&passage.event)
        )));
        text.push('\n');
    }
    text.push_str("\nnot told by this\n");
    text.extend(
        found
            .limits
            .iter()
            .map(|limit| clean(&format!("  - {limit}")) + "\n"),
    );
    text
}

fn rolled_back(found: &WhatIf, begun_ms: u64) -> String {
    let Some(back) = &found.rolled_back else {
        let end = seen(found.end, begun_ms);
        return format!("never rolled back, to the end of the recording {end}\n");
    };
    let sentence = decision_sentence(&back.decision);
    clean(&format!("{}: {sentence}", seen(back.moment, begun_ms))) + "\n"
}

/// When a guardrail first was HARMFUL and SAFE; nothing if it was neither.
fn first(of: &GuardrailFound, begun_ms: u64) -> String {
    let harmful = of
        .harmful
        .map(|at| format!("HARMFUL {}", seen(at, begun_ms)));
    let safe = of
        .safe
        .map(|at| format!("SAFE at tolerance 1 {}", seen(at, begun_ms)));
    let all: Vec<String> = safe.into_iter().chain(harmful).collect();
    if all.is_empty() {
        return String::new();
    }
    clean(&format!("{}: first {}", of.last.name, all.join(", "))) + "\n"
}

fn step(index: usize, step: &StepFound, begun_ms: u64) -> String {
    let when = step.safe.map_or_else(
        || "not SAFE in the recording".to_owned(),
        |moment| format!("SAFE {}", seen(moment, begun_ms)),
    );
    format!(
        "step {} ({}, tolerance {}): {when}\n",
        index + 1,
        number::share(step.share),
        step.tolerance
    )
}

/// `at +12.3s (14 slices, 1,234 canary requests)`.
fn seen(moment: Moment, begun_ms: u64) -> String {
    format!(
        "at {} ({}, {} canary requests)",
        since(moment.at_ms, begun_ms),
        count(moment.slices as usize, "slice"),
        number::thousands(moment.canary_requests)
    )
}
