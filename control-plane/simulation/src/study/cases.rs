//! Canaries that differ from stable in one respect.

use super::traffic::Traffic;
use crate::latency::Latency;
use crate::trial::Setup;
use crate::world::{Behaviour, Labels, Spec};
use serinus_core::plan::view;
use serinus_evidence::Metric;

/// What a canary is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Canary {
    /// As stable is.
    Equal,
    /// Worse in what a guardrail measures.
    Worse {
        /// Position of the guardrail.
        guardrail: usize,
        /// By how many of its margins.
        margins: f64,
    },
    /// Every request fails.
    Dead,
}

/// The difference in the metric's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// Canary less stable, a fraction.
    Rate(f64),
    /// All latencies multiplied by this.
    Latency(f64),
}

/// One canary in one world.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is like.
    pub canary: Canary,
    /// The same in the metric's unit.
    pub shift: Shift,
    /// Share of its requests that would have gone better with stable: those with an error or a label that stable would
    /// not have had; of a slower canary, all.
    pub harmed: f64,
    pub(super) spec: Spec,
}

/// All cases, and what has none.
pub(super) fn all(setup: &Setup, traffic: &Traffic, multiples: &[f64]) -> (Vec<Case>, Vec<String>) {
    let stable = traffic.stable();
    let labels: Vec<Labels> = traffic
        .labels
        .iter()
        .map(|of| traffic.sealing(setup.plan(), &of.name))
        .collect();
    let grid = traffic.grid(setup.plan());
    let case = |canary, shift, harmed, behaviour: Behaviour| Case {
        canary,
        shift,
        harmed,
        spec: Spec::calm(
            traffic.rate,
            stable.clone(),
            behaviour,
            labels.clone(),
            grid,
        ),
    };
    let mut cases = vec![case(Canary::Equal, Shift::Rate(0.0), 0.0, stable.clone())];
    let mut skipped = Vec::new();
    for (guardrail, of) in setup.settings().guardrails.iter().enumerate() {
        let name = view::metric_name(&setup.plan().guardrails[guardrail]);
        for &margins in multiples {
            match worse(&of.metric, traffic, margins) {
                Ok((behaviour, shift, harmed)) => {
                    cases.push(case(
                        Canary::Worse { guardrail, margins },
                        shift,
                        harmed,
                        behaviour,
                    ));
                }
                Err(why) => skipped.push(format!("{name}: {why}")),
            }
        }
    }
    skipped.dedup();
    let dead = Behaviour {
        errors: 1.0,
        ..stable.clone()
    };
    cases.push(case(
        Canary::Dead,
        Shift::Rate(1.0 - stable.errors),
        1.0 - stable.errors,
        dead,
    ));
    (cases, skipped)
}

/// A canary that is worse by so many margins, if there can be one.
fn worse(
    metric: &Metric,
    traffic: &Traffic,
    margins: f64,
) -> Result<(Behaviour, Shift, f64), String> {
    let mut canary = traffic.stable();
    let slower = |mut canary: Behaviour, factor: f64| {
        canary.latency.median_ms *= factor;
        Ok((canary, Shift::Latency(factor), 1.0))
    };
    match metric {
        Metric::ErrorRate { margin } => {
            let (rate, shift) = moved(canary.errors, margins * margin)?;
            canary.errors = rate;
            Ok((canary, Shift::Rate(shift), shift))
        }
        Metric::Latency {
            quantiles,
            ratio,
            slack_ms,
        } => {
            let allowed = tolerated_factor(&traffic.latency, quantiles, *ratio, *slack_ms);
            slower(canary, 1.0 + margins * (allowed - 1.0))
        }
        Metric::LatencyLimit { quantile, limit_ms } => {
            let room = limit_ms / traffic.latency.quantile(*quantile);
            if room <= 1.0 {
                let quantile = quantile * 100.0;
                return Err(format!(
                    "stable itself exceeds {limit_ms} ms at p{quantile}, so the limit does not act"
                ));
            }
            slower(canary, 1.0 + margins * (room - 1.0))
        }
        Metric::Labelled {
            name,
            higher_is_better,
            margin,
        } => {
            let kind = traffic.labels.iter().position(|of| of.name == *name);
            let kind = kind.ok_or_else(|| "no labels".to_owned())?;
            let sign = if *higher_is_better { -1.0 } else { 1.0 };
            let (rate, shift) = moved(canary.labels[kind], sign * margins * margin)?;
            canary.labels[kind] = rate;
            Ok((canary, Shift::Rate(shift), shift.abs()))
        }
    }
}

fn moved(rate: f64, by: f64) -> Result<(f64, f64), String> {
    let to = rate + by;
    if (0.0..=1.0).contains(&to) {
        return Ok((to, by));
    }
    let (from, by) = (rate * 100.0, by * 100.0);
    Err(format!(
        "no canary can be {by:+.2} pp away from {from:.2} %"
    ))
}

/// How many times slower a canary may be until the first of its quantiles is beyond what is tolerated.
pub(super) fn tolerated_factor(
    latency: &Latency,
    quantiles: &[f64],
    ratio: f64,
    slack_ms: f64,
) -> f64 {
    let allowed = |q: &f64| ratio.max(1.0 + slack_ms / latency.quantile(*q));
    quantiles.iter().map(allowed).fold(f64::INFINITY, f64::min)
}
