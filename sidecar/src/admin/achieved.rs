//! The split that traffic really got, per model since its present epoch began here. Pure.

use crate::shared::VariantTotals;
use crate::table::Route;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Per model, the requests that were assigned since the epoch began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Achieved(BTreeMap<String, Epoch>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Epoch {
    rollout: String,
    epoch: u64,
    before: BTreeMap<String, u64>,
    now: BTreeMap<String, u64>,
}

impl Achieved {
    /// Takes the present counts. A model whose epoch changed starts again.
    pub fn update(&mut self, routes: &[Arc<Route>], totals: &[VariantTotals]) {
        let known = |model: &String| routes.iter().any(|route| route.model == *model);
        self.0.retain(|model, _| known(model));
        for route in routes {
            let of_route = totals
                .iter()
                .filter(|t| t.model == route.model && t.rollout == route.rollout);
            let now: BTreeMap<String, u64> = of_route
                .map(|t| (t.variant.clone(), t.tally.assigned))
                .collect();
            let epoch = self.0.entry(route.model.clone()).or_default();
            if epoch.before.is_empty()
                || (&epoch.rollout, epoch.epoch) != (&route.rollout, route.epoch)
            {
                *epoch = Epoch {
                    rollout: route.rollout.clone(),
                    epoch: route.epoch,
                    before: now.clone(),
                    now: BTreeMap::new(),
                };
            }
            epoch.now = now;
        }
    }

    /// A variant's part of the requests, 0..=1; `None` before there were any.
    #[must_use]
    pub fn share(&self, model: &str, variant: &str) -> Option<f64> {
        let epoch = self.0.get(model)?;
        let since = |(name, n): (&String, &u64)| {
            let before = epoch.before.get(name).copied().unwrap_or(0);
            (name.clone(), n.saturating_sub(before))
        };
        let since: BTreeMap<String, u64> = epoch.now.iter().map(since).collect();
        let all: u64 = since.values().sum();
        let part = since.get(variant).copied().unwrap_or(0);
        (all > 0).then(|| part as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Tally;
    use crate::table::{ModelSpec, Table};

    fn totals(stable: u64, canary: u64) -> Vec<VariantTotals> {
        let of = |variant: &str, assigned| VariantTotals {
            model: "m".into(),
            rollout: String::new(),
            variant: variant.into(),
            tally: Tally {
                assigned,
                ..Tally::default()
            },
            in_flight: 0,
        };
        vec![of("v1", stable), of("v2", canary)]
    }

    fn routes() -> Vec<Arc<Route>> {
        let spec = ModelSpec {
            name: "m".into(),
            matcher: crate::table::Matcher::Default,
            stable_name: "v1".into(),
            stable: vec!["http://127.0.0.1:9001".into()],
            ..ModelSpec::default()
        };
        Table::compile(&[spec], &[], None)
            .unwrap()
            .routes()
            .to_vec()
    }

    #[test]
    fn a_share_is_of_the_requests_since_the_epoch_began() {
        let mut achieved = Achieved::default();
        achieved.update(&routes(), &totals(100, 100));
        assert_eq!(achieved.share("m", "v2"), None);
        achieved.update(&routes(), &totals(190, 110));
        assert_eq!(achieved.share("m", "v2"), Some(0.1));
        assert_eq!(achieved.share("m", "v1"), Some(0.9));
        assert_eq!(achieved.share("x", "v1"), None);
    }
}
