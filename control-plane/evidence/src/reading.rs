//! Reading a monitor: everything about a guardrail but its verdict.

mod count;
mod latency;
mod limit;
mod mean;
mod shadow;

use crate::assessment::{LabelAssessment, Missing, QuantileAssessment};
use crate::histogram::Tail;
use crate::traffic::Traffic;

pub(crate) use count::{read_count, read_labels};
pub(crate) use latency::read_latency;
pub(crate) use limit::read_limit;
pub(crate) use mean::read_mean;
pub(crate) use shadow::read_agreement;

/// What readings share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) alpha: f64,
    pub(crate) log_threshold_promote: f64,
    /// Index of the present step's tolerance.
    pub(crate) tolerance: Option<usize>,
    pub(crate) traffic: &'a Traffic,
    pub(crate) latencies: &'a Latencies,
}

/// Latency tails of both variants over the rollout, and stable's recent one.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    pub(crate) log_gamma: f64,
    pub(crate) canary: Tail,
    pub(crate) stable: Tail,
    pub(crate) history: Tail,
    pub(crate) n_canary: u64,
    pub(crate) n_stable: u64,
}

/// What a monitor says, before the verdict.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) canary_value: Option<f64>,
    pub(crate) stable_value: Option<f64>,
    pub(crate) difference: Option<f64>,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) limit: f64,
    pub(crate) n_canary: u64,
    pub(crate) n_stable: u64,
    /// Events of canary and stable, for rates.
    pub(crate) events: Option<(u64, u64)>,
    pub(crate) log_e_rollback: f64,
    pub(crate) log_e_promote: f64,
    pub(crate) phi: f64,
    pub(crate) missing: Option<Missing>,
    pub(crate) quantile: Option<f64>,
    pub(crate) quantiles: Vec<QuantileAssessment>,
    /// Evidence of a broken limit that stable may break as well.
    pub(crate) log_e_limit_alone: Option<f64>,
    pub(crate) labels: Option<LabelAssessment>,
}
