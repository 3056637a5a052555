//! What each sidecar adds to the canary's failures: so that one sidecar alone is not taken for the canary.

use super::cells::Pair;
use super::counts::Counts;
use serinus_common::sketch::Sketch;
use serinus_proto::v1::{self, guardrail::Metric, labelled::Direction};
use std::collections::BTreeMap;

/// With fewer sources each of them holds much, and leaving one out says little.
const SOURCES: usize = 4;

/// Bad ones among all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counted {
    bad: f64,
    all: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Arms {
    canary: Counted,
    stable: Counted,
}

impl Arms {
    fn of(&mut self, is_canary: bool) -> &mut Counted {
        if is_canary {
            &mut self.canary
        } else {
            &mut self.stable
        }
    }
}

/// What is counted of a report for a guardrail. A latency guardrail has one for each of its quantiles.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Errors,
    Latency { quantile: f64 },
    Labels { good: bool },
}

/// Counts of one guardrail, since the start of this process.
#[derive(Clone, Debug)]
struct Tally {
    guardrail: usize,
    kind: Kind,
    /// By issuer number.
    sources: BTreeMap<u64, Arms>,
}

/// The sources of one rollout's evidence.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    tallies: Vec<Tally>,
    /// Latencies of stable, of all sources; only where a guardrail asks for them.
    stable: Sketch,
}

impl Sources {
    /// For the guardrails of a plan. Absolute limits are not among them: they do not wait for anybody.
    #[must_use]
    pub fn new(plan: &v1::Plan) -> Self {
        let kinds = plan.guardrails.iter().enumerate();
        let tallies = kinds.flat_map(|(guardrail, of)| {
            let kinds = kinds_of(of).into_iter();
            kinds.map(move |kind| Tally {
                guardrail,
                kind,
                sources: BTreeMap::new(),
            })
        });
        Self {
            tallies: tallies.collect(),
            stable: Sketch::default(),
        }
    }

    /// Adds what one source counted.
    pub fn absorb(&mut self, source: u64, pair: &Pair) {
        let mut timed = false;
        for tally in &mut self.tallies {
            let bad = |counts: &Counts| match tally.kind {
                Kind::Errors => Some((counts.errors(), counts.requests())),
                Kind::Latency { quantile } => {
                    let edge = self.stable.quantile_bucket(quantile)?;
                    let over = counts.latency.iter().filter(|&(index, _)| index > edge);
                    Some((over.map(|(_, n)| n).sum(), counts.latency.total()))
                }
                Kind::Labels { .. } => None,
            };
            timed |= matches!(tally.kind, Kind::Latency { .. });
            for (counts, is_canary) in [(&pair.canary, true), (&pair.stable, false)] {
                let Some((bad, all)) = bad(counts).filter(|&(_, all)| all > 0) else {
                    continue;
                };
                let of = tally.sources.entry(source).or_default().of(is_canary);
                of.bad += bad as f64;
                of.all += all as f64;
            }
        }
        if timed {
            self.stable.merge(&pair.stable.latency);
        }
    }

    /// Adds a label of a prediction that a source issued; `value_ppm` in millionths.
    pub fn label(&mut self, guardrail: usize, source: u64, is_canary: bool, value_ppm: u32) {
        let value = f64::from(value_ppm) / 1e6;
        let tallies = self.tallies.iter_mut();
        for tally in tallies.filter(|tally| tally.guardrail == guardrail) {
            let Kind::Labels { good } = tally.kind else {
                continue;
            };
            let of = tally.sources.entry(source).or_default().of(is_canary);
            of.bad += if good { 1.0 - value } else { value };
            of.all += 1.0;
        }
    }

    /// The one source, of at least four, that holds more than half of what the canary does worse than stable by this
    /// guardrail.
    #[must_use]
    pub fn concentrated(&self, guardrail: usize) -> Option<u64> {
        let tallies = self.tallies.iter();
        let of = tallies.filter(|tally| tally.guardrail == guardrail);
        let excesses = of.filter_map(Excess::of);
        let worst = excesses.max_by(|a, b| a.total.total_cmp(&b.total))?;
        (worst.most > worst.total / 2.0).then_some(worst.source)
    }
}

/// What the canary does worse than stable.
struct Excess {
    total: f64,
    most: f64,
    source: u64,
}

