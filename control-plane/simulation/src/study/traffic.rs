//! The traffic that a plan is tried in.

use crate::latency::{Grid, Latency};
use crate::world::{Behaviour, Labels};
use serinus_core::plan::view;
use serinus_proto::v1;
use v1::guardrail::Metric;

/// A share of labels at which a slice is complete before its window ends.
const COMPLETE: f64 = 0.95;

/// What stable's traffic is like. Rates of events are fractions.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Requests per second of both variants together.
    pub rate: f64,
    /// Stable's error rate.
    pub errors: f64,
    /// Stable's latency.
    pub latency: Latency,
    /// One entry for each kind of label that the plan's guardrails need.
    pub labels: Vec<LabelTraffic>,
    /// How long after the request a label comes, in seconds.
    pub label_delay_s: f64,
    /// Share of requests that get one.
    pub label_fraction: f64,
    /// Distinct users, evenly active; none: every request is another user's.
    pub users: Option<f64>,
}

/// One kind of label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelTraffic {
    /// `accuracy` or the outcome's name.
    pub name: String,
    /// Stable's rate.
    pub rate: f64,
}

impl Traffic {
    pub(super) fn stable(&self) -> Behaviour {
        Behaviour {
            errors: self.errors,
            latency: self.latency,
            labels: self.labels.iter().map(|of| of.rate).collect(),
        }
    }

    /// When labels of this name count, by the sealing rules of the control plane: as soon as nearly all are there, else
    /// at the end of the guardrail's window; those that come after it are dropped.
    pub(super) fn sealing(&self, plan: &v1::Plan, name: &str) -> Labels {
        let is_its = |guardrail: &&v1::Guardrail| match &guardrail.metric {
            Some(Metric::Accuracy(of) | Metric::Outcome(of)) => of.name == name,
            _ => false,
        };
        let guardrail = plan.guardrails.iter().find(is_its);
        let window_s = guardrail
            .and_then(view::label_window)
            .map_or(f64::INFINITY, |window| window.as_secs_f64());
        if self.label_delay_s > window_s {
            return Labels {
                delay_s: window_s,
                fraction: 0.0,
            };
        }
        let complete = self.label_fraction >= COMPLETE;
        let delay_s = if complete {
            self.label_delay_s
        } else {
            window_s
        };
        Labels {
            delay_s,
            fraction: self.label_fraction,
        }
    }

    /// Buckets wide enough for canaries that are some times slower, and for the plan's limits.
    pub(super) fn grid(&self, plan: &v1::Plan) -> Grid {
        let limit_ms = |guardrail: &v1::Guardrail| match &guardrail.metric {
            Some(Metric::LatencyLimit(of)) => {
                serinus_core::plan::std_duration(of.limit.as_ref()).as_secs_f64() * 1e3
            }
            _ => 0.0,
        };
        let limits_ms = plan.guardrails.iter().map(limit_ms).fold(0.0, f64::max);
        let highest_ms = (4.0 * self.latency.quantile(0.999)).max(2.0 * limits_ms);
        Grid::aligned(self.latency.quantile(0.001), highest_ms)
    }
}
