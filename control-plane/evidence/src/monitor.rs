//! One guardrail of a running rollout: its rule and its evidence.

use crate::assessment::{GuardrailAssessment, Verdict};
use crate::count::{CountMonitor, Worse};
use crate::counts::{Counts, LabelSlice, Pair};
use crate::histogram::{Histogram, Tail};
use crate::latency::LatencyMonitor;
use crate::limit::LimitMonitor;
use crate::logs::ln;
use crate::reading::{Context, Reading, read_count, read_latency, read_limit};
use crate::settings::{Action, Guardrail, Metric, Settings};
use crate::tolerance::Tolerances;
use crate::traffic::Traffic;

/// The evidence of a guardrail, by the kind of its metric.
#[derive(Clone, Debug)]
enum Evidence {
    Errors(Box<CountMonitor>),
    Labels(Box<CountMonitor>, Traffic),
    Latency(LatencyMonitor),
    Limit(Box<LimitMonitor>),
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
            Evidence::Labels(..) => {}
        }
    }

    /// Takes a slice of labels; false if this guardrail has no labels.
    pub(crate) fn fold_labels(&mut self, slice: &LabelSlice) -> bool {
        let Evidence::Labels(monitor, traffic) = &mut self.evidence else {
            return false;
        };
        monitor.fold_when_learnt(slice.pair, 1.0);
        traffic.fold(slice.epoch, slice.seconds, slice.pair);
        self.compared |= slice.pair.has_both();
        true
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
            Evidence::Labels(monitor, traffic) => {
                read_count(monitor, tolerance, Context { traffic, ..context })
            }
            Evidence::Latency(monitor) => {
                read_latency(monitor, self.log_threshold_rollback(context.alpha), context)
            }
            Evidence::Limit(monitor) => read_limit(monitor, context),
        }
    }

    /// Promotion evidence at another tolerance than the present step's.
    pub(crate) fn log_e_promote(&self, tolerance: Option<usize>) -> f64 {
        let Some(index) = tolerance else {
            return f64::NEG_INFINITY;
        };
        match &self.evidence {
            Evidence::Errors(monitor) | Evidence::Labels(monitor, _) => {
                monitor.process().log_e_promote(index)
            }
            Evidence::Latency(monitor) => monitor.log_e_promote(index),
            Evidence::Limit(monitor) => monitor.log_e_promote(),
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
                // The baseline holds requests, not labels.
                let monitor = CountMonitor::new(worse, *margin, kappas, Counts::default());
                Self::Labels(Box::new(monitor), Traffic::default())
            }
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

/// A reading with its verdict. `compared` says whether there is anything to judge by.
pub(crate) fn judge(
    reading: Reading,
    harmful: bool,
    compared: bool,
    log_threshold_rollback: f64,
    log_threshold_promote: f64,
) -> GuardrailAssessment {
    let verdict = if harmful {
        Verdict::Harmful
    } else if !compared {
        Verdict::NoEvidence
    } else if reading.log_e_promote >= log_threshold_promote {
        Verdict::Safe
    } else {
        Verdict::NeedMore
    };
    let broken_alone = reading
        .log_e_limit_alone
        .is_some_and(|log| log >= log_threshold_rollback);
    GuardrailAssessment {
        verdict,
        canary_value: reading.canary_value,
        stable_value: reading.stable_value,
        difference: reading.difference,
        interval: reading.interval,
        limit: reading.limit,
        n_canary: reading.n_canary,
        n_stable: reading.n_stable,
        log_e_rollback: reading.log_e_rollback,
        log_threshold_rollback,
        log_e_promote: reading.log_e_promote,
        log_threshold_promote,
        phi: reading.phi,
        missing: reading.missing.filter(|_| verdict == Verdict::NeedMore),
        quantile: reading.quantile,
        quantiles: reading.quantiles,
        environment_unhealthy: broken_alone && verdict != Verdict::Harmful,
    }
}
