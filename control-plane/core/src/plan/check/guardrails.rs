//! Guardrails: margins, quantiles and weights.

use super::timing;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::share;
use serinus_proto::v1::guardrail::{Action, Metric};
use serinus_proto::v1::labelled::Direction;
use serinus_proto::v1::{Guardrail, Labelled, Latency, Plan};
use std::collections::BTreeSet;

const MOST: usize = 32;
const MOST_QUANTILES: usize = 8;

/// The largest tolerated slow-down.
const LARGEST_RATIO: f64 = 100.0;

/// Checks every guardrail, and all of them together.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    let list = Path::of("guardrails");
    if plan.guardrails.len() > MOST {
        problems.add(
            &list,
            format!("{} guardrails; at most {MOST}", plan.guardrails.len()),
        );
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, guardrail) in plan.guardrails.iter().enumerate() {
        let path = list.item(index);
        one(guardrail, &path, problems);
        for subject in subjects(guardrail) {
            if !seen.insert(subject.clone()) {
                problems.add(&path, format!("a second guardrail for {subject}; keep one"));
            }
        }
    }
    if !plan.guardrails.is_empty() && !plan.guardrails.iter().any(|g| g.required.unwrap_or(true)) {
        problems.add(
            &list,
            "none is required, so nothing could ever be promoted; leave out required: false in one (on_breach: notify is not required unless it says required: true)",
        );
    }
    weights(plan, problems);
}

/// What it watches, as text that is equal for equal things.
fn subjects(guardrail: &Guardrail) -> Vec<String> {
    match &guardrail.metric {
        Some(Metric::ErrorRate(_)) => vec!["error_rate".to_owned()],
        Some(Metric::Accuracy(_)) => vec!["accuracy".to_owned()],
        Some(Metric::Outcome(outcome)) => vec![format!("outcome:{}", outcome.name)],
        Some(Metric::LatencyLimit(limit)) => {
            vec![format!(
                "the limit of latency at quantile {}",
                limit.quantile
            )]
        }
        Some(Metric::Latency(latency)) => {
            // Twice within one list is reported there.
            let distinct: BTreeSet<String> = latency.quantiles.iter().map(f64::to_string).collect();
            distinct
                .into_iter()
                .map(|quantile| format!("latency at quantile {quantile}"))
                .collect()
        }
        None => Vec::new(),
    }
}

fn one(guardrail: &Guardrail, path: &Path, problems: &Problems) {
    let required = guardrail.required.unwrap_or(true);
    match &guardrail.metric {
        Some(Metric::ErrorRate(rate)) => margin(rate.margin, required, "0.0025", path, problems),
        Some(Metric::Latency(latency)) => check_latency(latency, path, problems),
        Some(Metric::LatencyLimit(limit)) => {
            quantile(limit.quantile, &path.field("quantile"), problems);
            timing::above_zero(limit.limit.as_ref(), &path.field("limit"), problems);
        }
        Some(Metric::Accuracy(labelled)) => {
            check_labelled(labelled, required, path, problems);
            if labelled.direction() != Direction::HigherIsBetter {
                problems.add(
                    &path.field("direction"),
                    "accuracy is better when it is higher; leave it out",
                );
            }
        }
        Some(Metric::Outcome(labelled)) => {
            check_labelled(labelled, required, path, problems);
            outcome_name(&labelled.name, path, problems);
            if labelled.direction() == Direction::Unspecified {
                problems.add(
                    &path.field("direction"),
                    "missing; write higher_is_better or lower_is_better",
                );
            }
        }
        None => problems.add(
            &path.field("metric"),
            "missing; write error_rate, latency, accuracy or outcome:NAME",
        ),
    }
    if guardrail.on_breach() == Action::Unspecified {
        problems.add(
            &path.field("on_breach"),
            "unknown; write rollback, hold or notify",
        );
    }
}

