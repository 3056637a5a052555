//! What a rollout asks the engine to decide, and the mistakes in it.

use crate::counts::{Arm, Counts};
use crate::weights;
use std::fmt;

const MOST_QUANTILES: usize = 8;
const MOST_TOLERANCES: usize = 64;
const MOST_HISTORY: usize = 1200;

/// What a guardrail measures and what it tolerates.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// The share of requests that fail.
    ErrorRate {
        /// Tolerated rise, a fraction: 0.0025 is 0.25 percentage points.
        margin: f64,
    },
    /// Latency quantiles relative to stable's.
    Latency {
        /// Which quantiles, each a fraction between 0 and 1; every one must pass.
        quantiles: Vec<f64>,
        /// Tolerated ratio of the canary's quantile to stable's, >= 1.
        ratio: f64,
        /// Tolerated difference in milliseconds, where that is more than the ratio.
        slack_ms: f64,
    },
    /// An absolute latency limit; it acts only if stable itself keeps it.
    LatencyLimit {
        /// The quantile, a fraction between 0 and 1.
        quantile: f64,
        /// The limit in milliseconds.
        limit_ms: f64,
    },
    /// Shadow mode: the share of requests to which both variants give different answers.
    Disagreement {
        /// The tolerated share, a fraction.
        limit: f64,
    },
    /// The mean of a numeric score.
    Mean {
        /// The score's name.
        name: String,
        /// Whether a higher mean is the better one.
        higher_is_better: bool,
        /// Tolerated worsening, in units of the score.
        margin: f64,
    },
    /// A rate known from labels: accuracy, or an outcome.
    Labelled {
        /// The metric's name, `accuracy` or that of the outcome.
        name: String,
        /// Whether a higher rate is the better one.
        higher_is_better: bool,
        /// Tolerated worsening, a fraction: 0.01 is one percentage point.
        margin: f64,
    },
}

/// What happens when the canary's scores are distributed otherwise than stable's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreDriftPolicy {
    /// It is reported: a new model is supposed to differ.
    Report,
    /// It is reported, and nothing is promoted.
    BlockPromotion,
}

/// What happens when a guardrail is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The rollout goes back to stable.
    Rollback,
    /// The rollout stays where it is.
    Hold,
    /// Somebody is told.
    Notify,
}

/// One guardrail of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Guardrail {
    /// What is measured and tolerated.
    pub metric: Metric,
    /// What happens when it is broken.
    pub on_breach: Action,
    /// The part of alpha that a rollback guardrail may spend, 0..=1. Those without one share what
    /// is left equally. Ignored for `hold` and `notify`, which act alone.
    pub weight: Option<f64>,
    /// Whether it must be SAFE before the rollout moves on.
    pub required: bool,
}

/// What a rollout asks the engine to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Growth of the latency buckets, 1.005..=2.
    pub gamma: f64,
    /// Accepted chance of a false rollback, between 0 and 1. With K canaries pass alpha / K to each
    /// engine.
    pub alpha: f64,
    /// Accepted chance of a false promotion per guardrail, between 0 and 1.
    pub beta: f64,
    /// The guardrails; assessments keep their order.
    pub guardrails: Vec<Guardrail>,
    /// The distinct step tolerances (kappa) of the plan; 1 is always kept.
    pub tolerances: Vec<f64>,
    /// Extra errors that spend the budget; `None`: 50, charged beyond the margin of the error-rate
    /// guardrail.
    pub extra_errors_budget: Option<f64>,
    /// Stable's traffic just before the rollout (the last 60 s), if there was any.
    pub baseline: Option<Arm>,
    /// Stable's errors (`x`) among its requests (`n`) in each second before the rollout, oldest
    /// first, at most 1200 entries; the last of them are the seconds of `baseline`. How much
    /// stable's error rate wanders by itself is learnt from it. Empty: not known.
    pub stable_history: Vec<Counts>,
    /// Whether the distribution of scores is compared, and what happens when it differs.
    pub score_drift: Option<ScoreDriftPolicy>,
}

impl Settings {
    /// The default confidence (alpha = beta = 0.05), a sketch of 1 % accuracy, one step at
    /// tolerance 1, no baseline, no history.
    pub fn new(guardrails: Vec<Guardrail>) -> Self {
        Self {
            gamma: 1.01 / 0.99,
            alpha: 0.05,
            beta: 0.05,
            guardrails,
            tolerances: vec![1.0],
            extra_errors_budget: None,
            baseline: None,
            stable_history: Vec::new(),
            score_drift: None,
        }
    }

