//! From the fields of a file to a world.

use super::{CanaryFields, NoiseFields, Scenario, StableFields};
use crate::latency::{Grid, Latency};
use crate::world::{
    Behaviour, Blip, Bursts, Diurnal, Flapping, Incidents, Labels, Noise, Spec, Warming,
};

/// The first bucket ends at this multiple of stable's median latency.
const FIRST_EDGE: f64 = 0.60;
const BUCKETS: u16 = 150;
/// The sketch's index of the first bucket; only differences of indices matter where no limit is in milliseconds.
const FIRST_INDEX: u16 = 550;

impl Scenario {
    /// What is measured from labels beside errors and latency, with the margin: `accuracy`, then the outcome
    /// `conversion`. A higher rate is better. The order is that of [`Spec::labels`].
    #[must_use]
    pub fn labelled(&self) -> Vec<(&'static str, f64)> {
        let accuracy = self.stable.acc.map(|_| ("accuracy", self.margins.acc));
        let conversion = self.stable.conv.map(|_| ("conversion", self.margins.conv));
        accuracy.into_iter().chain(conversion).collect()
    }

    /// The stable variant with what the canary has differently.
    #[must_use]
    pub fn canary_fields(&self) -> StableFields {
        let StableFields {
            err,
            acc,
            conv,
            lat_ms,
            sigma,
            tail,
        } = self.stable;
        let CanaryFields {
            err: e,
            acc: a,
            conv: c,
            lat_ms: l,
            sigma: s,
            tail: t,
        } = self.canary;
        StableFields {
            err: e.unwrap_or(err),
            acc: acc.map(|acc| a.unwrap_or(acc)),
            conv: conv.map(|conv| c.unwrap_or(conv)),
            lat_ms: l.unwrap_or(lat_ms),
            sigma: s.unwrap_or(sigma),
            tail: t.unwrap_or(tail),
        }
    }

    /// The world of this scenario.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let labels = |delay_s, fraction| Labels { delay_s, fraction };
        let accuracy = self
            .stable
            .acc
            .map(|_| labels(self.label_delay, self.label_fraction));
        // A conversion is known with the request.
        let conversion = self.stable.conv.map(|_| labels(0.0, 1.0));
        Spec {
            rate: self.rate,
            horizon_s: self.horizon,
            stable: behaviour(&self.stable),
            canary: behaviour(&self.canary_fields()),
            labels: accuracy.into_iter().chain(conversion).collect(),
            grid: Grid {
                first_edge_ms: FIRST_EDGE * self.stable.lat_ms,
                first_index: FIRST_INDEX,
                buckets: BUCKETS,
            },
            warming: Warming {
                seconds: self.canary_warmup.seconds,
                latency_factor: self.canary_warmup.lat_mult,
            },
            canary_differs_from_s: self.canary_change_at,
            flapping: self.canary_blips.map(|of| Flapping {
                start_s: of.start,
                period_s: of.period,
                seconds: of.seconds,
                errors: of.err,
            }),
            blips: self.blips.iter().map(blip).collect(),
            canary_dead_at_s: self.canary_dead_at,
            diurnal: Diurnal {
                traffic: self.diurnal.amp,
                period_s: self.diurnal.period,
                log_errors: self.diurnal.err_amp,
            },
            bursts: Bursts {
                per_second: self.bursts.per_second,
                mean_size: self.bursts.mean_size,
            },
            incidents: Incidents {
                per_hour: self.incidents.per_hour,
                seconds: self.incidents.seconds,
                errors: self.incidents.err_add,
                latency_factor: self.incidents.lat_mult,
            },
            noise_shared: noise(self.ou_shared, 60.0),
            noise_of_one: noise(self.ou_arm, 20.0),
        }
    }
}

fn behaviour(fields: &StableFields) -> Behaviour {
    Behaviour {
        errors: fields.err,
        latency: Latency {
            median_ms: fields.lat_ms,
            sigma: fields.sigma,
            tail_share: fields.tail[0],
            tail_factor: fields.tail[1],
        },
        labels: fields.acc.into_iter().chain(fields.conv).collect(),
    }
}

fn blip(fields: &super::BlipFields) -> Blip {
    Blip {
        at_s: fields.at,
        seconds: fields.seconds,
        errors: fields.err,
        both: fields.both,
    }
}

fn noise(fields: NoiseFields, tau_s: f64) -> Noise {
    Noise {
        sd: fields.sd,
        tau_s: fields.tau.unwrap_or(tau_s),
    }
}
