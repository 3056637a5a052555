//! What the engine answers.

/// The verdict on one guardrail. Tested in this order: HARMFUL, NO_EVIDENCE, SAFE, NEED_MORE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Proven not worse than the tolerance of the present step.
    Safe,
    /// Proven worse than the margin.
    Harmful,
    /// Neither is proven yet.
    NeedMore,
    /// Nothing could be compared: no slice of the rollout, or none of this epoch where one is
    /// expected, has both variants.
    NoEvidence,
}

/// How much more must be seen until a guardrail can be expected to be SAFE, if things stay as they
/// are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Missing {
    /// Further requests (labels, for labelled metrics) of both variants together.
    pub requests: f64,
    /// How long that takes at the recent rate, in seconds; none if no time was measured.
    pub seconds: Option<f64>,
    /// How many times longer that is than it would be without noise, >= 1: the variance inflation by which the evidence
    /// is divided. Well above 1 it is the noise that makes the wait long, not the traffic.
    pub noise: f64,
}

/// One quantile of a latency guardrail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileAssessment {
    /// Which quantile, a fraction.
    pub quantile: f64,
    /// The canary's quantile in milliseconds, the upper edge of its bucket.
    pub canary_ms: Option<f64>,
    /// Stable's quantile in milliseconds, weighted over slices like the canary's.
    pub stable_ms: Option<f64>,
    /// Canary over stable.
    pub ratio: Option<f64>,
    /// Always-valid interval for the ratio.
    pub interval: Option<(f64, f64)>,
    /// The tolerated ratio at present: the plan's ratio, or what its slack amounts to.
    pub limit: f64,
    /// Log evidence against "within the margin".
    pub log_e_rollback: f64,
    /// Log evidence against "worse than the step's tolerance".
    pub log_e_promote: f64,
    /// Measured variance inflation, >= 1.
    pub phi: f64,
    /// What is missing until this quantile can be expected to pass.
    pub missing: Option<Missing>,
}

/// How many predictions get a label, over all slices of a guardrail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelRateAssessment {
    /// The labelled share of the canary's predictions, a fraction.
    pub canary: f64,
    /// That of stable's, weighted over slices like the canary's.
    pub stable: f64,
    /// Always-valid interval for canary - stable; none while there is too little data.
    pub interval: Option<(f64, f64)>,
    /// The difference that cannot move the guardrail's rate by more than its margin.
    pub tolerated: f64,
    /// Log evidence against "the shares differ by no more than that".
    pub log_e: f64,
    /// From here on they do differ.
    pub log_threshold: f64,
    /// Measured variance inflation, >= 1.
    pub phi: f64,
    /// Whether it is proven that they differ.
    pub differs: bool,
    /// Whether promotion on this guardrail waits, because the evidence is past half of its threshold.
    pub blocks: bool,
}

/// Labels that came after their window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LateLabelAssessment {
    /// Late labels of the canary.
    pub n_canary: u64,
    /// Late labels of stable.
    pub n_stable: u64,
    /// Log evidence against "within the margin", from late labels alone.
    pub log_e_rollback: f64,
    /// From here on the verdict is reopened.
    pub log_threshold: f64,
    /// Measured variance inflation, >= 1.
    pub phi: f64,
    /// Whether the evidence ever passed its threshold: an operator should look, and may go back.
    pub reopened: bool,
}

/// What is to be said about the labels of a guardrail besides their rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelAssessment {
    /// How complete they are; none before that is known.
    pub rate: Option<LabelRateAssessment>,
    /// Late ones; none before the first. They never change the verdict.
    pub late: Option<LateLabelAssessment>,
}

/// The state of one guardrail.
///
/// Rates are fractions, latencies milliseconds. The values of both variants are weighted alike over
/// slices, so that their difference is exactly the one shown and no change of the split can distort
/// it.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardrailAssessment {
    /// The verdict at the tolerance of the present step.
    pub verdict: Verdict,
    /// The canary's rate or quantile.
    pub canary_value: Option<f64>,
    /// Stable's rate or quantile.
    pub stable_value: Option<f64>,
    /// Canary - stable for rates, canary / stable for latencies.
    pub difference: Option<f64>,
    /// Always-valid interval for the difference at confidence 1 - alpha; for display, it does not
    /// decide. None while there is too little data, and for absolute limits.
    pub interval: Option<(f64, f64)>,
    /// What the difference is held against: the margin with its sign (negative if higher is
    /// better), the tolerated ratio, or the limit in milliseconds (against `canary_value`).
    pub limit: f64,
    /// Trials of the canary: requests, timed requests or labels.
    pub n_canary: u64,
    /// Trials of stable.
    pub n_stable: u64,
    /// Events among the canary's trials; none for latencies.
    pub x_canary: Option<u64>,
    /// Events among stable's trials; none for latencies.
    pub x_stable: Option<u64>,
    /// Log evidence against "within the margin". Finite.
    pub log_e_rollback: f64,
    /// What it takes to be HARMFUL alone; infinite for a rollback guardrail of weight 0.
    pub log_threshold_rollback: f64,
    /// Log evidence against "worse than the step's tolerance". Finite, or negative infinity if
    /// promotion is blocked: by noise, missing labels, a wrong share of the traffic or a drift of scores.
    pub log_e_promote: f64,
    /// What it takes to be SAFE.
    pub log_threshold_promote: f64,
    /// Measured variance inflation, >= 1; above 32 it blocks promotion.
    pub phi: f64,
    /// What is missing until SAFE can be expected; none if it is SAFE, or not to be expected.
    pub missing: Option<Missing>,
    /// For latencies the quantile that the fields above are about: the one that decides.
    pub quantile: Option<f64>,
    /// All quantiles of a latency guardrail, in the order of the plan.
    pub quantiles: Vec<QuantileAssessment>,
    /// An absolute limit is broken, but stable does no better: the guardrail does not act.
    pub environment_unhealthy: bool,
    /// For labelled metrics: how complete the labels are, and the late ones.
    pub labels: Option<LabelAssessment>,
}