    /// The rollback weights in the order of the guardrails, or the first mistake.
    pub(crate) fn check(&self) -> Result<Vec<f64>, SettingsError> {
        within("gamma", self.gamma, 1.005, 2.0, "e.g. 1.02")?;
        open_unit("alpha", self.alpha)?;
        open_unit("beta", self.beta)?;
        if self.tolerances.len() > MOST_TOLERANCES {
            return Err(SettingsError::new("tolerances", "has more than 64 entries"));
        }
        for (index, tolerance) in self.tolerances.iter().enumerate() {
            within(
                &format!("tolerances[{index}]"),
                *tolerance,
                1e-3,
                1e3,
                "e.g. 5",
            )?;
        }
        if let Some(budget) = self.extra_errors_budget {
            within(
                "extra_errors_budget",
                budget,
                f64::MIN_POSITIVE,
                1e15,
                "e.g. 50",
            )?;
        }
        if self
            .baseline
            .as_ref()
            .is_some_and(|arm| !arm.is_plausible())
        {
            let wrong = "has more errors than requests, or a saturated counter; leave it out";
            return Err(SettingsError::new("baseline", wrong));
        }
        self.check_history()?;
        if !self.guardrails.iter().any(|guardrail| guardrail.required) {
            let wrong = "needs at least one entry with `required: true`, else nothing is ever SAFE";
            return Err(SettingsError::new("guardrails", wrong));
        }
        for (index, guardrail) in self.guardrails.iter().enumerate() {
            check_metric(&format!("guardrails[{index}]"), &guardrail.metric)?;
        }
        weights::resolve(&self.guardrails)
    }

    fn check_history(&self) -> Result<(), SettingsError> {
        if self.stable_history.len() > MOST_HISTORY {
            let wrong = "has more than 1200 entries; keep the newest";
            return Err(SettingsError::new("stable_history", wrong));
        }
        let corrupt = |counts: &Counts| !counts.is_plausible();
        match self.stable_history.iter().position(corrupt) {
            None => Ok(()),
            Some(index) => {
                let field = format!("stable_history[{index}]");
                let wrong =
                    "has more errors than requests, or a saturated counter; leave the history out";
                Err(SettingsError::new(&field, wrong))
            }
        }
    }
}

fn check_metric(path: &str, metric: &Metric) -> Result<(), SettingsError> {
    let margin = |value: f64| {
        let path = format!("{path}.margin");
        within(
            &path,
            value,
            0.0,
            0.99,
            "a fraction: 0.0025 is 0.25 percentage points",
        )
    };
    match metric {
        Metric::ErrorRate { margin: value } | Metric::Labelled { margin: value, .. } => {
            margin(*value)
        }
        Metric::Latency {
            quantiles,
            ratio,
            slack_ms,
        } => {
            within(
                &format!("{path}.ratio"),
                *ratio,
                1.0,
                1000.0,
                "1.1 tolerates 10 % more",
            )?;
            within(
                &format!("{path}.slack_ms"),
                *slack_ms,
                0.0,
                1e9,
                "milliseconds, e.g. 2",
            )?;
            if quantiles.is_empty() || quantiles.len() > MOST_QUANTILES {
                let wrong = "needs 1 to 8 entries, e.g. [0.5, 0.95, 0.99]";
                return Err(SettingsError::new(&format!("{path}.quantiles"), wrong));
            }
            quantiles
                .iter()
                .try_for_each(|q| open_unit(&format!("{path}.quantiles"), *q))
        }
        Metric::Disagreement { limit } => open_unit(&format!("{path}.limit"), *limit),
        Metric::Mean { margin, .. } => {
            let hint = "in units of the score";
            within(&format!("{path}.margin"), *margin, 0.0, 1e12, hint)
        }
        Metric::LatencyLimit { quantile, limit_ms } => {
            open_unit(&format!("{path}.quantile"), *quantile)?;
            within(
                &format!("{path}.limit_ms"),
                *limit_ms,
                1e-3,
                1e9,
                "milliseconds, e.g. 250",
            )
        }
    }
}

fn within(
    field: &str,
    value: f64,
    lowest: f64,
    highest: f64,
    hint: &str,
) -> Result<(), SettingsError> {
    if (lowest..=highest).contains(&value) {
        return Ok(());
    }
    let wrong = format!("must be between {lowest} and {highest} ({hint}), not {value}");
    Err(SettingsError::new(field, &wrong))
}

fn open_unit(field: &str, value: f64) -> Result<(), SettingsError> {
    if (1e-9..=1.0 - 1e-9).contains(&value) {
        return Ok(());
    }
    let wrong = format!("must be a fraction between 0 and 1, both excluded, not {value}");
    Err(SettingsError::new(field, &wrong))
}

/// A mistake in the settings: which field, what is wrong with it and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    field: String,
    problem: String,
}

impl SettingsError {
    pub(crate) fn new(field: &str, problem: &str) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.to_owned(),
        }
    }

    /// The path of the field, e.g. `guardrails[2].margin`.
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests;
