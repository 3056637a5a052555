//! What the decision engine is asked, from the plan.

use super::duration::to_std;
use super::view;
use serinus_common::sketch::GAMMA;
use serinus_evidence::{Action, Guardrail, Metric, Settings};
use serinus_proto::v1;
use serinus_proto::v1::guardrail::{Action as PlannedAction, Metric as Planned};
use serinus_proto::v1::labelled::Direction;

/// The engine's settings of a completed plan, without a baseline. Guardrails keep their order, so that an
/// assessment's i-th guardrail is the plan's i-th.
#[must_use]
pub fn evidence_settings(plan: &v1::Plan) -> Settings {
    let confidence = plan.confidence.unwrap_or_default();
    let budget = plan.budget.unwrap_or_default();
    Settings {
        gamma: GAMMA,
        alpha: confidence.alpha,
        beta: confidence.beta,
        tolerances: view::tolerances(plan),
        extra_errors_budget: (budget.extra_errors > 0).then_some(budget.extra_errors as f64),
        ..Settings::new(plan.guardrails.iter().filter_map(guardrail).collect())
    }
}

fn guardrail(planned: &v1::Guardrail) -> Option<Guardrail> {
    Some(Guardrail {
        metric: metric(planned.metric.as_ref()?),
        on_breach: match planned.on_breach() {
            PlannedAction::Hold => Action::Hold,
            PlannedAction::Notify => Action::Notify,
            PlannedAction::Rollback | PlannedAction::Unspecified => Action::Rollback,
        },
        weight: (planned.weight > 0.0).then_some(planned.weight),
        required: planned.required.unwrap_or(true),
    })
}

fn metric(planned: &Planned) -> Metric {
    match planned {
        Planned::ErrorRate(rate) => Metric::ErrorRate {
            margin: rate.margin,
        },
        Planned::Latency(latency) => Metric::Latency {
            quantiles: latency.quantiles.clone(),
            ratio: latency.ratio,
            slack_ms: millis(latency.slack.as_ref()),
        },
        Planned::LatencyLimit(limit) => Metric::LatencyLimit {
            quantile: limit.quantile,
            limit_ms: millis(limit.limit.as_ref()),
        },
        Planned::Accuracy(labelled) | Planned::Outcome(labelled) => Metric::Labelled {
            name: labelled.name.clone(),
            higher_is_better: labelled.direction() != Direction::LowerIsBetter,
            margin: labelled.margin,
        },
    }
}

fn millis(duration: Option<&prost_types::Duration>) -> f64 {
    to_std(duration).as_micros() as f64 / 1e3
}
