//! What is told about each variant, at once when it changes.

use super::apply::Holdings;
use super::follow::Standing;
use crate::shared::BreakerStatus;
use serinus_proto::v1;
use std::collections::BTreeMap;

/// Which variants answer, by model and variant.
pub type Probed = BTreeMap<(String, String), ProbedVariant>;

/// What the checks of a variant's endpoints say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbedVariant {
    /// At least one endpoint answers.
    pub ready: bool,
    /// It is the one that serves when nothing else is known.
    pub stable: bool,
    /// Endpoint to why it does not answer; empty text where it does.
    pub endpoints: BTreeMap<String, String>,
}

pub(super) struct Readiness<'a>(pub(super) &'a Probed);

impl Readiness<'_> {
    pub(super) fn of(&self, model: &str, variant: &str) -> bool {
        let key = (model.to_owned(), variant.to_owned());
        self.0.get(&key).is_some_and(|probed| probed.ready)
    }
}

/// The status of every variant of every assigned model.
pub(super) fn all(
    holdings: &Holdings,
    breakers: &[BreakerStatus],
    readiness: &Readiness<'_>,
) -> Vec<v1::VariantStatus> {
    let mut all = Vec::new();
    for held in &holdings.in_force {
        let assignment = &held.assignment;
        for (position, variant) in assignment.variants.iter().enumerate() {
            let breaker = breakers.iter().find(|breaker| {
                breaker.model == assignment.model
                    && breaker.rollout == assignment.rollout
                    && breaker.variant == variant.name
            });
            all.push(v1::VariantStatus {
                model: assignment.model.clone(),
                rollout: assignment.rollout.clone(),
                variant: variant.name.clone(),
                ready: readiness.of(&assignment.model, &variant.name),
                breaker_open: breaker.is_some_and(|breaker| breaker.open),
                breaker_openings: breaker.map_or(0, |breaker| breaker.openings),
                reverted: position > 0 && matches!(held.standing, Standing::Reverting(_)),
                killed: position > 0 && holdings.killed.covers(&assignment.model),
                latched: position > 0 && held.latched,
                stale: position > 0
                    && !matches!(held.standing, Standing::Unleased | Standing::Fresh),
            });
        }
    }
    all
}
