//! One guardrail of a running rollout: its rule and its evidence.

use crate::assessment::{GuardrailAssessment, Verdict};
use crate::clusters::ClusterSlice;
use crate::count::{CountMonitor, Worse};
use crate::counts::{LabelSlice, MeanSlice, Pair, ShadowSlice};
use crate::histogram::{Histogram, Tail};
use crate::labelled::LabelMonitor;
use crate::latency::LatencyMonitor;
use crate::limit::LimitMonitor;
use crate::logs::ln;
use crate::mean::MeanMonitor;
use crate::reading::{
    Context, Reading, read_agreement, read_count, read_labels, read_latency, read_limit, read_mean,
};
use crate::settings::{Action, Guardrail, Metric, Settings};
use crate::shadow::Agreement;
use crate::state::{State, Tape};
use crate::tolerance::Tolerances;

/// The evidence of a guardrail, by the kind of its metric.
#[derive(Clone, Debug)]
enum Evidence {
    Errors(Box<CountMonitor>),
    Labels(Box<LabelMonitor>),
    Latency(LatencyMonitor),
    Limit(Box<LimitMonitor>),
    Mean(Box<MeanMonitor>),
    Agreement(Box<Agreement>),
}

impl State for Evidence {
    fn walk(&mut self, tape: &mut Tape) {
        match self {
            Self::Errors(of) => of.walk(tape),
            Self::Labels(of) => of.walk(tape),
            Self::Latency(of) => of.walk(tape),
            Self::Limit(of) => of.walk(tape),
            Self::Mean(of) => of.walk(tape),
            Self::Agreement(of) => of.walk(tape),
        }
    }
}

/// A slice of requests as the monitors take it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestCounts<'a> {
    pub(crate) errors: Pair,
    /// By how much the noise of single arms may inflate the variance of the errors, >= 1.
    pub(crate) inflation: f64,
    pub(crate) history: &'a Tail,
    pub(crate) canary: &'a Tail,
    pub(crate) stable: &'a Tail,
}

/// A guardrail with its evidence.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    evidence: Evidence,
    action: Action,
    weight: f64,
    required: bool,
    /// Whether some slice had both variants.
    compared: bool,
}

crate::state::state!(Monitor { evidence, compared } fixed { action, weight, required });

impl Monitor {
    pub(crate) fn new(
        guardrail: &Guardrail,
        weight: f64,
        settings: &Settings,
        tolerances: &Tolerances,
    ) -> Self {
        Self {
            evidence: Evidence::new(&guardrail.metric, settings, tolerances),
            action: guardrail.on_breach,
            weight,
            required: guardrail.required,
            compared: false,
        }
    }

    pub(crate) fn fold_requests(&mut self, slice: RequestCounts<'_>) {
        match &mut self.evidence {
            Evidence::Errors(monitor) => {
                monitor.fold_when_learnt(slice.errors, slice.inflation);
                self.compared |= slice.errors.has_both();
            }
            Evidence::Latency(monitor) => {
                monitor.fold(slice.history, slice.canary, slice.stable);
                self.compared |= has_both(slice);
            }
            Evidence::Limit(monitor) => {
                monitor.fold(slice.canary, slice.stable);
                self.compared |= has_both(slice);
            }
            Evidence::Labels(_) | Evidence::Mean(_) | Evidence::Agreement(_) => {}
        }
    }

    /// Takes a slice of labels; false if this guardrail has no labels.
    pub(crate) fn fold_labels(&mut self, slice: &LabelSlice) -> bool {
        let Evidence::Labels(monitor) = &mut self.evidence else {
            return false;
        };
        monitor.fold(slice);
        self.compared |= slice.pair.has_both();
        true
    }

    /// Takes a slice of late labels; false if this guardrail has no labels.
    pub(crate) fn fold_late_labels(&mut self, slice: &LabelSlice) -> bool {
        let Evidence::Labels(monitor) = &mut self.evidence else {
            return false;
        };
        monitor.fold_late(slice);
        true
    }

    /// Takes a slice of scores; false if this guardrail has none.
    pub(crate) fn fold_means(&mut self, slice: &MeanSlice) -> bool {
        let Evidence::Mean(monitor) = &mut self.evidence else {
            return false;
        };
        monitor.fold(slice);
        self.compared = monitor.is_compared();
        true
    }

    /// Takes a slice of shadowed pairs; false if this guardrail compares none.
    pub(crate) fn fold_shadow(&mut self, slice: &ShadowSlice) -> bool {
        let Evidence::Agreement(monitor) = &mut self.evidence else {
            return false;
        };
        monitor.fold(slice);
        self.compared |= slice.pairs.n > 0;
        true
    }

    /// Takes cluster totals of labels; false if they cannot be true or this guardrail has no labels.
    pub(crate) fn fold_label_clusters(&mut self, slice: &ClusterSlice) -> bool {
        match &mut self.evidence {
            Evidence::Labels(monitor) => monitor.fold_clusters(slice),
            _ => false,
        }
    }

    /// The variance inflation of the error rate between users.
    pub(crate) fn know_users(&mut self, phi: f64) {
        if let Evidence::Errors(monitor) = &mut self.evidence {
            monitor.know_users(phi);
        }
    }

    /// The log evidence it takes to act alone.
    pub(crate) fn log_threshold_rollback(&self, alpha: f64) -> f64 {
        match self.action {
            Action::Rollback => -ln(alpha * self.weight),
            Action::Hold | Action::Notify => -ln(alpha),
        }
    }

