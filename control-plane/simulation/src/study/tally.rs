//! What became of the replicas of one case.

use crate::proportion::{Interval, clopper_pearson};
use crate::quantile::quantile;
use crate::trial::{End, Outcome};
use serinus_proto::v1::Cause;
use std::collections::BTreeMap;

/// What the contract's names of causes begin with.
const PREFIX: &str = "CAUSE_";

/// Counts and times over the replicas of one case.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    replicas: u64,
    rolled_back: u64,
    promoted: u64,
    rollback_s: Vec<f64>,
    promoted_s: Vec<f64>,
    served: Vec<f64>,
    causes: BTreeMap<&'static str, u64>,
    blamed: BTreeMap<usize, u64>,
}

impl Tally {
    /// Of these outcomes.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut tally = Self::default();
        outcomes.iter().for_each(|outcome| tally.add(outcome));
        tally
    }

    fn add(&mut self, outcome: &Outcome) {
        self.replicas += 1;
        match &outcome.end {
            End::RolledBack { cause, guardrails } => {
                self.rolled_back += 1;
                self.rollback_s.push(outcome.at_s);
                self.served.push(outcome.canary.n as f64);
                self.count(*cause);
                for guardrail in guardrails {
                    *self.blamed.entry(*guardrail).or_default() += 1;
                }
            }
            End::Promoted => {
                self.promoted += 1;
                self.promoted_s.push(outcome.at_s);
            }
            End::Held(cause) => self.count(*cause),
            End::Undecided => {}
        }
    }

    fn count(&mut self, cause: Cause) {
        *self
            .causes
            .entry(cause.as_str_name().trim_start_matches(PREFIX))
            .or_default() += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn replicas(&self) -> u64 {
        self.replicas
    }

    /// How many were rolled back.
    #[must_use]
    pub fn rolled_back(&self) -> u64 {
        self.rolled_back
    }

    /// How many entered the step that gives the canary everything.
    #[must_use]
    pub fn promoted(&self) -> u64 {
        self.promoted
    }

    /// Probability of a rollback, with its 95 % interval.
    #[must_use]
    pub fn rollback(&self) -> (f64, Interval) {
        self.share(self.rolled_back)
    }

    /// Probability of a promotion, with its 95 % interval.
    #[must_use]
    pub fn promotion(&self) -> (f64, Interval) {
        self.share(self.promoted)
    }

    /// Share of those that were neither rolled back nor promoted.
    #[must_use]
    pub fn open(&self) -> f64 {
        self.share(self.replicas - self.rolled_back - self.promoted)
            .0
    }

    fn share(&self, hits: u64) -> (f64, Interval) {
        let share = hits as f64 / (self.replicas.max(1)) as f64;
        (share, clopper_pearson(hits, self.replicas))
    }

    /// Median time to the rollback of those rolled back, in seconds.
    #[must_use]
    pub fn rollback_s(&self) -> Option<f64> {
        quantile(&self.rollback_s, 0.5)
    }

    /// Median time to full share of those promoted, in seconds.
    #[must_use]
    pub fn promoted_s(&self) -> Option<f64> {
        quantile(&self.promoted_s, 0.5)
    }

    /// Median of the requests that the canary served until its rollback.
    #[must_use]
    pub fn served(&self) -> Option<f64> {
        quantile(&self.served, 0.5)
    }

    /// Why rollouts were rolled back or held, by the product's words.
    #[must_use]
    pub fn causes(&self) -> &BTreeMap<&'static str, u64> {
        &self.causes
    }

    /// The most frequent of these causes; for a guardrail with the position of the one blamed most.
    #[must_use]
    pub fn main_cause(&self) -> Option<(&'static str, Option<usize>)> {
        let (cause, _) = self.causes.iter().max_by_key(|(_, count)| **count)?;
        let guardrail = self.blamed.iter().max_by_key(|(_, count)| **count);
        let is_guardrail = *cause == Cause::Guardrail.as_str_name().trim_start_matches(PREFIX);
        Some((
            cause,
            guardrail.map(|(index, _)| *index).filter(|_| is_guardrail),
        ))
    }
}
