//! Everything behind a decision: `serinus rollout why`.

use super::guardrail::Shown;
use super::line::{Line, Paint};
use super::{Options, decision_sentence, header, number};
use crate::output::words;
use serinus_proto::v1;

/// From this phi on noise is worth a word.
const NOISY: f64 = 2.0;

/// Where a decision that is in the log stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Of its event.
    pub revision: u64,
    /// What the event did, e.g. `HELD(NO_TRAFFIC)`.
    pub what: String,
}

/// The decision, each guardrail with its counts, values, interval, margin, evidence against threshold and phi, and the
/// combined evidence. `stored`: the event that carries it; `None` for the present assessment.
#[must_use]
pub fn why(
    rollout: &v1::Rollout,
    decision: &v1::Decision,
    stored: Option<&Stored>,
    options: Options,
) -> String {
    let mut lines = vec![title(rollout)];
    lines.extend(sentence(decision, options.width));
    lines.push(circumstances(decision, stored));
    for evidence in &decision.guardrails {
        lines.push(Line::plain(""));
        lines.extend(guardrail(
            Shown::new(rollout.plan.as_ref(), evidence),
            evidence,
        ));
    }
    let combined = combined(decision);
    if !combined.is_empty() {
        lines.push(Line::plain(""));
        lines.extend(combined);
    }
    lines.iter().map(|line| line.print(options)).collect()
}

fn title(rollout: &v1::Rollout) -> Line {
    let mut line = Line::default();
    line.push(&rollout.model, Paint::Bold);
    let text = format!(
        "  {}   {}   rollout {}",
        header::from_to(rollout.plan.as_ref()),
        header::stage(rollout),
        rollout.id
    );
    line.push(&text, Paint::Plain);
    line
}

fn sentence(decision: &v1::Decision, width: Option<usize>) -> Vec<Line> {
    match decision_sentence(decision).as_str() {
        "" => Vec::new(),
        sentence => super::labelled("decision", sentence, width),
    }
}

fn circumstances(decision: &v1::Decision, stored: Option<&Stored>) -> Line {
    let mut parts = match stored {
        Some(stored) => vec![format!("revision {}: {}", stored.revision, stored.what)],
        None => vec!["present assessment".to_owned()],
    };
    parts.extend(decision.time.as_ref().map(number::rfc3339));
    // A change of a verdict is no decision and stands in no step.
    if decision.kind() == v1::DecisionKind::Unspecified {
        return Line::plain(&format!("{:10}{}", "", parts.join(", ")));
    }
    parts.push(format!("step {}", decision.step + 1));
    parts.push(format!("tolerance (kappa) {}", decision.tolerance));
    parts.push(format!("epoch {}", decision.epoch));
    parts.push(format!("{} slices", number::thousands(decision.slices)));
    parts.push(format!("engine {}", decision.engine_version));
    Line::plain(&format!("{:10}{}", "", parts.join(", ")))
}

fn guardrail(shown: Shown<'_>, evidence: &v1::GuardrailEvidence) -> Vec<Line> {
    let verdict = words::verdict(evidence.verdict());
    let mut head = Line::default();
    head.push(&format!("{}   {verdict}", evidence.name), Paint::Bold);
    head.push(&format!("   {}", duty(evidence)), Paint::Plain);
    let counted = shown.counted();
    let both = |stable: String, canary: String| format!("stable {stable}, canary {canary}");
    let counts = both(
        counted_of(evidence.stable_events, evidence.stable_count),
        counted_of(evidence.canary_events, evidence.canary_count),
    );
    let values = both(
        shown.value(evidence.stable_value),
        shown.value(evidence.canary_value),
    );
    let difference = format!("{}, limit {}", shown.difference(), shown.limit());
    let harm = against(evidence.log_e_rollback, evidence.log_threshold_rollback);
    let safe = against(evidence.log_e_promote, evidence.log_threshold_promote);
    let phi = format!(
        "{:.2} (variance against independent {counted})",
        evidence.phi
    );
    let mut lines = vec![
        head,
        row(counted, &counts),
        row("value", &values),
        row("difference", &difference),
        row("proof of harm", &harm),
        row("proof of safe", &safe),
        row("phi", &phi),
    ];
    lines.extend(missing(evidence, counted).map(|text| row("missing", &text)));
    lines.push(row("so", &rule(evidence)));
    lines
}

/// `1,067 of 222,360` for rates, the second number alone for latencies.
fn counted_of(events: Option<u64>, count: u64) -> String {
    let count = number::thousands(count);
    match events {
        Some(events) => format!("{} of {count}", number::thousands(events)),
        None => count,
    }
}

fn duty(evidence: &v1::GuardrailEvidence) -> String {
    use v1::guardrail::Action;
    let action = match evidence.on_breach() {
        Action::Rollback | Action::Unspecified => "rolls back when broken",
        Action::Hold => "holds when broken",
        Action::Notify => "notifies when broken",
    };
    let required = if evidence.required {
        "needed"
    } else {
        "not needed"
    };
    format!("{action}; {required} to move on")
}

