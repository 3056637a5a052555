//! The numbers behind a HARMFUL verdict.

use super::super::words::{count, factor, millis, points, rate};
use super::super::{Facts, Rollout};
use super::missing::units;
use serinus_proto::v1::guardrail::{Action, Metric};
use serinus_proto::v1::{GuardrailEvidence, Verdict, labelled::Direction};

/// Every broken guardrail that rolls back, else those that hold.
pub(super) fn of(rollout: &Rollout, facts: &Facts) -> String {
    let named: &[usize] = facts.harmful.as_ref().map_or(&[], |harm| &harm.guardrails);
    let broken = |action: Action| {
        let rows = facts.guardrails.iter().filter(move |row| {
            let by_verdict = row.verdict() == Verdict::Harmful && row.on_breach() == action;
            by_verdict || (action == Action::Rollback && named.contains(&(row.index as usize)))
        });
        rows.map(|row| one(rollout, row)).collect::<Vec<String>>()
    };
    let mut proofs = broken(Action::Rollback);
    if proofs.is_empty() {
        proofs = broken(Action::Hold);
    }
    if facts.harmful.as_ref().is_some_and(|harm| harm.gross) {
        proofs.push("at least half of the canary's requests fail and few of stable's".to_owned());
    }
    if facts.harmful.as_ref().is_some_and(|harm| harm.flapping) {
        let bursts = "most of the canary's requests fail again and again within a minute, and few of stable's";
        proofs.push(bursts.to_owned());
    }
    if proofs.is_empty() {
        return "proven worse than its margins".to_owned();
    }
    proofs.join("; ")
}

fn one(rollout: &Rollout, row: &GuardrailEvidence) -> String {
    let index = row.index as usize;
    let metric = rollout
        .plan
        .guardrails
        .get(index)
        .and_then(|guardrail| guardrail.metric.as_ref());
    let worse = match metric {
        Some(Metric::Latency(_)) => compared(row, millis, factor, factor(row.limit)),
        Some(Metric::LatencyLimit(_)) => {
            let canary = row
                .canary_value
                .map_or_else(String::new, |ms| format!("{}, ", millis(ms)));
            format!("{canary}limit {}", millis(row.limit))
        }
        _ => compared(row, rate, points, points(tolerated(metric, row.limit))),
    };
    let n = count(row.canary_count);
    format!("{} {worse}, {n} canary {}", row.name, units(rollout, index))
}

/// The margin with the sign of what it tolerates.
fn tolerated(metric: Option<&Metric>, margin: f64) -> f64 {
    let lower_is_worse = match metric {
        Some(Metric::Accuracy(of) | Metric::Outcome(of)) => {
            of.direction() != Direction::LowerIsBetter
        }
        _ => false,
    };
    if lower_is_worse {
        -margin.abs()
    } else {
        margin.abs()
    }
}

fn compared(
    row: &GuardrailEvidence,
    value: fn(f64) -> String,
    difference: fn(f64) -> String,
    limit: String,
) -> String {
    let mut parts = Vec::new();
    if let (Some(canary), Some(stable)) = (row.canary_value, row.stable_value) {
        parts.push(format!("{} against {}", value(canary), value(stable)));
    }
    if let Some(by) = row.difference {
        let interval = match (row.lower, row.upper) {
            (Some(lower), Some(upper)) => {
                format!(" [{}, {}]", difference(lower), difference(upper))
            }
            _ => String::new(),
        };
        parts.push(format!("{}{interval}", difference(by)));
    }
    parts.push(format!("tolerated {limit}"));
    parts.join(", ")
}
