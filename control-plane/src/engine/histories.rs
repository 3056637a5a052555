//! What is known of each model's stable variant, for the rollout that may begin.

use serinus_core::ledger::counts::{Counts, CountsError};
use serinus_core::ledger::history::History;
use serinus_proto::v1;
use std::collections::BTreeMap;

/// By model.
#[derive(Debug, Default)]
pub(super) struct Histories(BTreeMap<String, History>);

impl Histories {
    /// Of one model, if anything is known.
    pub(super) fn of(&self, model: &str) -> Option<&History> {
        self.0.get(model)
    }

    /// Adds what a cell says. Without a name for stable every variant is it: before a model's first rollout nothing
    /// else answers.
    ///
    /// # Errors
    /// If the counts cannot be true: nothing is added.
    pub(super) fn absorb(
        &mut self,
        model: &str,
        stable: Option<&str>,
        cell: &v1::Cell,
        now_s: u64,
    ) -> Result<(), CountsError> {
        let (mut of_stable, mut others) = (Counts::default(), 0);
        for variant in &cell.variants {
            let counts = Counts::from_wire(variant)?;
            if stable.is_none_or(|name| name == variant.variant) {
                of_stable.merge(&counts);
            } else {
                others += counts.requests();
            }
        }
        self.add(model, cell.second, now_s, &of_stable, others);
        Ok(())
    }

    /// The same for counts that were checked.
    pub(super) fn add(
        &mut self,
        model: &str,
        second: u64,
        now_s: u64,
        stable: &Counts,
        others: u64,
    ) {
        if !self.0.contains_key(model) {
            self.0.insert(model.to_owned(), History::default());
        }
        if let Some(history) = self.0.get_mut(model) {
            history.absorb(second, now_s, stable, others);
        }
    }

    /// The model's stable is another one now: of that one nothing is known.
    pub(super) fn begin_anew(&mut self, model: &str) {
        if let Some(history) = self.0.get_mut(model) {
            history.begin_anew();
        }
    }

    /// Models of which nothing was heard for long are forgotten.
    pub(super) fn forget(&mut self, now_s: u64) {
        self.0.retain(|_, history| !history.is_over(now_s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(second: u64, counts: &[(&str, u64)]) -> v1::Cell {
        let variant = |&(name, ok): &(&str, u64)| v1::VariantCell {
            variant: name.into(),
            ok,
            ..v1::VariantCell::default()
        };
        v1::Cell {
            second,
            variants: counts.iter().map(variant).collect(),
            ..v1::Cell::default()
        }
    }

    fn requests(histories: &Histories, now_s: u64) -> Option<Vec<u64>> {
        let frozen = histories.of("m")?.freeze(now_s)?;
        Some(frozen.requests)
    }

    #[test]
    fn only_what_stable_answered_is_known_of_it() {
        let mut histories = Histories::default();
        // Before the first rollout it has whatever name the sidecar's file gives it.
        let first = cell(10, &[("stable", 5)]);
        histories.absorb("m", None, &first, 11).unwrap();
        // A sidecar that has not heard of a promotion, and one that has.
        let behind = cell(11, &[("v1", 7)]);
        let both = cell(12, &[("v1", 2), ("v2", 8)]);
        for of in [behind, both] {
            histories.absorb("m", Some("v2"), &of, 13).unwrap();
        }
        assert_eq!(requests(&histories, 14), Some(vec![5, 0, 8]));
        histories.begin_anew("m");
        assert_eq!(requests(&histories, 14), None);
        histories.forget(5_000);
        assert!(histories.of("m").is_none());
    }

    #[test]
    fn counts_that_cannot_be_true_add_nothing() {
        let mut histories = Histories::default();
        let good = cell(10, &[("v1", 5)]);
        histories.absorb("m", Some("v1"), &good, 11).unwrap();
        let bad = cell(10, &[("v1", 5), ("v2", u64::MAX)]);
        assert!(histories.absorb("m", Some("v1"), &bad, 11).is_err());
        assert_eq!(requests(&histories, 12), Some(vec![5]));
    }
}