impl Excess {
    fn of(tally: &Tally) -> Option<Self> {
        if tally.sources.len() < SOURCES {
            return None;
        }
        let stable = tally.sources.values().map(|arms| arms.stable);
        let (bad, all) = stable.fold((0.0, 0.0), |(bad, all), of| (bad + of.bad, all + of.all));
        if all == 0.0 {
            return None;
        }
        let excess = |arms: &Arms| arms.canary.bad - arms.canary.all * bad / all;
        let each = tally
            .sources
            .iter()
            .map(|(&source, arms)| (source, excess(arms)));
        let total: f64 = each.clone().map(|(_, excess)| excess).sum();
        let (source, most) = each.max_by(|a, b| a.1.total_cmp(&b.1))?;
        (total > 0.0).then_some(Self {
            total,
            most,
            source,
        })
    }
}

fn kinds_of(guardrail: &v1::Guardrail) -> Vec<Kind> {
    match &guardrail.metric {
        Some(Metric::ErrorRate(_)) => vec![Kind::Errors],
        Some(Metric::Latency(latency)) => {
            let quantiles = latency.quantiles.iter();
            quantiles
                .map(|&quantile| Kind::Latency { quantile })
                .collect()
        }
        Some(Metric::Accuracy(labelled) | Metric::Outcome(labelled)) => vec![Kind::Labels {
            good: labelled.direction() != Direction::LowerIsBetter,
        }],
        Some(Metric::LatencyLimit(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_common::class::Class;

    fn plan() -> v1::Plan {
        let guardrail = |metric| v1::Guardrail {
            metric: Some(metric),
            ..v1::Guardrail::default()
        };
        let latency = v1::Latency {
            quantiles: vec![0.5, 0.99],
            ..v1::Latency::default()
        };
        v1::Plan {
            guardrails: vec![
                guardrail(Metric::ErrorRate(v1::ErrorRate::default())),
                guardrail(Metric::Latency(latency)),
                guardrail(Metric::Accuracy(v1::Labelled::default())),
                guardrail(Metric::LatencyLimit(v1::LatencyLimit::default())),
            ],
            ..v1::Plan::default()
        }
    }

    fn counts(n: u64, errors: u64, bucket: u16) -> Counts {
        let mut counts = Counts::default();
        counts.classes[Class::Ok as usize] = n - errors;
        counts.classes[Class::Model as usize] = errors;
        counts.latency.add(bucket, n);
        counts
    }

    fn sources(errors: &[u64], bucket: impl Fn(usize) -> u16) -> Sources {
        let mut sources = Sources::new(&plan());
        // What is slow is known from what stable was before.
        for round in 0..2 {
            for (source, &errors) in errors.iter().enumerate() {
                let pair = Pair {
                    canary: counts(100, errors, if round == 0 { 400 } else { bucket(source) }),
                    stable: counts(100, 1, 400),
                };
                sources.absorb(source as u64, &pair);
            }
        }
        sources
    }

    #[test]
    fn one_that_holds_most_of_the_excess_is_named() {
        assert_eq!(sources(&[40, 5, 5, 5], |_| 400).concentrated(0), Some(0));
        assert_eq!(sources(&[20, 20, 20, 20], |_| 400).concentrated(0), None);
        assert_eq!(
            sources(&[40, 5, 5], |_| 400).concentrated(0),
            None,
            "too few"
        );
        assert_eq!(
            sources(&[1, 1, 1, 1], |_| 400).concentrated(0),
            None,
            "no excess"
        );
    }

    #[test]
    fn so_is_one_that_is_slow() {
        let slow = |source| if source == 2 { 600 } else { 400 };
        assert_eq!(sources(&[1; 5], slow).concentrated(1), Some(2));
        assert_eq!(sources(&[1; 5], |_| 600).concentrated(1), None);
        assert_eq!(
            sources(&[1; 5], slow).concentrated(3),
            None,
            "limits do not wait"
        );
    }

    #[test]
    fn labels_count_by_who_issued_the_prediction() {
        let mut sources = Sources::new(&plan());
        for source in 0..4 {
            for n in 0..20 {
                sources.label(2, source, false, 1_000_000);
                let wrong = source == 3 && n < 10;
                sources.label(2, source, true, if wrong { 0 } else { 1_000_000 });
            }
        }
        assert_eq!(sources.concentrated(2), Some(3));
        assert_eq!(sources.concentrated(0), None);
    }
}
