//! The live view where there is no terminal: one line per change.

use super::{decision_sentence, header, number};
use crate::output::words;
use serinus_proto::v1;
use std::collections::BTreeMap;

/// What a new line is written for. Counts, rates and the wording of a decision change all the time and are not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    state: v1::State,
    queue_position: u32,
    cause: v1::Cause,
    step: u32,
    epoch: u64,
    split: BTreeMap<String, f64>,
    approval: (bool, bool),
    frozen: bool,
    verdicts: Vec<v1::Verdict>,
    decision: Option<v1::DecisionKind>,
}

impl Change {
    /// What of this rollout would have to differ for a new line.
    #[must_use]
    pub fn of(rollout: &v1::Rollout) -> Self {
        let decision = rollout.decision.as_ref();
        let verdicts = decision.map_or(&[][..], |decision| &decision.guardrails);
        Self {
            state: rollout.state(),
            queue_position: rollout.queue_position,
            cause: rollout.cause(),
            step: rollout.step,
            epoch: rollout.epoch,
            split: rollout.split.clone(),
            approval: (rollout.approval_deadline.is_some(), rollout.approved),
            frozen: rollout.frozen_until.is_some(),
            verdicts: verdicts
                .iter()
                .map(v1::GuardrailEvidence::verdict)
                .collect(),
            decision: decision.map(v1::Decision::kind),
        }
    }
}

/// `2026-09-21T14:13:20.005Z  recommender  CANARY step 2/4  25.00% asked  24.91% got  error rate SAFE  WAIT: ...`.
#[must_use]
pub fn change_line(rollout: &v1::Rollout) -> String {
    let time = rollout
        .updated
        .as_ref()
        .map(number::rfc3339)
        .unwrap_or_default();
    let mut parts = vec![time, rollout.model.clone(), header::stage(rollout)];
    if header::has_split(rollout) {
        let mark = header::is_mismatched(rollout).then_some(header::NOT_TRUSTED);
        parts.push(header::shares(rollout) + mark.unwrap_or_default());
    }
    if let Some(decision) = &rollout.decision {
        let verdicts: Vec<String> = decision.guardrails.iter().map(verdict).collect();
        parts.push(verdicts.join(", "));
        parts.push(decision_sentence(decision));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ").replace(char::is_control, " ")
}

fn verdict(evidence: &v1::GuardrailEvidence) -> String {
    format!("{} {}", evidence.name, words::verdict(evidence.verdict()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    #[test]
    fn a_split_that_is_not_the_one_asked_is_marked() {
        let mut rollout = fixture::rollout();
        let decision = rollout.decision.as_mut().unwrap();
        decision.sample_ratio = Some(v1::SampleRatio {
            mismatch: true,
            ..v1::SampleRatio::default()
        });
        let line = change_line(&rollout);
        assert!(line.contains("24.91% got  MISMATCH  error rate"), "{line}");
    }

    #[test]
    fn one_line_tells_it_all() {
        assert_eq!(
            change_line(&fixture::rollout()),
            "2026-09-21T14:15:34.000Z  recommender  CANARY step 2/4  25.00% asked  24.91% got  \
             error rate SAFE, latency p99 NEED_MORE, accuracy NEED_MORE  \
             WAIT: accuracy needs about 9,000 more labels, about 6 min; then 50%"
        );
    }

    #[test]
    fn counts_are_no_change_and_verdicts_are() {
        let before = fixture::rollout();
        let mut after = before.clone();
        let decision = after.decision.as_mut().unwrap();
        decision.sentence = "WAIT: accuracy needs about 8,000 more labels".into();
        decision.guardrails[2].canary_count += 1;
        assert_eq!(Change::of(&before), Change::of(&after));
        after.decision.as_mut().unwrap().guardrails[2].set_verdict(v1::Verdict::Safe);
        assert_ne!(Change::of(&before), Change::of(&after));
        let mut paused = before.clone();
        paused.set_state(v1::State::Paused);
        assert_ne!(Change::of(&before), Change::of(&paused));
    }
}
