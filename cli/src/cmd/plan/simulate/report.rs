//! The answer for people: assumptions, a table, and what to think of it.

use super::{Results, causes, words};
use crate::output::table::table;
use crate::view::number;
use serinus_core::plan::view;
use serinus_simulation::{Canary, Interval, Tally, Traffic};

const HEAD: [&str; 10] = [
    "CANARY",
    "MARGINS",
    "ROLLED BACK",
    "PROMOTED",
    "OPEN",
    "BY",
    "AFTER",
    "SERVED",
    "HARMED",
    "FULL AFTER",
];

pub(super) fn text(results: &Results) -> String {
    let rows: Vec<Vec<String>> = (0..results.tallies.len())
        .map(|case| row(results, case))
        .collect();
    let mut out = head(results);
    out.push('\n');
    out.push_str(&table(&HEAD, &rows, "no cases"));
    out.push('\n');
    for note in notes(results) {
        out.push_str(&note);
        out.push('\n');
    }
    out
}

fn head(results: &Results) -> String {
    let plan = results.study.plan();
    let canary = view::canary(plan).map_or("", |canary| canary.name.as_str());
    let replicas = results.tallies.first().map_or(0, Tally::replicas);
    format!(
        "{}: {} -> {canary} at {}; {replicas} rollouts per row, each followed for {} at most\n{}\n{}\n",
        plan.model,
        view::stable_name(plan),
        words::per_second(results.traffic.rate),
        words::time(results.study.horizon_s()),
        traffic(&results.traffic),
        "assumed  approvals are given at once; every sidecar is there; no breaker acts; noise only by chance",
    )
}

fn traffic(of: &Traffic) -> String {
    let rate = |rate: f64| number::percent(rate, 2);
    let mut parts = vec![
        format!("errors {}", rate(of.errors)),
        format!(
            "latency p50 {} p99 {}",
            number::milliseconds(of.latency.median_ms),
            number::milliseconds(of.latency.quantile(0.99))
        ),
    ];
    parts.extend(
        of.labels
            .iter()
            .map(|label| format!("{} {}", label.name, rate(label.rate))),
    );
    if !of.labels.is_empty() {
        let share = if of.label_fraction < 1.0 {
            rate(of.label_fraction)
        } else {
            "all".to_owned()
        };
        parts.push(format!(
            "labels for {share} after {}",
            words::time(of.label_delay_s)
        ));
    }
    parts.push(match of.users {
        Some(users) => format!("{} users", number::whole(users)),
        None => "every request another user's".to_owned(),
    });
    format!("stable   {}", parts.join(", "))
}

fn row(results: &Results, index: usize) -> Vec<String> {
    let (case, tally) = (&results.study.cases()[index], &results.tallies[index]);
    let time = |seconds: Option<f64>| seconds.map_or_else(|| number::NONE.to_owned(), words::time);
    let served = tally.served();
    let count = |served: Option<f64>| served.map_or_else(|| number::NONE.to_owned(), number::whole);
    vec![
        words::canary(results.study.plan(), case),
        words::margins(case),
        probability(tally.rollback(), tally.replicas()),
        probability(tally.promotion(), tally.replicas()),
        number::percent(tally.open(), 0),
        cause(results, tally),
        time(tally.rollback_s()),
        count(served),
        count(served.map(|served| served * case.harmed)),
        time(tally.promoted_s()),
    ]
}

/// What stopped most of those that were stopped: `accuracy`, `BUDGET`.
fn cause(results: &Results, tally: &Tally) -> String {
    match tally.main_cause() {
        Some((_, Some(guardrail))) => words::guardrail(results.study.plan(), guardrail),
        Some((cause, None)) => cause.to_owned(),
        None => number::NONE.to_owned(),
    }
}

/// `3% [1, 9]`, with a decimal where there are enough replicas for it.
fn probability((share, interval): (f64, Interval), replicas: u64) -> String {
    let decimals = usize::from(replicas > 200);
    format!(
        "{} [{:.decimals$}, {:.decimals$}]",
        number::percent(share, decimals),
        interval.lower * 100.0,
        interval.upper * 100.0
    )
}