/// `log e 3.20 of 3.00 (24.5 of 20.0)`.
fn against(log_e: f64, threshold: f64) -> String {
    format!(
        "log e {log_e:.2} of {threshold:.2} ({} of {})",
        number::factor(log_e),
        number::factor(threshold)
    )
}

fn missing(evidence: &v1::GuardrailEvidence, counted: &str) -> Option<String> {
    let count = evidence.missing?;
    let mut text = format!("about {} more {counted}", number::whole(count));
    if let Some(time) = &evidence.missing_time {
        let time = std::time::Duration::from_secs_f64(number::seconds(time).max(0.0));
        text.push_str(&format!(
            ", about {} at the present rate",
            number::duration(time)
        ));
    }
    Some(text)
}

/// The rule that gave the verdict, as a sentence.
fn rule(evidence: &v1::GuardrailEvidence) -> String {
    let alone = evidence.log_e_rollback >= evidence.log_threshold_rollback;
    let text = match evidence.verdict() {
        v1::Verdict::Safe => "proven not worse than the step's tolerance",
        v1::Verdict::Harmful if alone => "proven worse than the margin",
        v1::Verdict::Harmful => {
            "proven worse together with the other rollback guardrails, or by failing most of its requests; this one is to \
             blame"
        }
        v1::Verdict::NeedMore => return format!("neither is proven yet{}", noise(evidence)),
        v1::Verdict::NoEvidence => "there is nothing to compare; never taken for safe",
        v1::Verdict::Unspecified => "not looked at",
    };
    text.to_owned()
}

/// That measured noise holds the proof back, where it does.
fn noise(evidence: &v1::GuardrailEvidence) -> String {
    if !evidence.log_e_promote.is_finite() && evidence.phi > NOISY {
        return format!(
            "; counts that scatter {:.0} times as much as chance alone prove nothing SAFE",
            evidence.phi
        );
    }
    if evidence.phi >= NOISY {
        return format!(
            "; the counts scatter {:.1} times as much as chance alone, so it takes as many times more of them",
            evidence.phi
        );
    }
    String::new()
}

fn combined(decision: &v1::Decision) -> Vec<Line> {
    let mut lines = Vec::new();
    if decision.log_threshold > 0.0 {
        let text = against(decision.log_e_rollback, decision.log_threshold);
        lines.push(Line::plain(&format!(
            "all rollback guardrails together   {text}"
        )));
    }
    if decision.extra_errors_budget > 0.0 {
        lines.push(Line::plain(&format!(
            "extra errors   {} counted, at least {} proven, budget {}",
            number::whole(decision.extra_errors),
            number::whole(decision.extra_errors_lower.max(0.0)),
            number::whole(decision.extra_errors_budget)
        )));
    }
    lines.extend(decision.sample_ratio.as_ref().map(sample_ratio));
    lines.extend(decision.phi_users.map(users));
    lines.extend(decision.breakers.iter().flat_map(breakers));
    lines
}

/// `traffic split   25.00% asked, 24.91% got; t 0.42 of 5.00 over 64 clusters of keys`.
fn sample_ratio(of: &v1::SampleRatio) -> Line {
    let (name, basis) = if of.by_keys {
        ("t", "over 64 clusters of keys")
    } else {
        ("log e", "over requests")
    };
    let text = format!(
        "traffic split   {} asked, {} got; {name} {:.2} of {:.2} {basis}",
        number::percent(of.asked, 2),
        number::percent(of.got, 2),
        of.evidence,
        of.threshold
    );
    let mut line = Line::plain(&text);
    if of.mismatch {
        line.push(": the comparison is not trusted", Paint::Red);
    }
    line
}

fn users(phi: f64) -> Line {
    Line::plain(&format!(
        "users differ   their errors scatter {phi:.2} times as much as chance alone; part of the error rate's phi"
    ))
}

fn breakers(breakers: &v1::BreakerEvidence) -> Vec<Line> {
    let cells: Vec<String> = breakers.bad_cells.iter().map(u64::to_string).collect();
    let mut lines = vec![Line::plain("breakers")];
    lines.push(row(
        "open",
        &format!(
            "on {} of {} sidecars with canary traffic; stable's error rate there {}",
            breakers.sidecars_open,
            breakers.sidecars_with_canary,
            number::percent(breakers.stable_error_rate, 2)
        ),
    ));
    lines.push(row(
        "bad cells",
        &format!("{} (unix seconds)", cells.join(", ")),
    ));
    lines.push(row(
        "since",
        &format!(
            "{} openings, {} failed probes",
            breakers.openings, breakers.failed_probes
        ),
    ));
    lines
}

fn row(label: &str, text: &str) -> Line {
    Line::plain(&format!("  {label:14}{text}"))
}

#[cfg(test)]
mod tests;
