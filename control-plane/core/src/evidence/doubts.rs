//! Verdicts that wait for one more slice, because one sidecar holds most of what the canary does worse.

use crate::rollout::{Facts, Rollout};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeMap;

/// Follows slices in the order in which they are folded: only the last one of its kind can make a verdict wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    requests: String,
    /// By guardrail.
    labels: BTreeMap<u32, String>,
}

impl Doubts {
    /// A slice of requests was folded.
    pub fn follow(&mut self, slice: &stored::Slice) {
        self.requests.clone_from(&slice.doubted);
    }

    /// A slice of labels was folded.
    pub fn follow_labels(&mut self, slice: &stored::LabelSlice) {
        self.labels.insert(slice.guardrail, slice.doubted.clone());
    }

    /// The sidecar for which a verdict waits now; empty if none does.
    #[must_use]
    pub fn doubted(&self) -> &str {
        let labels = self.labels.values().map(String::as_str);
        let mut all = std::iter::once(self.requests.as_str()).chain(labels);
        all.find(|name| !name.is_empty()).unwrap_or_default()
    }

    /// Takes back what is not to be judged yet: verdicts that are not recorded as HARMFUL already.
    #[must_use]
    pub fn apply(&self, facts: Facts, rollout: &Rollout) -> Facts {
        let doubted = self.doubted();
        if doubted.is_empty() {
            return facts;
        }
        let mut facts = Facts {
            doubted: doubted.to_owned(),
            harmful: None,
            ..facts
        };
        for row in &mut facts.guardrails {
            let recorded = rollout.verdicts.get(row.index as usize);
            if row.verdict() == v1::Verdict::Harmful && recorded != Some(&v1::Verdict::Harmful) {
                row.verdict = v1::Verdict::NeedMore.into();
            }
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(doubted: &str) -> stored::Slice {
        stored::Slice {
            doubted: doubted.into(),
            ..stored::Slice::default()
        }
    }

    #[test]
    fn a_doubt_lasts_until_the_next_slice_of_its_kind() {
        let mut doubts = Doubts::default();
        assert_eq!(doubts.doubted(), "");
        doubts.follow(&slice("host-a"));
        doubts.follow_labels(&stored::LabelSlice::default());
        assert_eq!(doubts.doubted(), "host-a");
        doubts.follow(&slice(""));
        assert_eq!(doubts.doubted(), "");
        let labels = stored::LabelSlice {
            guardrail: 2,
            doubted: "host-b".into(),
            ..stored::LabelSlice::default()
        };
        doubts.follow_labels(&labels);
        doubts.follow(&slice(""));
        assert_eq!(doubts.doubted(), "host-b");
    }
}
