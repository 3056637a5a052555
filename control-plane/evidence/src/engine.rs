//! All guardrails of one canary together: slices in, verdicts out.

mod judgement;
mod standing;

use crate::assessment::{Assessment, DriftAssessment, ExtraErrors, Standing};
use crate::budget::ErrorBudget;
use crate::clusters::{ClusterSlice, Clusters};
use crate::counts::{Assigned, LabelSlice, MeanSlice, Pair, RequestSlice, ScoreSlice, ShadowSlice};
use crate::drift::ScoreDrift;
use crate::flapping::Flapping;
use crate::gross::GrossErrors;
use crate::histogram::Histogram;
use crate::latency::StableLatency;
use crate::logs::ln;
use crate::monitor::{Monitor, RequestCounts};
use crate::noise::NoiseLaw;
use crate::reading::Latencies;
use crate::sample_ratio::RatioMonitor;
use crate::settings::{Action, Guardrail, Metric, ScoreDriftPolicy, Settings, SettingsError};
use crate::shown_latency::{ShownLatency, timed};
use crate::state::{State, Tape, state};
use crate::tolerance::Tolerances;
use crate::traffic::Traffic;

/// The decision engine for one canary of one rollout. Its state is a pure function of the slices
/// folded, in order.
#[derive(Clone, Debug)]
pub struct Engine {
    alpha: f64,
    beta: f64,
    log_gamma: f64,
    tolerances: Tolerances,
    monitors: Vec<Monitor>,
    history: StableLatency,
    shown: ShownLatency,
    budget: ErrorBudget,
    gross: GrossErrors,
    flapping: Flapping,
    noise: NoiseLaw,
    traffic: Traffic,
    ratio: RatioMonitor,
    clusters: Clusters,
    drift: Option<(Box<ScoreDrift>, ScoreDriftPolicy)>,
    /// The newest epoch with a slice of requests that has both variants.
    compared_epoch: Option<u64>,
    slices: u64,
    refused_slices: u64,
}

state!(Engine { history, shown, budget, gross, flapping, noise, traffic, ratio, clusters, compared_epoch, slices, refused_slices } each { monitors } fixed { alpha, beta, log_gamma, tolerances, drift });

