//! The traffic, from the flags and from what the plan's guardrails ask for.

use super::Args;
use crate::failure::Failure;
use serinus_core::plan::view;
use serinus_proto::v1;
use serinus_simulation::{LabelTraffic, Latency, Traffic};
use v1::guardrail::Metric;

/// The 99th percentile of the standard normal distribution.
const Z_99: f64 = 2.326_347_874_040_841;
/// An outcome's rate where no flag names it.
const DEFAULT_OUTCOME: f64 = 0.1;

/// `NAME=FRACTION`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutcomeRate {
    name: String,
    rate: f64,
}

/// Requests per second.
///
/// # Errors
/// Says the correct form.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err(format!(
            "`{text}` is no rate; write a number from 0.001 to 1000000, such as 200"
        )),
    }
}

/// A fraction, both ends included.
///
/// # Errors
/// Says the correct form.
pub(super) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err(format!(
            "`{text}` is no fraction; write a number from 0 to 1, such as 0.01 for 1 %"
        )),
    }
}

/// An outcome's rate.
///
/// # Errors
/// Says the correct form.
pub(super) fn outcome(text: &str) -> Result<OutcomeRate, String> {
    let form = || format!("`{text}` is no NAME=FRACTION, such as click=0.1");
    let (name, rate) = text.split_once('=').ok_or_else(form)?;
    if name.is_empty() {
        return Err(form());
    }
    Ok(OutcomeRate {
        name: name.to_owned(),
        rate: fraction(rate)?,
    })
}

/// The traffic for a complete plan.
pub(super) fn of(args: &Args, plan: &v1::Plan) -> Result<Traffic, Failure> {
    let labels: Vec<LabelTraffic> = plan
        .guardrails
        .iter()
        .filter_map(|guardrail| label(args, guardrail))
        .collect();
    if let Some(unknown) = args
        .outcome
        .iter()
        .find(|outcome| labels.iter().all(|label| label.name != outcome.name))
    {
        let message = format!(
            "--outcome: no guardrail of the plan is about {}",
            unknown.name
        );
        return Err(Failure::bad_input(message));
    }
    Ok(Traffic {
        rate: args.rps,
        errors: args.error_rate,
        latency: latency(args)?,
        labels,
        label_delay_s: args.label_delay.as_secs_f64(),
        label_fraction: args.label_fraction,
        users: args.users.map(f64::from),
    })
}

fn latency(args: &Args) -> Result<Latency, Failure> {
    let (median, p99) = (
        args.latency_p50.as_secs_f64(),
        args.latency_p99.as_secs_f64(),
    );
    if median <= 0.0 || p99 <= median {
        let message = "--latency-p99 must be longer than --latency-p50, and that longer than 0s";
        return Err(Failure::bad_input(message));
    }
    Ok(Latency {
        median_ms: median * 1e3,
        sigma: (p99 / median).ln() / Z_99,
        tail_share: 0.0,
        tail_factor: 1.0,
    })
}

fn label(args: &Args, guardrail: &v1::Guardrail) -> Option<LabelTraffic> {
    let rate = match guardrail.metric.as_ref()? {
        Metric::Accuracy(_) => args.accuracy,
        Metric::Outcome(of) => {
            let given = args.outcome.iter().find(|outcome| outcome.name == of.name);
            given.map_or(DEFAULT_OUTCOME, |outcome| outcome.rate)
        }
        _ => return None,
    };
    let name = view::metric_name(guardrail);
    let name = name.strip_prefix("outcome:").unwrap_or(&name).to_owned();
    Some(LabelTraffic { name, rate })
}
