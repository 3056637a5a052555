//! The world: Poisson traffic, Bernoulli outcomes, log-normal latency, and what disturbs them.

mod blips;
mod noise;
mod spec;

use crate::draw::Draw;
use crate::latency::Sampler;
use noise::Disturbed;
use serinus_evidence::{Arm, Counts, LabelSlice, Pair};
use std::collections::VecDeque;

pub use spec::{
    Behaviour, Blip, Bursts, Diurnal, Flapping, Incidents, Labels, Noise, Spec, Warming,
};

/// Requests of stable on which its profile before the rollout rests, at least.
const LEAST_BASELINE: f64 = 200.0;

/// What the world did in one slice.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Requests of the variant under test.
    pub canary: Arm,
    /// Requests of the variant that serves today.
    pub stable: Arm,
    /// For each kind of label the slice that became complete now, if any did.
    pub labels: Vec<Option<LabelSlice>>,
}

/// One drawn world, slice after slice.
#[derive(Clone, Debug)]
pub struct World {
    spec: Spec,
    slice_s: f64,
    draw: Draw,
    /// Seconds since the rollout began; negative before.
    now_s: f64,
    disturbed: Disturbed,
    canary_latency: Sampler,
    unchanged_latency: Sampler,
    stable_latency: Sampler,
    waiting: Vec<VecDeque<LabelSlice>>,
}

/// What holds for one slice.
#[derive(Clone, Copy, Debug)]
struct Moment {
    seconds: f64,
    share: f64,
    /// Requests per second.
    rate: f64,
    /// Log factor of both error rates.
    log_errors: f64,
    /// Part of the slice that lies in an incident.
    incident: f64,
}

impl World {
    /// A world whose slices last `slice_s` seconds.
    #[must_use]
    pub fn new(spec: Spec, slice_s: f64, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let sampler = |behaviour: &Behaviour| Sampler::new(behaviour.latency, spec.grid);
        Self {
            disturbed: Disturbed::new(&spec, &mut draw),
            canary_latency: sampler(&spec.canary),
            unchanged_latency: sampler(&spec.stable),
            stable_latency: sampler(&spec.stable),
            waiting: vec![VecDeque::new(); spec.labels.len()],
            slice_s,
            draw,
            now_s: 0.0,
            spec,
        }
    }

    /// Seconds since the rollout began.
    #[must_use]
    pub fn now_s(&self) -> f64 {
        self.now_s
    }

    /// The traffic of stable alone in the `seconds` before the rollout, one entry per second, oldest first, disturbed
    /// like everything after it. Only before the first slice.
    pub fn history(&mut self, seconds: u32) -> Vec<Counts> {
        self.disturbed
            .extend_back(&self.spec, &mut self.draw, f64::from(seconds));
        self.now_s = -f64::from(seconds);
        let history = (0..seconds).map(|_| {
            let moment = self.moment(0.0, 1.0);
            let (_, n) = self.requests(moment);
            let x = self.errors(moment, n, false);
            self.now_s += 1.0;
            Counts { x, n }
        });
        let history = history.collect();
        self.now_s = 0.0;
        history
    }

    /// Stable's profile in the `seconds` before the rollout, undisturbed.
    pub fn baseline(&mut self, seconds: f64) -> Arm {
        let requests = (self.spec.rate * seconds).max(LEAST_BASELINE) as u64;
        Arm {
            requests,
            errors: self.draw.binomial(requests, self.spec.stable.errors),
            latency: self.stable_latency.sample(&mut self.draw, requests, 1.0),
        }
    }

    /// The next slice, at this share of the canary (0..=1). Labels keep the `epoch` of their requests. The canary's
    /// latency is drawn only if it is `timed`.
    pub fn step(&mut self, share: f64, epoch: u64, timed: bool) -> Slice {
        let moment = self.moment(share, self.slice_s);
        let (n_canary, n_stable) = self.requests(moment);
        let labels = self.labels(n_canary, n_stable, epoch);
        let canary = Arm {
            requests: n_canary,
            errors: self.errors(moment, n_canary, true),
            latency: if timed {
                self.canary_latency(moment, n_canary)
            } else {
                Vec::new()
            },
        };
        let slowness = self.slowness(moment);
        let stable = Arm {
            requests: n_stable,
            errors: self.errors(moment, n_stable, false),
            latency: self
                .stable_latency
                .sample(&mut self.draw, n_stable, slowness),
        };
        self.now_s += self.slice_s;
        Slice {
            canary,
            stable,
            labels,
        }
    }

