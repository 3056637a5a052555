//! The live screen of a rollout as text: pure, the same for `rollout get`, `rollout watch` and the demo.
//!
//! Every guardrail's row carries value, bound, count and verdict; the decision line says what would change it and when.

mod change;
mod event;
mod guardrail;
mod header;
mod line;
pub(crate) mod number;
mod replay;
mod why;

pub use change::{Change, change_line};
pub use event::event_line;
pub(crate) use event::event_text;
pub(crate) use header::{Brief, summary};
pub(crate) use replay::{OtherPlan, other_plan, replayed};
pub use why::{Stored, why};

use line::{Line, Paint};
use serinus_proto::v1;

/// How to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Columns of the terminal; lines are cut there so that redrawing in place works. `None`: no limit.
    pub width: Option<usize>,
    /// ANSI colours.
    pub color: bool,
}

/// Where the words after "decision", "budget" and the like begin.
const LABEL: usize = 10;

/// The whole screen, every line ended by `\n`. `now_ms` is unix milliseconds and only drives "up 2m14s" and the time
/// left for an approval.
#[must_use]
pub fn render(rollout: &v1::Rollout, now_ms: u64, options: Options) -> String {
    let mut lines = vec![header::title(rollout, now_ms)];
    lines.extend(header::fleet(rollout));
    if let Some(decision) = &rollout.decision {
        lines.extend(guardrail::table(
            rollout.plan.as_ref(),
            &decision.guardrails,
        ));
        let sentence = decision_sentence(decision);
        lines.extend(labelled("decision", &sentence, options.width));
    }
    lines.extend(notices(rollout));
    lines.extend(frozen(rollout, now_ms));
    lines.extend(approval(rollout, now_ms));
    if !rollout.reason.is_empty() {
        lines.extend(labelled("reason", &rollout.reason, options.width));
    }
    lines.extend(budget(rollout).map(|text| Line::plain(&text)));
    lines.extend(totals(rollout).map(|text| Line::plain(&text)));
    lines.iter().map(|line| line.print(options)).collect()
}

/// The decision as a sentence that begins with its word, `continue` being shown as WAIT.
pub(crate) fn decision_sentence(decision: &v1::Decision) -> String {
    let word = match decision.kind() {
        v1::DecisionKind::Continue => "WAIT",
        v1::DecisionKind::Advance => "ADVANCE",
        v1::DecisionKind::Hold => "HOLD",
        v1::DecisionKind::RollBack => "ROLL BACK",
        v1::DecisionKind::Promote => "PROMOTE",
        v1::DecisionKind::Unspecified => "",
    };
    let sentence = decision.sentence.as_str();
    if word.is_empty() || sentence.starts_with(word) {
        return sentence.to_owned();
    }
    if sentence.is_empty() {
        return word.to_owned();
    }
    format!("{word}: {sentence}")
}

fn labelled(label: &str, text: &str, width: Option<usize>) -> Vec<Line> {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(LABEL).max(20));
    let mut lines = Vec::new();
    for (position, piece) in line::wrap(text, room).into_iter().enumerate() {
        let label = if position == 0 { label } else { "" };
        let mut line = Line::plain(&format!("{label:LABEL$}"));
        line.push(&piece, Paint::Bold);
        lines.push(line);
    }
    lines
}

/// Guardrails that only tell, and have something to tell.
fn notices(rollout: &v1::Rollout) -> Option<Line> {
    let rows = &rollout.decision.as_ref()?.guardrails;
    let broken = rows.iter().filter(|row| {
        row.verdict() == v1::Verdict::Harmful && row.on_breach() == v1::guardrail::Action::Notify
    });
    let names: Vec<&str> = broken.map(|row| row.name.as_str()).collect();
    if names.is_empty() || is_terminal(rollout.state()) {
        return None;
    }
    let mut line = Line::plain(&format!("{:LABEL$}", "notice"));
    let text = format!(
        "{} HARMFUL; on_breach is notify, so it goes on",
        names.join(", ")
    );
    line.push(&text, Paint::Yellow);
    Some(line)
}

fn frozen(rollout: &v1::Rollout, now_ms: u64) -> Option<Line> {
    let until = rollout.frozen_until.as_ref()?;
    if is_terminal(rollout.state()) {
        return None;
    }
    let left = number::unix_ms(until).saturating_sub(now_ms);
    let left = number::duration(std::time::Duration::from_millis(left));
    let mut line = Line::plain(&format!("{:LABEL$}", "frozen"));
    line.push(
        &format!(
            "until {}, {left} left: nothing moves forward",
            number::rfc3339(until)
        ),
        Paint::Yellow,
    );
    Some(line)
}

fn approval(rollout: &v1::Rollout, now_ms: u64) -> Option<Line> {
    if is_terminal(rollout.state()) {
        return None;
    }
    if rollout.approved {
        let by = Some(&rollout.approved_by).filter(|by| !by.is_empty())?;
        return Some(Line::plain(&format!("{:LABEL$}given by {by}", "approval")));
    }
    let deadline = number::unix_ms(rollout.approval_deadline.as_ref()?);
    let left = number::duration(std::time::Duration::from_millis(
        deadline.saturating_sub(now_ms),
    ));
    let model = &rollout.model;
    let mut line = Line::plain(&format!("{:LABEL$}", "approval"));
    line.push(
        &format!("waited for, {left} left: serinus rollout approve {model}"),
        Paint::Yellow,
    );
    Some(line)
}

fn budget(rollout: &v1::Rollout) -> Option<String> {
    let decision = rollout.decision.as_ref()?;
    let cap = rollout.plan.as_ref().and_then(|plan| plan.budget.as_ref());
    let mut parts = Vec::new();
    if decision.extra_errors_budget > 0.0 {
        parts.push(format!(
            "extra errors {}/{}",
            number::whole(decision.extra_errors),
            number::whole(decision.extra_errors_budget)
        ));
    }
    if let Some(keys) = cap.map(|cap| cap.exposed_keys).filter(|&keys| keys > 0) {
        let met = rollout
            .traffic
            .as_ref()
            .map_or(0, |traffic| traffic.exposed_users);
        parts.push(format!(
            "exposed users {}/{}",
            number::thousands(met),
            number::thousands(keys)
        ));
    }
    (!parts.is_empty()).then(|| format!("{:LABEL$}{}", "budget", parts.join("   ")))
}

/// What it cost, once it is over.
fn totals(rollout: &v1::Rollout) -> Option<String> {
    let traffic = rollout.traffic.as_ref()?;
    if !is_terminal(rollout.state()) {
        return None;
    }
    let streams = match traffic.canary_failed_streams {
        0 => String::new(),
        failed => format!(
            "; {} of its {} streams failed after they had begun",
            number::thousands(failed),
            number::thousands(traffic.canary_streams)
        ),
    };
    Some(format!(
        "{:LABEL$}canary answered {} requests, {} failed, {} of them rescued by stable; \
         {} users met it; {} errors reached users{streams}",
        "in all",
        number::thousands(traffic.canary_requests),
        number::thousands(traffic.canary_errors),
        number::thousands(traffic.rescued),
        number::thousands(traffic.exposed_users),
        number::thousands(traffic.user_errors),
    ))
}

/// PROMOTED, ROLLED_BACK and CANCELLED: nothing changes after them.
#[must_use]
pub fn is_terminal(state: v1::State) -> bool {
    matches!(
        state,
        v1::State::Promoted | v1::State::RolledBack | v1::State::Cancelled
    )
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
