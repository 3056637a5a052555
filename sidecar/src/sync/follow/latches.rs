//! Rollouts, or variants of them, whose canaries are never served again.

use crate::sync::saved;
use std::collections::{BTreeMap, BTreeSet};

/// Grows only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latches(BTreeMap<String, Latched>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Latched {
    All,
    Variants(BTreeSet<String>),
}

impl Latches {
    /// Latches one variant, or with an empty name all canaries of a rollout. Says whether that is news.
    pub(crate) fn add(&mut self, rollout: &str, variant: &str) -> bool {
        if rollout.is_empty() {
            return false;
        }
        let latched = self
            .0
            .entry(rollout.to_owned())
            .or_insert_with(|| Latched::Variants(BTreeSet::new()));
        match (latched, variant) {
            (Latched::All, _) => false,
            (latched, "") => {
                *latched = Latched::All;
                true
            }
            (Latched::Variants(names), name) => names.insert(name.to_owned()),
        }
    }

    /// Whether a canary of a rollout is latched.
    pub(crate) fn covers(&self, rollout: &str, variant: &str) -> bool {
        match self.0.get(rollout) {
            None => false,
            Some(Latched::All) => true,
            Some(Latched::Variants(names)) => names.contains(variant),
        }
    }

    /// Whether all canaries of a rollout are latched, whatever they are called.
    pub(crate) fn covers_all(&self, rollout: &str) -> bool {
        matches!(self.0.get(rollout), Some(Latched::All))
    }

    pub(crate) fn save(&self) -> Vec<saved::Latch> {
        let save = |(rollout, latched): (&String, &Latched)| saved::Latch {
            rollout: rollout.clone(),
            variants: match latched {
                Latched::All => Vec::new(),
                Latched::Variants(names) => names.iter().cloned().collect(),
            },
        };
        self.0.iter().map(save).collect()
    }

    pub(crate) fn load(&mut self, saved: &[saved::Latch]) {
        for latch in saved {
            if latch.variants.is_empty() {
                self.add(&latch.rollout, "");
            }
            for variant in &latch.variants {
                self.add(&latch.rollout, variant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_covers_its_variants() {
        let mut latches = Latches::default();
        assert!(latches.add("r", "v2"));
        assert!(!latches.add("r", "v2"));
        assert!(latches.covers("r", "v2") && !latches.covers("r", "v3"));
        assert!(latches.add("r", ""));
        assert!(!latches.add("r", "v3"));
        assert!(latches.covers("r", "v3") && latches.covers_all("r"));
        assert!(!latches.covers("other", "v2"));
        assert!(!latches.add("", "v2"));
    }

    #[test]
    fn they_survive_a_restart() {
        let mut latches = Latches::default();
        latches.add("a", "");
        latches.add("b", "v2");
        let mut again = Latches::default();
        again.load(&latches.save());
        assert_eq!(again, latches);
    }
}
