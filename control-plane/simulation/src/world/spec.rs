//! What a world is made of. Times are seconds from the beginning of the rollout, rates of events are fractions.

use crate::latency::{Grid, Latency};

/// How one variant answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Error rate.
    pub errors: f64,
    /// Latency.
    pub latency: Latency,
    /// For each kind of label the rate of events among labelled requests.
    pub labels: Vec<f64>,
}

/// When a kind of label comes, and for how many requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labels {
    /// How long after the request.
    pub delay_s: f64,
    /// Share of requests that get one.
    pub fraction: f64,
}

/// A canary that begins slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warming {
    /// How long it is.
    pub seconds: f64,
    /// What its latency is multiplied by meanwhile.
    pub latency_factor: f64,
}

/// The canary fails for a while in every period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flapping {
    /// When it fails first.
    pub start_s: f64,
    /// From one failure to the next.
    pub period_s: f64,
    /// How long each lasts, at most a period.
    pub seconds: f64,
    /// Error rate meanwhile.
    pub errors: f64,
}

/// A single failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blip {
    /// When it begins.
    pub at_s: f64,
    /// How long it lasts.
    pub seconds: f64,
    /// Error rate meanwhile.
    pub errors: f64,
    /// Whether it hits stable as well as the canary.
    pub both: bool,
}

/// Swings of both variants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diurnal {
    /// Relative swing of the traffic, 0..=1.
    pub traffic: f64,
    /// Length of one swing.
    pub period_s: f64,
    /// Swing of the log error rate.
    pub log_errors: f64,
}

/// Clumps of errors that hit one variant within one slice, in proportion to its share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Clumps per second of both variants together.
    pub per_second: f64,
    /// Mean number of errors in one, at least 1.
    pub mean_size: f64,
}

/// Outages that hit both variants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incidents {
    /// How many there are per hour.
    pub per_hour: f64,
    /// How long each lasts.
    pub seconds: f64,
    /// Added to both error rates.
    pub errors: f64,
    /// What both latencies are multiplied by.
    pub latency_factor: f64,
}

/// An Ornstein-Uhlenbeck process in the log error rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation.
    pub sd: f64,
    /// Correlation time.
    pub tau_s: f64,
}

/// A world.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Requests per second of both variants together.
    pub rate: f64,
    /// Length of the world; incidents are spread over it.
    pub horizon_s: f64,
    /// The variant that serves today.
    pub stable: Behaviour,
    /// The variant under test, from [`Spec::canary_differs_from_s`] on.
    pub canary: Behaviour,
    /// Kinds of labels, in the order of [`Behaviour::labels`].
    pub labels: Vec<Labels>,
    /// Buckets of latency that are told apart.
    pub grid: Grid,
    /// A canary that begins slow.
    pub warming: Warming,
    /// Before this the canary is as stable is.
    pub canary_differs_from_s: f64,
    /// A canary that fails now and then.
    pub flapping: Option<Flapping>,
    /// Single failures.
    pub blips: Vec<Blip>,
    /// From here on every request of the canary fails.
    pub canary_dead_at_s: Option<f64>,
    /// Swings of both variants.
    pub diurnal: Diurnal,
    /// Clumps of errors.
    pub bursts: Bursts,
    /// Outages of both variants.
    pub incidents: Incidents,
    /// Noise that both variants share.
    pub noise_shared: Noise,
    /// Noise of each variant on its own.
    pub noise_of_one: Noise,
}

impl Spec {
    /// Two variants in a world that nothing disturbs.
    #[must_use]
    pub fn calm(
        rate: f64,
        stable: Behaviour,
        canary: Behaviour,
        labels: Vec<Labels>,
        grid: Grid,
    ) -> Self {
        let quiet = |tau_s| Noise { sd: 0.0, tau_s };
        Self {
            rate,
            horizon_s: 3600.0,
            stable,
            canary,
            labels,
            grid,
            warming: Warming {
                seconds: 0.0,
                latency_factor: 1.0,
            },
            canary_differs_from_s: 0.0,
            flapping: None,
            blips: Vec::new(),
            canary_dead_at_s: None,
            diurnal: Diurnal {
                traffic: 0.0,
                period_s: 3600.0,
                log_errors: 0.0,
            },
            bursts: Bursts {
                per_second: 0.0,
                mean_size: 0.0,
            },
            incidents: Incidents {
                per_hour: 0.0,
                seconds: 60.0,
                errors: 0.0,
                latency_factor: 1.0,
            },
            noise_shared: quiet(60.0),
            noise_of_one: quiet(20.0),
        }
    }
}
