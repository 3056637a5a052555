//! What the evidence has proven against the canary, so that it is noticed with which slice it was.

use serinus_core::rollout::Rollout;
use serinus_evidence::{Engine as Evidence, Verdict};
use std::collections::BTreeSet;

/// Guardrails that are HARMFUL, or to blame for what all of them prove together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proven(BTreeSet<usize>);

impl Proven {
    /// After the slices folded so far.
    pub(super) fn of(evidence: &Evidence, rollout: &Rollout) -> Self {
        let standing = evidence.stand(rollout.tolerance(), rollout.epoch, rollout.expects_both());
        let verdicts = standing.verdicts.iter().enumerate();
        let harmful = verdicts.filter(|(_, verdict)| **verdict == Verdict::Harmful);
        let blamed = standing.harmful.into_iter().flat_map(|harm| harm.blamed);
        Self(harmful.map(|(index, _)| index).chain(blamed).collect())
    }

    /// What was not proven before.
    pub(super) fn beyond<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = usize> + 'a {
        self.0.difference(&before.0).copied()
    }
}
