//! What the planning formulas say before anything is simulated: section 10 of the decision engine's design.

use super::traffic::Traffic;
use crate::latency::Latency;
use crate::trial::Setup;
use serinus_core::plan::view;
use serinus_evidence::information::{bernoulli_divergence, boundary_information};
use serinus_evidence::{Guardrail, Metric, Settings};
use std::time::Duration;

/// How long it takes to prove that an equal canary is not worse than a step tolerates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// Position of the guardrail.
    pub guardrail: usize,
    /// The canary's share in the step, 0..=1.
    pub share: f64,
    /// The step's tolerance, in margins.
    pub tolerance: f64,
    /// Expected time in seconds; infinite if it is never proven.
    pub seconds: f64,
}

/// Expected times for an equal canary.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Until the canary has everything, in seconds; infinite if that is not to be expected.
    pub to_full_s: f64,
    /// What takes longest.
    pub slowest: Option<Proof>,
    /// The plan's `max_duration` in seconds, if it has one.
    pub max_duration_s: Option<f64>,
}

impl Forecast {
    pub(super) fn new(setup: &Setup, traffic: &Traffic) -> Self {
        let plan = setup.plan();
        let warmup_s = view::warmup(plan).map_or(0.0, |(length, _)| length.as_secs_f64());
        let mut forecast = Self {
            to_full_s: warmup_s,
            slowest: None,
            max_duration_s: Some(view::max_duration(plan))
                .filter(|longest| *longest > Duration::ZERO)
                .map(|longest| longest.as_secs_f64()),
        };
        for step in 0..plan.steps.len() {
            let share = view::asked(plan, step).fraction();
            if share >= 1.0 {
                break;
            }
            let slowest = slowest_proof(setup, traffic, share, view::kappa(plan, step));
            let proven_s = slowest.map_or(0.0, |proof| proof.seconds);
            forecast.to_full_s += proven_s.max(view::min_duration(plan, step).as_secs_f64());
            let longer =
                |proof: &Proof| proof.seconds >= forecast.slowest.map_or(0.0, |of| of.seconds);
            forecast.slowest = slowest.filter(longer).or(forecast.slowest);
        }
        forecast
    }
}

fn slowest_proof(setup: &Setup, traffic: &Traffic, share: f64, tolerance: f64) -> Option<Proof> {
    let settings = setup.settings();
    let required = settings
        .guardrails
        .iter()
        .enumerate()
        .filter(|(_, of)| of.required);
    let proof = |(guardrail, of): (usize, &Guardrail)| Proof {
        guardrail,
        share,
        tolerance,
        seconds: promote_seconds(setup, settings, of, traffic, share, tolerance),
    };
    required
        .map(proof)
        .max_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// `(log(1/beta) + log 3) / (rate * information)`, and the wait for labels.
fn promote_seconds(
    setup: &Setup,
    settings: &Settings,
    guardrail: &Guardrail,
    traffic: &Traffic,
    share: f64,
    tolerance: f64,
) -> f64 {
    let nats = -settings.beta.ln() + 3f64.ln();
    let (information, delay_s) = match &guardrail.metric {
        Metric::ErrorRate { margin } => (
            boundary_information(traffic.errors, traffic.errors, tolerance * margin, share),
            0.0,
        ),
        Metric::Labelled {
            name,
            higher_is_better,
            margin,
        } => {
            let rate = traffic
                .labels
                .iter()
                .find(|of| of.name == *name)
                .map_or(0.5, |of| of.rate);
            let sign = if *higher_is_better { -1.0 } else { 1.0 };
            let labels = traffic.sealing(setup.plan(), name);
            let of_label = boundary_information(rate, rate, sign * tolerance * margin, share);
            (labels.fraction * of_label, labels.delay_s)
        }
        Metric::Latency {
            quantiles,
            ratio,
            slack_ms,
        } => {
            let of_quantile = |q: &f64| {
                let quantile_ms = traffic.latency.quantile(*q);
                let allowed = ratio.max(1.0 + slack_ms / quantile_ms).powf(tolerance);
                let canary = 1.0 - traffic.latency.at_most(quantile_ms * allowed, 1.0);
                boundary_information(canary, 1.0 - q, 0.0, share)
            };
            (
                quantiles
                    .iter()
                    .map(of_quantile)
                    .fold(f64::INFINITY, f64::min),
                0.0,
            )
        }
        Metric::LatencyLimit { quantile, limit_ms } => (
            limit_information(&traffic.latency, *quantile, *limit_ms, share),
            0.0,
        ),
    };
    if information > 0.0 {
        delay_s + nats / (traffic.rate * information)
    } else {
        f64::INFINITY
    }
}

/// An absolute limit is proven on the canary alone; beyond it there is nothing to prove.
fn limit_information(latency: &Latency, quantile: f64, limit_ms: f64, share: f64) -> f64 {
    let beyond = 1.0 - latency.at_most(limit_ms, 1.0);
    if beyond < 1.0 - quantile {
        share * bernoulli_divergence(beyond, 1.0 - quantile)
    } else {
        0.0
    }
}