fn margin(value: f64, required: bool, example: &str, path: &Path, problems: &Problems) {
    let path = path.field("margin");
    if !value.is_finite() || value < 0.0 {
        problems.add(
            &path,
            format!("{value} is no margin; write a fraction above 0, such as {example}"),
        );
    } else if value > 0.99 {
        let advice = if (1.0..=99.0).contains(&value) {
            format!(
                "margins are fractions: write {} for {value} percentage points",
                share::shown(value / 100.0)
            )
        } else {
            "write a fraction of at most 0.99".to_owned()
        };
        problems.add(&path, format!("{value} is too large; {advice}"));
    } else if value == 0.0 && required {
        let message = format!(
            "is 0: no evidence can prove that, so nothing would be promoted; write such as {example}, or required: false"
        );
        problems.add(&path, message);
    }
}

fn check_latency(latency: &Latency, path: &Path, problems: &Problems) {
    let list = path.field("quantiles");
    if latency.quantiles.len() > MOST_QUANTILES {
        problems.add(
            &list,
            format!(
                "{} quantiles; at most {MOST_QUANTILES}",
                latency.quantiles.len()
            ),
        );
    }
    for (index, &value) in latency.quantiles.iter().enumerate() {
        quantile(value, &list.item(index), problems);
        if latency.quantiles[..index].contains(&value) {
            problems.add(
                &list.item(index),
                format!("{value} is given twice; keep one"),
            );
        }
    }
    let ratio = path.field("ratio");
    let slack = timing::valid(latency.slack.as_ref(), &path.field("slack"), problems);
    if !(latency.ratio >= 1.0 && latency.ratio <= LARGEST_RATIO) {
        let message = format!(
            "{} is no tolerated slow-down; write a number from 1 to {LARGEST_RATIO}, such as 1.10 for 10 % slower",
            latency.ratio
        );
        problems.add(&ratio, message);
    } else if latency.ratio == 1.0 && slack.is_some_and(|slack| slack.is_zero()) {
        problems.add(&ratio, "tolerates nothing, which no evidence can prove; write such as ratio: 1.10 or slack: 2ms");
    }
}

fn quantile(value: f64, path: &Path, problems: &Problems) {
    if (1e-9..=1.0 - 1e-9).contains(&value) {
        return;
    }
    let advice = if value > 1.0 && value < 100.0 {
        format!(
            "write {} for the {value}th percentile",
            share::shown(value / 100.0)
        )
    } else {
        "write a fraction between 0 and 1, such as 0.99".to_owned()
    };
    problems.add(path, format!("{value} is no quantile; {advice}"));
}

fn check_labelled(labelled: &Labelled, required: bool, path: &Path, problems: &Problems) {
    margin(labelled.margin, required, "0.01", path, problems);
    timing::above_zero(
        labelled.label_window.as_ref(),
        &path.field("label_window"),
        problems,
    );
}

fn outcome_name(name: &str, path: &Path, problems: &Problems) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let at = path.field("metric");
    if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
        problems.add(
            &at,
            "outcome: needs a name of letters, digits, '.', '_' and '-', such as outcome:click",
        );
    } else if name == "accuracy" {
        problems.add(&at, "outcome:accuracy is written accuracy");
    }
}

/// Parts of alpha: together at most 1, and something left for those that name none.
fn weights(plan: &Plan, problems: &Problems) {
    let mut sum = 0.0;
    let mut open = Vec::new();
    for (index, guardrail) in plan.guardrails.iter().enumerate() {
        let path = Path::of("guardrails").item(index).field("weight");
        let weight = guardrail.weight;
        let acts = guardrail.on_breach() == Action::Rollback;
        if !(0.0..=1.0).contains(&weight) {
            problems.add(
                &path,
                format!(
                    "{weight} is no part of alpha; write a number between 0 and 1, such as 0.3"
                ),
            );
        } else if weight > 0.0 && !acts {
            problems.add(
                &path,
                "weights divide alpha among guardrails with on_breach: rollback; leave it out here",
            );
        } else if acts {
            sum += weight;
            if weight == 0.0 {
                open.push(index);
            }
        }
    }
    if sum > 1.0 + 1e-9 {
        let message = format!(
            "the weights sum to {}; they must sum to at most 1",
            share::shown(sum)
        );
        problems.add(&Path::of("guardrails"), message);
    } else if let (Some(index), true) = (open.first(), sum > 1.0 - 1e-9) {
        let path = Path::of("guardrails").item(*index).field("weight");
        problems.add(
            &path,
            "the other weights leave nothing for it; write smaller ones there",
        );
    }
}
