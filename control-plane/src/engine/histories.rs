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
