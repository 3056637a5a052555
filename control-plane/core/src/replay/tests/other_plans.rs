//! The same slices under another plan.

use super::steady;
use super::story::{START_MS, Story, of, plan};
use crate::replay::{WhatIf, what_if};
use serinus_proto::v1::{self, Verdict};

fn with(guardrails: &str) -> v1::Plan {
    let text = format!(
        r#"
model: digits
stable: {{name: v1, endpoints: ["http://127.0.0.1:1"]}}
canary: {{name: v2, endpoints: ["http://127.0.0.1:2"]}}
steps:
  - {{split: {{v2: 0.2, v1: 0.8}}, min_duration: 3s}}
  - {{split: {{v2: 0.5, v1: 0.5}}, min_duration: 3s}}
  - {{split: {{v2: 1.0}}, min_duration: 3s}}
bake: {{duration: 5s, holdback: 0.2}}
guardrails:
{guardrails}"#
    );
    of(&text)
}

/// 3 % errors of the canary, which a margin of 5 % bears, and as right as stable.
fn borne(plan: &v1::Plan) -> WhatIf {
    let recording = Story::of(&steady(0.03, 0.1)).recording();
    what_if(&recording, plan).unwrap()
}

/// 5 % errors take longer to bear, and the traffic is enough to tell them from stable's 1 % meanwhile, though nothing is
/// known of stable before.
fn busy(plan: &v1::Plan) -> WhatIf {
    let mut seconds = steady(0.05, 0.1);
    seconds.iter_mut().for_each(|second| second.requests = 2000);
    let recording = Story::of(&seconds).recording();
    what_if(&recording, plan).unwrap()
}

#[test]
fn the_same_plan_finds_what_happened() {
    let found = borne(&plan());
    assert_eq!(found.rolled_back, None);
    assert!(
        found.steps.iter().all(|step| step.safe.is_some()),
        "{found:#?}"
    );
    assert_eq!(found.splits_differ_from_ms, None, "{found:#?}");
    let recording = Story::of(&steady(0.3, 0.1)).recording();
    let found = what_if(&recording, &plan()).unwrap();
    let back = found.rolled_back.clone().unwrap();
    let really = found.passages.last().unwrap();
    assert!(matches!(
        really.event.kind,
        Some(v1::event::Kind::RolledBack(_))
    ));
    assert_eq!(back.moment.at_ms, really.at_ms);
    assert!(
        back.decision
            .sentence
            .starts_with("ROLL BACK v2: error rate")
    );
    assert_eq!(found.splits_differ_from_ms, None, "{found:#?}");
}

#[test]
fn a_narrower_margin_finds_harm() {
    let found = busy(&with("  - {metric: error_rate, margin: 0.0001}\n"));
    let back = found.rolled_back.clone().unwrap();
    assert!(back.moment.at_ms > START_MS && back.moment.slices == found.end.slices);
    assert_eq!(found.guardrails[0].last.verdict(), Verdict::Harmful);
    assert_eq!(found.guardrails[0].harmful, Some(back.moment));
    // The recorded rollout went on where this one would have waited, or the other way round.
    assert!(found.splits_differ_from_ms.is_some());
    assert!(
        found.limits[0].contains("split otherwise"),
        "{:?}",
        found.limits
    );
}

#[test]
fn labels_that_were_not_collected_are_told() {
    let found = borne(&with(
        "  - {metric: accuracy, margin: 0.2, label_window: 10s}\n  - {metric: outcome:click, direction: higher_is_better, margin: 0.1, label_window: 3s, required: false}\n",
    ));
    let told = found.limits.join("\n");
    assert!(told.contains("outcome:click: no labels of it"), "{told}");
    assert!(
        told.contains("accuracy: its labels were sealed 3s after"),
        "{told}"
    );
    assert!(found.guardrails[0].safe.is_some(), "{found:#?}");
    assert_eq!(found.guardrails[1].last.verdict(), Verdict::NoEvidence);
}

#[test]
fn another_first_share_holds_from_the_start() {
    let mut plan = plan();
    plan.steps.remove(0);
    assert_eq!(borne(&plan).splits_differ_from_ms, Some(START_MS));
}
