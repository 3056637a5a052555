//! Between what is stored and shown and what the decision engine takes and answers.

mod doubts;

pub use doubts::Doubts;

use crate::ledger::counts::sketch_from_wire;
use crate::plan;
use crate::rollout::Rollout;
use serinus_evidence::{
    Arm, Assessment, Assigned, ClusterSlice, ClusterTotals, Counts, Engine, GuardrailAssessment,
    LabelSlice, Missing, Pair, RatioEvidence, RequestSlice, SampleRatioAssessment, Verdict,
};
use serinus_proto::{stored::v1 as stored, v1};
use std::time::Duration;
use v1::guardrail::Metric;

/// What an assessment depends on beyond the slices: the same basis after the same slices gives the same assessment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Basis {
    /// Kappa of the present step.
    pub tolerance: f64,
    /// The present epoch.
    pub epoch: u64,
    /// Its split gives traffic to both variants.
    pub expects_both: bool,
    /// Its steps are entered as the evidence allows, so it matters which tolerances are excluded already.
    pub paced: bool,
}

impl Basis {
    /// Of a rollout as it is now.
    #[must_use]
    pub fn of(rollout: &Rollout) -> Self {
        Self {
            tolerance: rollout.tolerance(),
            epoch: rollout.epoch,
            expects_both: rollout.expects_both(),
            paced: plan::view::is_paced(&rollout.plan) && !rollout.warmup,
        }
    }
}

/// The engine's answer, and how it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// As the engine gave it.
    pub assessment: Assessment,
    /// One row per guardrail of the plan, in its order.
    pub guardrails: Vec<v1::GuardrailEvidence>,
    /// The smallest tolerance of a paced ramp at which everything required is SAFE.
    pub excluded_tolerance: Option<f64>,
}

/// Asks the engine. Whoever decides and whoever checks a decision asks here.
#[must_use]
pub fn judge(engine: &Engine, plan: &v1::Plan, basis: Basis) -> Judged {
    let assessment = engine.assess(basis.tolerance, basis.epoch, basis.expects_both);
    let guardrails = guardrails(plan, &assessment);
    Judged {
        assessment,
        guardrails,
        excluded_tolerance: excluded_tolerance(engine, plan, basis),
    }
}

/// The smallest tolerance of a paced ramp at which everything required is SAFE.
#[must_use]
pub fn excluded_tolerance(engine: &Engine, plan: &v1::Plan, basis: Basis) -> Option<f64> {
    let is_safe = |tolerance: &f64| {
        let standing = engine.stand(*tolerance, basis.epoch, basis.expects_both);
        standing.required_safe
    };
    let tolerances = basis.paced.then(|| plan::view::tolerances(plan));
    tolerances?.into_iter().find(is_safe)
}

/// Folds a stored slice with everything that was folded along with it. Whoever folds slices, live, at a start or in a
/// replay, does it here.
pub fn fold_slice(engine: &mut Engine, slice: &stored::Slice) {
    engine.fold_requests(&request_slice(slice));
    if slice.canary_ppm > 0 {
        let assigned = Assigned {
            canary: slice.canary_assigned,
            stable: slice.stable_assigned,
        };
        engine.fold_assignments(slice.epoch, share(slice.canary_ppm), assigned);
    }
    for totals in &slice.clusters {
        engine.fold_clusters(&cluster_slice(totals));
    }
}