/// Why the canary is harmful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HarmCause {
    /// At least one rollback guardrail passed its own threshold.
    Guardrail,
    /// The weighted average over the rollback guardrails passed 1/alpha.
    Average,
    /// At least half of the canary's requests failed, in three consecutive runs, while stable was
    /// well.
    GrossErrors,
    /// At least half of the canary's requests failed, several times within a minute, while stable was well and
    /// more often than stable's own bursts explain.
    Flapping,
}

/// The canary is to be rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    /// Why.
    pub cause: HarmCause,
    /// Indices of the guardrails to blame. Empty only for gross errors in a plan without an
    /// error-rate guardrail.
    pub blamed: Vec<usize>,
}

/// Errors that the canary made more than stable would have, before rescue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtraErrors {
    /// The plain excess; only to be shown.
    pub sum: f64,
    /// Its always-valid lower end at confidence 1 - alpha.
    pub lower: f64,
    /// The lower end that is held against the budget: `lower`, or that of the excess beyond the
    /// margin if the plan has no budget.
    pub charged: f64,
    /// The budget.
    pub budget: f64,
    /// Whether the budget is spent.
    pub spent: bool,
}

/// What the state of all guardrails comes to at one moment: an [`Assessment`] without what is only shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// In the order of the settings.
    pub verdicts: Vec<Verdict>,
    /// As in [`Assessment`].
    pub log_e_rollback: f64,
    /// As in [`Assessment`].
    pub log_threshold: f64,
    /// As in [`Assessment`].
    pub harmful: Option<Harm>,
    /// As in [`Assessment`].
    pub leaning_harmful: bool,
    /// As in [`Assessment`].
    pub required_safe: bool,
    /// As in [`Assessment`].
    pub required_safe_fully: bool,
    /// As in [`Assessment`].
    pub extra_errors: ExtraErrors,
    /// As in [`Assessment`].
    pub budget_spent: bool,
}

/// Whether the canary's scores are distributed otherwise than stable's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftAssessment {
    /// They are: the shape of the output changed.
    pub changed: bool,
    /// Whether that blocks promotion, as the settings ask.
    pub blocks: bool,
    /// Log evidence against "the same distribution".
    pub log_e: f64,
    /// From here on the shape changed.
    pub log_threshold: f64,
    /// Population stability index over stable's deciles: a size, not a test. None before anything was compared.
    pub stability_index: Option<f64>,
    /// Scores of the canary.
    pub n_canary: u64,
    /// Scores of stable.
    pub n_stable: u64,
}

/// How sure it is that the canary does not get the share asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RatioEvidence {
    /// No share is known.
    Unknown,
    /// Each request is assigned on its own: log evidence against the share asked.
    Requests {
        /// Log e-value, divided by the inflation.
        log_e: f64,
        /// From here on it is a mismatch.
        log_threshold: f64,
        /// Measured variance inflation of the ratio, >= 1.
        phi: f64,
    },
    /// Requests are assigned by key: mean over clusters of the canary's requests beyond its share, in standard errors.
    Clusters {
        /// Positive if the canary gets more than asked.
        t: f64,
        /// Further from 0 than this in two successive reports is a mismatch.
        threshold: f64,
    },
}

/// Whether the canary gets the share asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRatioAssessment {
    /// It does not: the comparison cannot be trusted, and nothing is promoted on it. Rolling back stays allowed.
    pub mismatch: bool,
    /// The share asked in the newest epoch where it is known, a fraction.
    pub asked: Option<f64>,
    /// The share of requests that the canary got in that epoch, a fraction.
    pub achieved: Option<f64>,
    /// The evidence, over all epochs.
    pub evidence: RatioEvidence,
}

/// The state of all guardrails at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// In the order of the settings.
    pub guardrails: Vec<GuardrailAssessment>,
    /// Log of the weighted average evidence of the rollback guardrails. Finite, 0 if there is none.
    pub log_e_rollback: f64,
    /// What the average takes to be harmful, `log(1 / alpha)`.
    pub log_threshold: f64,
    /// Whether the canary is to be rolled back, and why.
    pub harmful: Option<Harm>,
    /// Whether the average evidence is past half of its threshold on the log scale: no step
    /// advances then.
    pub leaning_harmful: bool,
    /// Whether every required guardrail is SAFE at the tolerance asked, the variants are comparable, and no drift of scores
    /// blocks.
    pub required_safe: bool,
    /// Whether every required guardrail is SAFE at tolerance 1, the variants are comparable, and no drift of scores
    /// blocks.
    pub required_safe_fully: bool,
    /// Whether the canary gets the share of the traffic that was asked.
    pub sample_ratio: SampleRatioAssessment,
    /// Whether the distribution of scores changed; none if it is not compared.
    pub score_drift: Option<DriftAssessment>,
    /// Variance inflation between users, >= 1, measured on errors per cluster. It is part of the inflation of the error
    /// rate and of the extra errors.
    pub phi_users: f64,
    /// Extra errors of the canary.
    pub extra_errors: ExtraErrors,
    /// Whether the extra errors spent their budget.
    pub budget_spent: bool,
    /// Slices of requests taken.
    pub slices: u64,
    /// Slices refused because their counts cannot be true (more events than trials, saturated
    /// counters).
    pub refused_slices: u64,
}
