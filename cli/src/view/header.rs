//! The first two lines: what moves where and how far it is, and the fleet that carries it.

use super::line::{Line, Paint};
use super::{is_terminal, number};
use crate::output::words;
use serinus_core::selector;
use serinus_proto::v1;

/// `recommender  v1 -> v2   CANARY step 2/4   25.00% asked  24.91% got   up 2m14s`.
pub(super) fn title(rollout: &v1::Rollout, now_ms: u64) -> Line {
    let mut line = Line::default();
    line.push(&rollout.model, Paint::Bold);
    line.push(
        &format!("  {}   ", from_to(rollout.plan.as_ref())),
        Paint::Plain,
    );
    line.push(&stage(rollout), stage_paint(rollout.state()));
    if has_split(rollout) {
        line.push(&format!("   {}", shares(rollout)), Paint::Plain);
        if is_mismatched(rollout) {
            line.push(NOT_TRUSTED, Paint::Red);
        }
    }
    line.push(&undo(rollout), Paint::Plain);
    if let Some(age) = age(rollout, now_ms) {
        line.push(&format!("   {age}"), Paint::Plain);
    }
    line
}

/// Whether it splits anything: one that waits does not yet.
pub(crate) fn has_split(rollout: &v1::Rollout) -> bool {
    !is_terminal(rollout.state()) && rollout.state() != v1::State::Queued
}

/// `   undo of 0197...`, of a rollout that took another one back.
fn undo(rollout: &v1::Rollout) -> String {
    match rollout.undoes.as_str() {
        "" => String::new(),
        undone => format!("   undo of {undone}"),
    }
}

/// Beside a share that the canary does not get.
pub(crate) const NOT_TRUSTED: &str = "  MISMATCH";

/// Whether the canary does not get the share that is asked, beyond chance.
pub(crate) fn is_mismatched(rollout: &v1::Rollout) -> bool {
    let decision = rollout.decision.as_ref();
    let ratio = decision.and_then(|decision| decision.sample_ratio);
    ratio.is_some_and(|ratio| ratio.mismatch)
}

/// `v1 -> v2`.
pub(crate) fn from_to(plan: Option<&v1::Plan>) -> String {
    let Some(plan) = plan else {
        return number::NONE.to_owned();
    };
    let canaries: Vec<&str> = plan
        .canaries
        .iter()
        .map(|variant| variant.name.as_str())
        .collect();
    let stable = plan
        .stable
        .as_ref()
        .map_or("stable", |variant| variant.name.as_str());
    format!("{stable} -> {}", canaries.join(", "))
}

/// `CANARY step 2/4`, `HELD(NO_TRAFFIC) step 1/4`, `PROMOTED`.
pub(crate) fn stage(rollout: &v1::Rollout) -> String {
    let state = match rollout.state() {
        v1::State::Running => "CANARY".to_owned(),
        v1::State::Paused | v1::State::Held | v1::State::RolledBack | v1::State::Cancelled => {
            words::state_and_cause(rollout)
        }
        v1::State::Queued => return format!("QUEUED as number {}", rollout.queue_position),
        state => words::state(state).to_owned(),
    };
    if is_terminal(rollout.state()) || rollout.state() == v1::State::WarmingUp {
        return state;
    }
    let steps = rollout.plan.as_ref().map_or(0, |plan| plan.steps.len());
    format!("{state} step {}/{steps}", rollout.step + 1)
}

/// One line about a rollout, for lists.
#[derive(Debug)]
pub(crate) struct Brief {
    /// `v1 -> v2`.
    pub(crate) change: String,
    /// `CANARY step 2/4`.
    pub(crate) stage: String,
    /// The canary's share that is asked for.
    pub(crate) asked: String,
    /// RFC 3339.
    pub(crate) created: String,
}

impl Brief {
    pub(crate) fn of(rollout: &v1::Rollout) -> Self {
        Self {
            change: from_to(rollout.plan.as_ref()),
            stage: stage(rollout),
            asked: number::share(asked(rollout)),
            created: rollout
                .created
                .as_ref()
                .map(number::rfc3339)
                .unwrap_or_default(),
        }
    }
}

/// What a command made of a rollout: `recommender  v1 -> v2   PAUSED(OPERATOR) step 2/4   25.00% asked`.
pub(crate) fn summary(rollout: &v1::Rollout) -> String {
    let brief = Brief::of(rollout);
    let mut line = format!("{}  {}   {}", rollout.model, brief.change, brief.stage);
    if has_split(rollout) {
        line.push_str(&format!("   {} asked", brief.asked));
    }
    line.push_str(&undo(rollout));
    format!("{}\n", line.replace(char::is_control, " "))
}

