//! What is known of each model's stable variant, for the rollout that may begin.

use serinus_core::ledger::counts::Counts;
use serinus_core::ledger::history::History;
use std::collections::BTreeMap;

/// By model.
#[derive(Debug, Default)]
pub(super) struct Histories(BTreeMap<String, History>);

impl Histories {
    /// Of one model, if anything is known.
    pub(super) fn of(&self, model: &str) -> Option<&History> {
        self.0.get(model)
    }

    /// Adds what a cell says of its variants. Without a name for stable every variant is it: before a model's first
    /// rollout nothing else answers.
    pub(super) fn absorb(
        &mut self,
        model: &str,
        stable: Option<&str>,
        second: u64,
        counts: &[(&str, Counts)],
        now_s: u64,
    ) {
        let (mut of_stable, mut others) = (Counts::default(), 0);
        for (variant, counts) in counts {
            if stable.is_none_or(|name| name == *variant) {
                of_stable.merge(counts);
            } else {
                others += counts.requests();
            }
        }
        self.add(model, second, now_s, &of_stable, others);
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
    use serinus_common::class::Class;

    fn counts<'a>(of: &[(&'a str, u64)]) -> Vec<(&'a str, Counts)> {
        let one = |&(name, ok): &(&'a str, u64)| {
            let mut counts = Counts::default();
            counts.classes[Class::Ok as usize] = ok;
            (name, counts)
        };
        of.iter().map(one).collect()
    }

    fn requests(histories: &Histories, now_s: u64) -> Option<Vec<u64>> {
        let frozen = histories.of("m")?.freeze(now_s)?;
        Some(frozen.requests)
    }

    #[test]
    fn only_what_stable_answered_is_known_of_it() {
        let mut histories = Histories::default();
        // Before the first rollout it has whatever name the sidecar's file gives it.
        histories.absorb("m", None, 10, &counts(&[("stable", 5)]), 11);
        // A sidecar that has not heard of a promotion, and one that has.
        let behind = counts(&[("v1", 7)]);
        let both = counts(&[("v1", 2), ("v2", 8)]);
        for (second, of) in [(11, behind), (12, both)] {
            histories.absorb("m", Some("v2"), second, &of, 13);
        }
        assert_eq!(requests(&histories, 14), Some(vec![5, 0, 8]));
        histories.begin_anew("m");
        assert_eq!(requests(&histories, 14), None);
        histories.forget(5_000);
        assert!(histories.of("m").is_none());
    }
}
