//! The table of guardrails, and one guardrail's numbers in words.

use super::line::{Line, Paint};
use super::number::{self, NONE};
use crate::output::words;
use serinus_proto::v1::{self, guardrail::Metric, guardrail_evidence::Unit, labelled::Direction};

const HEAD: [&str; 7] = [
    "guardrail",
    "stable",
    "canary",
    "difference [always-valid interval]",
    "limit",
    "n(canary)",
    "verdict",
];
/// Columns apart; the verdict stands closer to its count.
const GAPS: [usize; 6] = [3, 3, 3, 3, 3, 2];

/// Head and one row per guardrail; nothing if there is none.
pub(super) fn table(plan: Option<&v1::Plan>, guardrails: &[v1::GuardrailEvidence]) -> Vec<Line> {
    if guardrails.is_empty() {
        return Vec::new();
    }
    let rows: Vec<_> = guardrails
        .iter()
        .map(|g| Shown::new(plan, g).cells())
        .collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = vec![row_line(
        &HEAD.map(str::to_owned),
        &widths,
        Paint::Dim,
        Paint::Dim,
    )];
    for (row, evidence) in rows.iter().zip(guardrails) {
        lines.push(row_line(
            row,
            &widths,
            Paint::Plain,
            paint(evidence.verdict()),
        ));
    }
    lines
}

fn row_line(cells: &[String; 7], widths: &[usize; 7], paint: Paint, last: Paint) -> Line {
    let mut text = String::new();
    for ((cell, width), gap) in cells.iter().zip(widths).zip(GAPS) {
        text.push_str(&format!("{cell:width$}{:gap$}", ""));
    }
    let mut line = Line::default();
    line.push(&text, paint);
    line.push(&cells[6], last);
    line
}

fn paint(verdict: v1::Verdict) -> Paint {
    match verdict {
        v1::Verdict::Safe => Paint::Green,
        v1::Verdict::Harmful => Paint::Red,
        v1::Verdict::NeedMore => Paint::Yellow,
        _ => Paint::Dim,
    }
}

/// One guardrail's evidence with what the plan says about its metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    evidence: &'a v1::GuardrailEvidence,
    metric: Option<&'a Metric>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(plan: Option<&'a v1::Plan>, evidence: &'a v1::GuardrailEvidence) -> Self {
        let metric = plan
            .and_then(|plan| plan.guardrails.get(evidence.index as usize))
            .and_then(|guardrail| guardrail.metric.as_ref());
        Self { evidence, metric }
    }

    fn cells(self) -> [String; 7] {
        [
            self.evidence.name.clone(),
            self.value(self.evidence.stable_value),
            self.value(self.evidence.canary_value),
            self.difference(),
            self.limit(),
            number::thousands(self.evidence.canary_count),
            words::verdict(self.evidence.verdict()).to_owned(),
        ]
    }

    fn is_latency(self) -> bool {
        self.evidence.unit() == Unit::Milliseconds
    }

    fn is_absolute(self) -> bool {
        match self.metric {
            Some(metric) => matches!(metric, Metric::LatencyLimit(_)),
            // Without the plan the name tells: "latency p99 <= 250 ms".
            None => self.evidence.name.contains("<="),
        }
    }

    fn decimals(self) -> usize {
        number::decimals_for(self.evidence.limit)
    }

    /// `0.48%`, `41ms` or `-`.
    pub(super) fn value(self, value: Option<f64>) -> String {
        match value {
            None => NONE.to_owned(),
            Some(ms) if self.is_latency() => number::milliseconds(ms),
            Some(fraction) => number::percent(fraction, self.decimals()),
        }
    }

    /// `+0.04pp [-0.10, +0.19]` or `x1.07 [1.03, 1.11]`; without an interval the difference alone.
    pub(super) fn difference(self) -> String {
        let Some(difference) = self.evidence.difference else {
            return NONE.to_owned();
        };
        let interval = self.evidence.lower.zip(self.evidence.upper);
        if self.is_latency() {
            let bounds = interval.map(|(low, high)| format!(" [{low:.2}, {high:.2}]"));
            return format!("x{difference:.2}{}", bounds.unwrap_or_default());
        }
        let decimals = self.decimals();
        let points = |value| number::points(value, decimals);
        let bounds = interval.map(|(low, high)| format!(" [{}, {}]", points(low), points(high)));
        format!("{}pp{}", points(difference), bounds.unwrap_or_default())
    }

    /// `+0.25pp`, `-1.0pp` where less is worse, `x1.10`, `250ms`.
    pub(super) fn limit(self) -> String {
        let limit = self.evidence.limit;
        if self.is_latency() {
            return match self.metric {
                _ if self.is_absolute() => number::milliseconds(limit),
                // Without a latency of stable's the slack is no ratio yet.
                Some(Metric::Latency(latency)) if self.evidence.stable_value.is_none() => {
                    format!("x{:.2}", latency.ratio)
                }
                _ => format!("x{limit:.2}"),
            };
        }
        // Whatever sign the engine gives it: the margin lies on the worse side.
        let margin = limit.abs();
        let signed = if self.less_is_worse() {
            -margin
        } else {
            margin
        };
        format!("{}pp", number::points(signed, self.decimals()))
    }

    fn less_is_worse(self) -> bool {
        match self.metric {
            Some(Metric::Accuracy(labelled) | Metric::Outcome(labelled)) => {
                labelled.direction() != Direction::LowerIsBetter
            }
            Some(_) => false,
            None => self.evidence.name != "error rate",
        }
    }

    /// What is counted: requests or labels.
    pub(super) fn counted(self) -> &'static str {
        match self.metric {
            Some(Metric::Accuracy(_) | Metric::Outcome(_)) => "labels",
            Some(_) => "requests",
            None if self.is_latency() || self.evidence.name == "error rate" => "requests",
            None => "labels",
        }
    }
}