    fn moment(&mut self, share: f64, seconds: f64) -> Moment {
        let wave = self.disturbed.wave(&self.spec.diurnal, self.now_s);
        self.disturbed.wander(&self.spec, &mut self.draw, seconds);
        Moment {
            seconds,
            share,
            rate: self.spec.rate * (1.0 + self.spec.diurnal.traffic * wave),
            log_errors: self.disturbed.shared + self.spec.diurnal.log_errors * wave,
            incident: self
                .disturbed
                .incident(&self.spec.incidents, self.now_s, seconds),
        }
    }

    fn requests(&mut self, moment: Moment) -> (u64, u64) {
        let expected = moment.rate * moment.seconds;
        let canary = self.draw.poisson(expected * moment.share);
        (canary, self.draw.poisson(expected * (1.0 - moment.share)))
    }

    fn canary_differs(&self) -> bool {
        self.now_s >= self.spec.canary_differs_from_s
    }

    fn errors(&mut self, moment: Moment, n: u64, of_canary: bool) -> u64 {
        let differs = of_canary && self.canary_differs();
        let behaviour = if differs {
            &self.spec.canary
        } else {
            &self.spec.stable
        };
        let own = self.disturbed.own[usize::from(!of_canary)];
        // The mean of a log-normal factor is kept at 1.
        let factor = moment.log_errors + own - 0.5 * self.spec.noise_of_one.sd.powi(2);
        let usual = behaviour.errors * factor.exp() + self.spec.incidents.errors * moment.incident;
        let rate =
            self.spec
                .with_blips(usual.clamp(0.0, 1.0), of_canary, self.now_s, moment.seconds);
        let errors = self.draw.binomial(n, rate);
        let share = if of_canary {
            moment.share
        } else {
            1.0 - moment.share
        };
        n.min(errors + self.burst(share, moment.seconds))
    }

    fn burst(&mut self, share: f64, seconds: f64) -> u64 {
        let Bursts {
            per_second,
            mean_size,
        } = self.spec.bursts;
        if per_second <= 0.0 {
            return 0;
        }
        let bursts = self.draw.poisson(per_second * seconds * share);
        self.draw.burst_total(bursts, mean_size)
    }

    /// What both variants' latencies are multiplied by.
    fn slowness(&self, moment: Moment) -> f64 {
        let incident = 1.0 + (self.spec.incidents.latency_factor - 1.0) * moment.incident;
        incident * (0.25 * self.disturbed.shared).exp()
    }

    fn canary_latency(&mut self, moment: Moment, n: u64) -> Vec<(u16, u64)> {
        let warming = self.now_s < self.spec.warming.seconds;
        let cold = if warming {
            self.spec.warming.latency_factor
        } else {
            1.0
        };
        let factor = cold * self.slowness(moment);
        let sampler = if self.canary_differs() {
            &mut self.canary_latency
        } else {
            &mut self.unchanged_latency
        };
        sampler.sample(&mut self.draw, n, factor)
    }

    /// Draws the labels of this slice's requests and returns those that were waited for long enough.
    fn labels(&mut self, n_canary: u64, n_stable: u64, epoch: u64) -> Vec<Option<LabelSlice>> {
        let differs = self.canary_differs();
        let mut complete = Vec::with_capacity(self.waiting.len());
        for (index, waiting) in self.waiting.iter_mut().enumerate() {
            let Labels { delay_s, fraction } = self.spec.labels[index];
            let stable = self.spec.stable.labels[index];
            let canary = if differs {
                self.spec.canary.labels[index]
            } else {
                stable
            };
            let mut labelled = |n: u64, rate: f64| {
                let n = if fraction < 1.0 {
                    self.draw.binomial(n, fraction)
                } else {
                    n
                };
                Counts {
                    x: self.draw.binomial(n, rate),
                    n,
                }
            };
            waiting.push_back(LabelSlice {
                epoch,
                seconds: self.slice_s,
                pair: Pair {
                    canary: labelled(n_canary, canary),
                    stable: labelled(n_stable, stable),
                },
            });
            let slices = (delay_s / self.slice_s).round() as usize;
            complete.push(
                (waiting.len() > slices)
                    .then(|| waiting.pop_front())
                    .flatten(),
            );
        }
        complete
    }
}

#[cfg(test)]
mod tests;