impl Engine {
    /// An engine that has seen nothing but the baseline.
    ///
    /// # Errors
    /// The first mistake in the settings, with the path of its field.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let weights = settings.check()?;
        let tolerances = Tolerances::new(&settings.tolerances);
        let monitors = settings
            .guardrails
            .iter()
            .zip(weights)
            .map(|(guardrail, weight)| Monitor::new(guardrail, weight, &settings, &tolerances))
            .collect();
        let latency = settings
            .baseline
            .as_ref()
            .map(|arm| Histogram::from_sparse(&arm.latency));
        let margin = budget_margin(&settings.guardrails);
        Ok(Self {
            alpha: settings.alpha,
            beta: settings.beta,
            log_gamma: ln(settings.gamma),
            tolerances,
            monitors,
            history: StableLatency::new(latency.unwrap_or_default()),
            shown: ShownLatency::default(),
            budget: ErrorBudget::new(settings.extra_errors_budget, margin),
            gross: GrossErrors::default(),
            flapping: Flapping::new(&settings.stable_history, margin),
            noise: NoiseLaw::new(&settings.stable_history),
            traffic: Traffic::default(),
            ratio: RatioMonitor::default(),
            clusters: Clusters::default(),
            drift: settings.score_drift.map(|policy| (Box::default(), policy)),
            compared_epoch: None,
            slices: 0,
            refused_slices: 0,
        })
    }

    /// Takes one slice of requests. A slice whose counts cannot be true is refused, counted, and
    /// changes nothing else.
    pub fn fold_requests(&mut self, slice: &RequestSlice) {
        if !slice.canary.is_plausible() || !slice.stable.is_plausible() {
            self.refused_slices += 1;
            return;
        }
        self.slices += 1;
        let errors = slice.errors();
        if errors.has_both() {
            self.compared_epoch = self.compared_epoch.max(Some(slice.epoch));
        }
        let inflation = self.noise.inflation(errors, slice.seconds);
        self.budget.fold(errors, inflation);
        self.flapping.fold(errors, slice.seconds);
        self.gross.fold(errors, self.flapping.stable());
        self.traffic.fold(slice.epoch, slice.seconds, errors);
        let canary = Histogram::from_sparse(&slice.canary.latency);
        let stable = Histogram::from_sparse(&slice.stable.latency);
        let (canary_tail, stable_tail) = (canary.tail(), stable.tail());
        let counts = RequestCounts {
            errors,
            inflation,
            history: &self.history.tail(),
            canary: &canary_tail,
            stable: &stable_tail,
        };
        self.monitors
            .iter_mut()
            .for_each(|monitor| monitor.fold_requests(counts));
        self.noise.fold(errors, slice.seconds);
        self.history.fold(&stable);
        self.shown
            .fold(&canary, &stable, timed(&canary_tail, &stable_tail));
    }

    /// Takes how many requests were assigned to each variant where each is assigned on its own and the epoch asks for
    /// this share of the canary, a fraction. Requests that were judged would not do: of a variant that answers more slowly
    /// fewer of the last seconds are, but no fewer are assigned. Refused and counted if the counts cannot be true.
    pub fn fold_assignments(&mut self, epoch: u64, share: f64, assigned: Assigned) {
        if Pair::new(0, assigned.canary, 0, assigned.stable).is_plausible() {
            self.ratio.fold_assignments(epoch, share, assigned);
        } else {
            self.refused_slices += 1;
        }
    }

    /// Takes one sealed slice of labels for the guardrail with this index. It is refused and
    /// counted if its counts cannot be true, or if that guardrail has no labels.
    pub fn fold_labels(&mut self, guardrail: usize, slice: &LabelSlice) {
        let taken = slice.pair.is_plausible()
            && self
                .monitors
                .get_mut(guardrail)
                .is_some_and(|monitor| monitor.fold_labels(slice));
        if !taken {
            self.refused_slices += 1;
        }
    }

    /// Takes one slice of scores for the guardrail with this index. It is refused and counted if its moments cannot be
    /// true, or if that guardrail is on no mean.
    pub fn fold_means(&mut self, guardrail: usize, slice: &MeanSlice) {
        let taken = slice.is_plausible()
            && self
                .monitors
                .get_mut(guardrail)
                .is_some_and(|monitor| monitor.fold_means(slice));
        if !taken {
            self.refused_slices += 1;
        }
    }

    /// Takes one slice of shadowed pairs for the guardrail with this index. Refused and counted like others.
    pub fn fold_shadow(&mut self, guardrail: usize, slice: &ShadowSlice) {
        let taken = slice.pairs.is_plausible()
            && self
                .monitors
                .get_mut(guardrail)
                .is_some_and(|monitor| monitor.fold_shadow(slice));
        if !taken {
            self.refused_slices += 1;
        }
    }

    /// Takes one slice of scores. Refused and counted if the counts cannot be true, or if the settings do not ask for
    /// drift.
    pub fn fold_scores(&mut self, slice: &ScoreSlice) {
        match &mut self.drift {
            Some((drift, _)) if slice.is_plausible() => drift.fold(slice),
            _ => self.refused_slices += 1,
        }
    }

    /// Takes the cluster totals of one epoch, summed over sidecars: once per report interval (10 s) the newest epoch's,
    /// and those of earlier epochs that still grew. They tell how much users differ and, with the share asked, whether
    /// the canary gets it. Refused and counted if they cannot be true.
    pub fn fold_clusters(&mut self, slice: &ClusterSlice) {
        if !self.clusters.fold(slice) {
            self.refused_slices += 1;
            return;
        }
        self.ratio.fold_clusters(slice, &self.clusters);
        let phi = self.clusters.phi();
        self.monitors
            .iter_mut()
            .for_each(|monitor| monitor.know_users(phi));
    }

    /// Takes labels that came after their window, for the guardrail with this index. They never change a verdict of the
    /// running rollout; they can only reopen it. Refused and counted like others.
    pub fn fold_late_labels(&mut self, guardrail: usize, slice: &LabelSlice) {
        let taken = slice.pair.is_plausible()
            && self
                .monitors
                .get_mut(guardrail)
                .is_some_and(|monitor| monitor.fold_late_labels(slice));
        if !taken {
            self.refused_slices += 1;
        }
    }

    /// Takes the cluster totals of the labels of the guardrail with this index. Refused and counted if they cannot be
    /// true, or if that guardrail has no labels.
    pub fn fold_label_clusters(&mut self, guardrail: usize, slice: &ClusterSlice) {
        let taken = self
            .monitors
            .get_mut(guardrail)
            .is_some_and(|monitor| monitor.fold_label_clusters(slice));
        if !taken {
            self.refused_slices += 1;
        }
    }

    /// The state of all guardrails.
    ///
    /// `tolerance` is kappa of the present step; one that was not announced in the settings is
    /// rounded down to one that was. `epoch` is the present epoch and `expects_both` says whether
    /// its split gives traffic to canary and stable. Call it at the end of every slice: a threshold
    /// counts at any time it is crossed.
    pub fn assess(&self, tolerance: f64, epoch: u64, expects_both: bool) -> Assessment {
        judgement::assess(self, tolerance, epoch, expects_both)
    }

    /// Verdicts and what follows from them, without the values, intervals and forecasts that [`Self::assess`] adds for
    /// people: for a simulation that looks at millions of slices.
    pub fn stand(&self, tolerance: f64, epoch: u64, expects_both: bool) -> Standing {
        standing::stand(self, tolerance, epoch, expects_both)
    }

    /// The state as bytes; [`Engine::resume`] takes them.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut tape = Tape::writing();
        let mut copy = self.clone();
        copy.walk(&mut tape);
        copy.walk_drift(&mut tape);
        tape.into_bytes()
    }

    /// Goes on with what another engine with the same settings, of the same [`crate::ENGINE_VERSION`], has saved: from
    /// then on it gives the same bits as that one. Whether the bytes are such a state; else nothing has changed.
    #[must_use]
    pub fn resume(&mut self, bytes: &[u8]) -> bool {
        let mut tape = Tape::reading(bytes);
        let mut copy = self.clone();
        copy.walk(&mut tape);
        copy.walk_drift(&mut tape);
        let whole = tape.is_at_its_end();
        if whole {
            *self = copy;
        }
        whole
    }

    fn walk_drift(&mut self, tape: &mut Tape) {
        if let Some((drift, _)) = &mut self.drift {
            drift.walk(tape);
        }
    }

    fn extra_errors(&self) -> ExtraErrors {
        self.budget.read(self.alpha, self.clusters.phi())
    }

    fn score_drift(&self) -> Option<DriftAssessment> {
        let (drift, policy) = self.drift.as_ref()?;
        let blocking = *policy == ScoreDriftPolicy::BlockPromotion;
        Some(drift.read(self.alpha, blocking))
    }

    /// Whether nothing but the guardrails can keep the canary from being promoted: the variants get the traffic that was
    /// asked, so that they can be compared, and no drift of scores blocks.
    fn may_promote(&self) -> bool {
        let blocked = self.score_drift().is_some_and(|drift| drift.blocks);
        !self.ratio.read().mismatch && !blocked
    }

    fn latencies(&self) -> Latencies {
        let (canary, stable) = self.shown.tails();
        let total = self.shown.total();
        Latencies {
            log_gamma: self.log_gamma,
            canary,
            stable,
            history: self.history.tail(),
            n_canary: total.canary.n,
            n_stable: total.stable.n,
        }
    }
}

/// The margin beyond which the default budget is charged: that of the first error-rate guardrail,
/// one that rolls back if there is any; without one, every extra error is charged.
fn budget_margin(guardrails: &[Guardrail]) -> f64 {
    let margin = |guardrail: &Guardrail| match guardrail.metric {
        Metric::ErrorRate { margin } => Some(margin),
        _ => None,
    };
    let rolls_back = |guardrail: &&Guardrail| guardrail.on_breach == Action::Rollback;
    let first = guardrails.iter().filter(rolls_back).find_map(margin);
    first
        .or_else(|| guardrails.iter().find_map(margin))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