fn notes(results: &Results) -> Vec<String> {
    let mut notes = vec![format!(
        "Brackets: 95% Monte Carlo intervals (Clopper-Pearson), seed {}. BY, AFTER, SERVED and HARMED are about rollbacks, medians:\n\
         requests that met the canary until then, and those that stable would have served better. OPEN: neither by the end.\n\
         A promotion at the margin or beyond is a wrong one; the plan allows {} per required guardrail.",
        results.seed,
        number::percent(
            results.study.plan().confidence.map_or(0.05, |of| of.beta),
            1
        ),
    )];
    notes.extend(watched(results));
    notes.extend(false_rollbacks(results));
    notes.push(expectation(results));
    notes.extend(
        results
            .study
            .skipped()
            .iter()
            .map(|why| format!("Left out: {why}.")),
    );
    notes
}

/// Guardrails that promotion does not wait for.
fn watched(results: &Results) -> Option<String> {
    let plan = results.study.plan();
    let names: Vec<String> = (0..plan.guardrails.len())
        .filter(|&index| plan.guardrails[index].required == Some(false))
        .map(|index| words::guardrail(plan, index))
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "Not required, so a promotion says nothing about it: {}.",
            names.join(", ")
        )
    })
}

/// What the plan does to a canary that is as good as stable.
fn false_rollbacks(results: &Results) -> Option<String> {
    let tally = results.tallies.first()?;
    let (_, interval) = tally.rollback();
    let alpha = results
        .study
        .plan()
        .confidence
        .map_or(0.05, |confidence| confidence.alpha);
    let mut text = format!(
        "False rollbacks: {} of {} equal canaries, at most {} with 95% confidence; the plan allows {}.",
        tally.rolled_back(),
        tally.replicas(),
        number::percent(interval.upper, 1),
        number::percent(alpha, 1),
    );
    if !tally.causes().is_empty() {
        text.push_str(&format!(" Stopped by: {}.", causes(tally.causes())));
    }
    Some(text)
}

/// Whether the traffic is enough for the margins, by the planning formulas.
pub(super) fn expectation(results: &Results) -> String {
    let (study, plan) = (&results.study, results.study.plan());
    let forecast = study.forecast();
    let Some(slowest) = forecast.slowest else {
        return "Nothing has to be proven before the last step.".to_owned();
    };
    let rate = words::per_second(results.traffic.rate);
    let proof = words::proof(plan, &slowest);
    if !slowest.seconds.is_finite() {
        return format!(
            "Nothing is ever promoted: {} cannot be proven in this traffic; mend the guardrail, or write required: false.",
            words::guardrail(plan, slowest.guardrail)
        );
    }
    let share = number::percent(slowest.share, 0);
    let (takes, full) = (
        words::time(slowest.seconds),
        words::time(forecast.to_full_s),
    );
    let longest = forecast
        .max_duration_s
        .filter(|longest| forecast.to_full_s > *longest);
    if let Some(longest) = longest {
        return format!(
            "The traffic is too low for the margins: {rate} and {proof} needs about {takes} at {share}, the ramp about {full};\n\
             max_duration is {}. Widen the margin, or accept HELD (MAX_DURATION).",
            words::time(longest)
        );
    }
    if forecast.to_full_s > study.horizon_s() {
        return format!(
            "{rate} and {proof} needs about {takes} at {share}, the ramp about {full}: longer than the rollouts were followed.\n\
             Widen the margin, or look further with --horizon.",
        );
    }
    format!(
        "Slowest proof by formula: {proof}, about {takes} at {share}; the ramp about {full} or less."
    )
}

/// Whether a promotion of this canary is a wrong one: it is at its margin or beyond.
pub(super) fn is_bad(canary: Canary) -> bool {
    match canary {
        Canary::Equal => false,
        Canary::Worse { margins, .. } => margins >= 1.0,
        Canary::Dead => true,
    }
}