fn stage_paint(state: v1::State) -> Paint {
    match state {
        v1::State::Promoted => Paint::Green,
        v1::State::RolledBack => Paint::Red,
        v1::State::Held | v1::State::Paused | v1::State::Queued | v1::State::Cancelled => {
            Paint::Yellow
        }
        _ => Paint::Bold,
    }
}

/// `25.00% asked  24.91% got`.
pub(crate) fn shares(rollout: &v1::Rollout) -> String {
    let asked = number::share(asked(rollout));
    match rollout.achieved_share {
        Some(got) => format!("{asked} asked  {} got", number::measured_share(got)),
        None => format!("{asked} asked  no traffic yet"),
    }
}

/// The canaries' share that is asked for now.
fn asked(rollout: &v1::Rollout) -> f64 {
    let stable = rollout.plan.as_ref().and_then(|plan| plan.stable.as_ref());
    rollout
        .split
        .iter()
        .filter(|(name, _)| stable.is_none_or(|stable| stable.name != **name))
        .map(|(_, share)| share)
        .sum()
}

fn age(rollout: &v1::Rollout, now_ms: u64) -> Option<String> {
    let created = number::unix_ms(rollout.created.as_ref()?);
    Some(match &rollout.finished {
        Some(end) => {
            let took = number::unix_ms(end).saturating_sub(created);
            format!("took {}", number::clock(took))
        }
        None => format!("up {}", number::clock(now_ms.saturating_sub(created))),
    })
}

/// `sidecars 3/3 on epoch 17   stable ready   412 req/s (canary 103)`, then whatever is wrong.
pub(super) fn fleet(rollout: &v1::Rollout) -> Option<Line> {
    let mut line = Line::default();
    if let Some(fleet) = &rollout.fleet {
        push_fleet(&mut line, fleet, rollout);
    }
    if let Some(traffic) = rollout
        .traffic
        .as_ref()
        .filter(|_| !is_terminal(rollout.state()))
    {
        let text = format!(
            "{} req/s (canary {})   ",
            number::whole(traffic.requests_per_second),
            number::whole(traffic.canary_per_second)
        );
        line.push(&text, Paint::Plain);
    }
    if let Some(fleet) = &rollout.fleet {
        push_trouble(&mut line, fleet, rollout);
    }
    (line != Line::default()).then_some(line)
}

fn push_fleet(line: &mut Line, fleet: &v1::Fleet, rollout: &v1::Rollout) {
    let all = fleet.connected > 0 && fleet.current == fleet.connected;
    let paint = if all { Paint::Plain } else { Paint::Yellow };
    let sidecars = format!("sidecars {}/{}", fleet.current, fleet.connected);
    line.push(&sidecars, paint);
    line.push(&format!(" on epoch {}   ", rollout.epoch), Paint::Plain);
    if let Some(selector) = &rollout.selector {
        let (selected, wanted) = (fleet.connected, selector::text(selector));
        let text = format!(
            "{selected} of {} sidecars selected ({wanted})   ",
            fleet.serving
        );
        let paint = if selected > 0 {
            Paint::Plain
        } else {
            Paint::Yellow
        };
        line.push(&text, paint);
    }
    if fleet.stable_ready {
        line.push("stable ready   ", Paint::Plain);
    } else {
        line.push("stable NOT ready   ", Paint::Red);
    }
}

fn push_trouble(line: &mut Line, fleet: &v1::Fleet, rollout: &v1::Rollout) {
    if !is_terminal(rollout.state()) && fleet.canary_not_ready > 0 {
        let text = format!(
            "canary NOT ready on {}/{}   ",
            fleet.canary_not_ready, fleet.connected
        );
        line.push(&text, Paint::Red);
    } else if !fleet.canary_ready && !is_terminal(rollout.state()) {
        line.push("canary NOT ready   ", Paint::Red);
    }
    let others = [
        (fleet.warming, "warming"),
        (fleet.killed, "killed by the host's operator"),
        (fleet.reverted, "reverted"),
        (fleet.stale, "stale"),
        (fleet.quarantined, "reports not counted"),
    ];
    for (n, what) in others.into_iter().filter(|&(n, _)| n > 0) {
        line.push(&format!("{what} {n}   "), Paint::Red);
    }
    if fleet.breakers_open > 0 {
        line.push(
            &format!("breakers open {}   ", fleet.breakers_open),
            Paint::Red,
        );
    }
    if fleet.rejected > 0 {
        let text = format!("refused by {}: {}", fleet.rejected, fleet.rejection);
        line.push(&text, Paint::Red);
    }
}
