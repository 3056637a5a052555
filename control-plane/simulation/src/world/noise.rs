//! What disturbs error rates and latency: incidents, swings and wandering rates.

use super::spec::{Diurnal, Incidents, Spec};
use crate::draw::Draw;
use std::f64::consts::TAU;

/// Worlds have at most so many incidents within their horizon.
const MOST_INCIDENTS: u64 = 32;

/// The state of all disturbances.
#[derive(Clone, Debug)]
pub(super) struct Disturbed {
    incidents_s: Vec<f64>,
    phase: f64,
    /// Log error rate factor of both variants.
    pub(super) shared: f64,
    /// The same of each alone: the canary's, then stable's.
    pub(super) own: [f64; 2],
}

impl Disturbed {
    pub(super) fn new(spec: &Spec, draw: &mut Draw) -> Self {
        let mean = spec.incidents.per_hour * spec.horizon_s / 3600.0;
        let count = draw.poisson(mean).min(MOST_INCIDENTS);
        Self {
            incidents_s: (0..count)
                .map(|_| draw.uniform(0.0, spec.horizon_s))
                .collect(),
            phase: draw.uniform(0.0, TAU),
            shared: spec.noise_shared.sd * draw.normal(),
            own: [draw.normal(), draw.normal()].map(|normal| spec.noise_of_one.sd * normal),
        }
    }

    /// Adds the incidents of the time before the rollout.
    pub(super) fn extend_back(&mut self, spec: &Spec, draw: &mut Draw, seconds: f64) {
        let count = draw
            .poisson(spec.incidents.per_hour * seconds / 3600.0)
            .min(MOST_INCIDENTS);
        self.incidents_s
            .extend((0..count).map(|_| draw.uniform(-seconds, 0.0)));
    }

    /// The swing at a time, -1..=1.
    pub(super) fn wave(&self, diurnal: &Diurnal, now_s: f64) -> f64 {
        (TAU * now_s / diurnal.period_s + self.phase).sin()
    }

    /// Lets the wandering rates go on for so long.
    pub(super) fn wander(&mut self, spec: &Spec, draw: &mut Draw, seconds: f64) {
        let mut go_on = |state: &mut f64, sd: f64, tau_s: f64| {
            if sd > 0.0 {
                let keep = (-seconds / tau_s).exp();
                *state = keep * *state + (1.0 - keep * keep).sqrt() * sd * draw.normal();
            }
        };
        go_on(
            &mut self.shared,
            spec.noise_shared.sd,
            spec.noise_shared.tau_s,
        );
        for own in &mut self.own {
            go_on(own, spec.noise_of_one.sd, spec.noise_of_one.tau_s);
        }
    }

    /// The largest part of the time from `from_s` on that lies in one incident.
    pub(super) fn incident(&self, incidents: &Incidents, from_s: f64, seconds: f64) -> f64 {
        let part = |&at_s: &f64| {
            let until_s = (at_s + incidents.seconds).min(from_s + seconds);
            ((until_s - at_s.max(from_s)) / seconds).clamp(0.0, 1.0)
        };
        self.incidents_s.iter().map(part).fold(0.0, f64::max)
    }
}