fn share(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

/// Stored totals per cluster of keys for the engine. What is missing counts as nothing.
#[must_use]
pub fn cluster_slice(stored: &stored::ClusterTotals) -> ClusterSlice {
    let arm = |requests: &[u64], errors: &[u64]| {
        std::array::from_fn(|h| Counts {
            x: errors.get(h).copied().unwrap_or(0),
            n: requests.get(h).copied().unwrap_or(0),
        })
    };
    ClusterSlice {
        epoch: stored.epoch,
        share: (stored.canary_ppm > 0).then(|| share(stored.canary_ppm)),
        totals: ClusterTotals {
            canary: arm(&stored.canary_requests, &stored.canary_errors),
            stable: arm(&stored.stable_requests, &stored.stable_errors),
        },
    }
}

/// A stored slice for the engine; the latency of a canary that is warming up is not judged.
#[must_use]
pub fn request_slice(slice: &stored::Slice) -> RequestSlice {
    RequestSlice {
        epoch: slice.epoch,
        seconds: slice.seconds,
        canary: arm(slice.canary.as_ref(), slice.warm),
        stable: arm(slice.stable.as_ref(), false),
    }
}

fn arm(arm: Option<&stored::Arm>, without_latency: bool) -> Arm {
    let Some(arm) = arm else {
        return Arm::default();
    };
    let latency = if without_latency {
        Vec::new()
    } else {
        sketch_from_wire(arm.latency.as_ref())
            .unwrap_or_default()
            .iter()
            .collect()
    };
    Arm {
        requests: arm.requests,
        errors: arm.errors,
        latency,
    }
}

/// A stored label slice for the engine. Scores are summed exactly and rounded once.
#[must_use]
pub fn label_slice(slice: &stored::LabelSlice) -> LabelSlice {
    let counts = |sum_ppm: u64, n: u64| Counts {
        x: ((sum_ppm + 500_000) / 1_000_000).min(n),
        n,
    };
    LabelSlice {
        epoch: slice.epoch,
        seconds: slice.seconds,
        pair: Pair {
            canary: counts(slice.canary_sum_ppm, slice.canary_labels),
            stable: counts(slice.stable_sum_ppm, slice.stable_labels),
        },
        assigned: slice
            .canary_assigned
            .zip(slice.stable_assigned)
            .map(|(canary, stable)| Assigned { canary, stable }),
    }
}

/// Whether the canary gets its share, as it is shown and stored; `None` while that is not known.
#[must_use]
pub fn sample_ratio(of: &SampleRatioAssessment) -> Option<v1::SampleRatio> {
    let (evidence, threshold, by_keys) = match of.evidence {
        RatioEvidence::Unknown => return None,
        RatioEvidence::Requests {
            log_e,
            log_threshold,
            ..
        } => (log_e, log_threshold, false),
        RatioEvidence::Clusters { t, threshold } => (t, threshold, true),
    };
    Some(v1::SampleRatio {
        mismatch: of.mismatch,
        asked: of.asked?,
        got: of.achieved?,
        evidence,
        threshold,
        by_keys,
    })
}

/// The evidence of every guardrail, as it is shown and stored.
fn guardrails(plan: &v1::Plan, assessment: &Assessment) -> Vec<v1::GuardrailEvidence> {
    let pairs = plan.guardrails.iter().zip(&assessment.guardrails);
    pairs
        .enumerate()
        .map(|(index, (guardrail, of))| evidence(index, guardrail, of))
        .collect()
}

fn evidence(
    index: usize,
    guardrail: &v1::Guardrail,
    of: &GuardrailAssessment,
) -> v1::GuardrailEvidence {
    let latency = matches!(
        guardrail.metric,
        Some(Metric::Latency(_) | Metric::LatencyLimit(_))
    );
    let unit = if latency {
        v1::guardrail_evidence::Unit::Milliseconds
    } else {
        v1::guardrail_evidence::Unit::Fraction
    };
    v1::GuardrailEvidence {
        name: name(guardrail, of.quantile),
        index: u32::try_from(index).unwrap_or(u32::MAX),
        verdict: verdict(of.verdict).into(),
        stable_value: of.stable_value,
        canary_value: of.canary_value,
        difference: of.difference,
        lower: of.interval.map(|(lower, _)| lower),
        upper: of.interval.map(|(_, upper)| upper),
        limit: of.limit,
        stable_count: of.n_stable,
        canary_count: of.n_canary,
        stable_events: of.x_stable,
        canary_events: of.x_canary,
        log_e_rollback: of.log_e_rollback,
        log_threshold_rollback: of.log_threshold_rollback,
        log_e_promote: of.log_e_promote,
        log_threshold_promote: of.log_threshold_promote,
        phi: of.phi,
        missing: of.missing.map(|missing| missing.requests),
        missing_time: of.missing.and_then(missing_time),
        on_breach: guardrail.on_breach,
        required: guardrail.required.unwrap_or(true),
        unit: unit.into(),
    }
}

fn missing_time(missing: Missing) -> Option<prost_types::Duration> {
    let seconds = missing
        .seconds
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
    // Beyond a century the number says nothing.
    Duration::from_secs_f64(seconds.min(3e9)).try_into().ok()
}

fn verdict(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Safe => v1::Verdict::Safe,
        Verdict::Harmful => v1::Verdict::Harmful,
        Verdict::NeedMore => v1::Verdict::NeedMore,
        Verdict::NoEvidence => v1::Verdict::NoEvidence,
    }
}

/// The name that outcomes for a guardrail use; `None` for metrics without labels.
#[must_use]
pub fn outcome_name(guardrail: &v1::Guardrail) -> Option<&str> {
    match guardrail.metric.as_ref()? {
        Metric::Accuracy(_) => Some("accuracy"),
        Metric::Outcome(labelled) => Some(&labelled.name),
        _ => None,
    }
}

/// What a guardrail is called on the screen.
fn name(guardrail: &v1::Guardrail, quantile: Option<f64>) -> String {
    let percent = |q: f64| format!("latency p{}", (q * 1e5).round() / 1e3);
    match &guardrail.metric {
        Some(Metric::ErrorRate(_)) => "error rate".to_owned(),
        Some(Metric::Latency(_)) => quantile.map_or_else(|| "latency".to_owned(), percent),
        Some(Metric::LatencyLimit(limit)) => {
            let bound = plan::format_duration(plan::std_duration(limit.limit.as_ref()));
            format!("{} <= {bound}", percent(limit.quantile))
        }
        Some(Metric::Accuracy(_)) => "accuracy".to_owned(),
        Some(Metric::Outcome(labelled)) => format!("outcome {}", labelled.name),
        None => String::new(),
    }
}