    pub(crate) fn read(&self, context: Context<'_>, tolerances: &Tolerances) -> Reading {
        let tolerance = context.tolerance.map(|index| tolerances.values()[index]);
        match &self.evidence {
            Evidence::Errors(monitor) => read_count(monitor, tolerance, context),
            Evidence::Labels(monitor) => read_labels(monitor, tolerance, context),
            Evidence::Latency(monitor) => {
                read_latency(monitor, self.log_threshold_rollback(context.alpha), context)
            }
            Evidence::Limit(monitor) => read_limit(monitor, context),
            Evidence::Agreement(monitor) => read_agreement(monitor, context),
            Evidence::Mean(monitor) => read_mean(monitor, tolerance, context),
        }
    }

    /// Log evidence against "within the margin". Finite.
    pub(crate) fn log_e_rollback(&self) -> f64 {
        match &self.evidence {
            Evidence::Errors(monitor) => monitor.process().log_e_rollback(),
            Evidence::Labels(monitor) => monitor.rate().process().log_e_rollback(),
            Evidence::Latency(monitor) => monitor.log_e_rollback(),
            Evidence::Limit(monitor) => monitor.log_e_rollback(),
            Evidence::Mean(monitor) => monitor.log_e_rollback(),
            Evidence::Agreement(monitor) => monitor.log_e_rollback(),
        }
    }

    /// Promotion evidence at another tolerance than the present step's.
    pub(crate) fn log_e_promote(&self, tolerance: Option<usize>) -> f64 {
        let Some(index) = tolerance else {
            return f64::NEG_INFINITY;
        };
        match &self.evidence {
            Evidence::Errors(monitor) => monitor.process().log_e_promote(index),
            Evidence::Labels(monitor) => monitor.log_e_promote(index),
            Evidence::Latency(monitor) => monitor.log_e_promote(index),
            Evidence::Limit(monitor) => monitor.log_e_promote(),
            Evidence::Agreement(monitor) => monitor.log_e_promote(),
            Evidence::Mean(monitor) => monitor.log_e_promote(index),
        }
    }

    pub(crate) fn measures_errors(&self) -> bool {
        matches!(self.evidence, Evidence::Errors(_))
    }

    pub(crate) fn rolls_back(&self) -> bool {
        self.action == Action::Rollback
    }

    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    pub(crate) fn is_compared(&self) -> bool {
        self.compared
    }
}

fn has_both(slice: RequestCounts<'_>) -> bool {
    slice.canary.total() > 0.0 && slice.stable.total() > 0.0
}

impl Evidence {
    fn new(metric: &Metric, settings: &Settings, tolerances: &Tolerances) -> Self {
        let kappas = tolerances.values().to_vec();
        let before = settings.baseline.clone().unwrap_or_default();
        match metric {
            Metric::ErrorRate { margin } => {
                let errors = before.errors();
                let monitor = CountMonitor::with_noise(Worse::Higher, *margin, kappas, errors);
                Self::Errors(Box::new(monitor))
            }
            Metric::Labelled {
                higher_is_better,
                margin,
                ..
            } => {
                let worse = if *higher_is_better {
                    Worse::Lower
                } else {
                    Worse::Higher
                };
                Self::Labels(Box::new(LabelMonitor::new(
                    worse,
                    *margin,
                    kappas,
                    settings.alpha,
                )))
            }
            Metric::Disagreement { limit } => Self::Agreement(Box::new(Agreement::new(*limit))),
            Metric::Mean {
                higher_is_better,
                margin,
                ..
            } => Self::Mean(Box::new(MeanMonitor::new(
                *higher_is_better,
                *margin,
                kappas,
            ))),
            Metric::Latency {
                quantiles,
                ratio,
                slack_ms,
            } => {
                let gamma = settings.gamma;
                Self::Latency(LatencyMonitor::new(
                    gamma, *ratio, *slack_ms, quantiles, kappas,
                ))
            }
            Metric::LatencyLimit { quantile, limit_ms } => {
                let baseline = Histogram::from_sparse(&before.latency).tail();
                let monitor = LimitMonitor::new(settings.gamma, *quantile, *limit_ms, &baseline);
                Self::Limit(Box::new(monitor))
            }
        }
    }
}

/// The log evidence that it takes to act, and to be SAFE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    pub(crate) rollback: f64,
    pub(crate) promote: f64,
}

/// A reading with its verdict.
pub(crate) fn judge(
    reading: Reading,
    verdict: Verdict,
    thresholds: Thresholds,
) -> GuardrailAssessment {
    let broken_alone = reading
        .log_e_limit_alone
        .is_some_and(|log| log >= thresholds.rollback);
    GuardrailAssessment {
        verdict,
        canary_value: reading.canary_value,
        stable_value: reading.stable_value,
        difference: reading.difference,
        interval: reading.interval,
        limit: reading.limit,
        n_canary: reading.n_canary,
        n_stable: reading.n_stable,
        x_canary: reading.events.map(|(canary, _)| canary),
        x_stable: reading.events.map(|(_, stable)| stable),
        log_e_rollback: reading.log_e_rollback,
        log_threshold_rollback: thresholds.rollback,
        log_e_promote: reading.log_e_promote,
        log_threshold_promote: thresholds.promote,
        phi: reading.phi,
        missing: reading.missing.filter(|_| verdict == Verdict::NeedMore),
        quantile: reading.quantile,
        quantiles: reading.quantiles,
        environment_unhealthy: broken_alone && verdict != Verdict::Harmful,
        labels: reading.labels,
    }
}
