//! A decision as one sentence: what is decided and why, or what is missing, how long it will take and what follows.

mod missing;
mod proof;
mod why;

use super::assess::{Action, Next, next};
use super::words::{count, number, percent, span};
use super::{Approval, Facts, Rollout, external, terms, threat, verbs};
use serinus_proto::v1::{Cause, DecisionKind, State};

pub(super) fn of(action: &Action, rollout: &Rollout, now_ms: u64, facts: &Facts) -> String {
    match action {
        Action::Ended => ended(rollout),
        Action::RollBack(cause) => {
            format!(
                "ROLL BACK {}: {}",
                canary(rollout),
                why::of(*cause, rollout, facts)
            )
        }
        Action::Hold(cause) => held(*cause, rollout, facts),
        Action::Stay => stay(rollout, facts),
        Action::Resume => format!("WAIT: {}; the rollout goes on", why::over(rollout.cause)),
        Action::Wait(missing) => {
            let missing = missing::list(missing, rollout, now_ms, facts);
            format!("WAIT: {missing}; then {}", then(rollout))
        }
        Action::Ask { deadline_ms } => {
            let left = span(deadline_ms.saturating_sub(now_ms));
            let follows = following(rollout);
            format!(
                "WAIT: all is there but somebody's approval, waited for up to {left}; then {follows}"
            )
        }
        Action::AskGate { deadline_ms } => {
            let left = span(deadline_ms.saturating_sub(now_ms));
            let follows = following(rollout);
            format!(
                "WAIT: all is there but the word of {}, waited for up to {left}; then {follows}",
                gate(rollout)
            )
        }
        Action::Advance(step) if rollout.warmup => {
            format!("ADVANCE to {}: the warm-up is over", share(rollout, *step))
        }
        Action::Advance(step) => format!(
            "ADVANCE to {}: {}{}",
            share(rollout, *step),
            safe(rollout, facts),
            passed_over(rollout, *step, facts)
        ),
        Action::Bake => format!(
            "ADVANCE to {}: {}",
            following(rollout),
            safe(rollout, facts)
        ),
        Action::Promote => {
            format!(
                "PROMOTE {}: the bake is over and {}",
                canary(rollout),
                safe(rollout, facts)
            )
        }
    }
}

/// The gate that is needed now.
fn gate(rollout: &Rollout) -> String {
    let needed = external::needed(rollout);
    needed.map_or_else(|| "a gate".to_owned(), |gate| format!("gate {}", gate.name))
}

fn canary(rollout: &Rollout) -> String {
    let all: Vec<&str> = terms::canaries(&rollout.plan).collect();
    all.join(", ")
}

fn safe(rollout: &Rollout, facts: &Facts) -> String {
    let tolerance = number(rollout.tolerance());
    let requests = count(facts.canary_requests_in_step);
    format!(
        "every required guardrail is SAFE at tolerance {tolerance}, {requests} canary requests in this step"
    )
}

/// The steps between the present one and this one.
fn passed_over(rollout: &Rollout, step: usize, facts: &Facts) -> String {
    let between: Vec<String> = (rollout.step + 1..step)
        .map(|step| share(rollout, step))
        .collect();
    match facts.excluded_tolerance {
        Some(excluded) if !between.is_empty() => format!(
            "; SAFE at tolerance {} too, so {} {} passed over",
            number(excluded),
            between.join(" and "),
            if between.len() == 1 { "is" } else { "are" }
        ),
        _ => String::new(),
    }
}

fn ended(rollout: &Rollout) -> String {
    match (rollout.state, rollout.cause) {
        (State::Promoted, _) => format!("PROMOTE {}: done", canary(rollout)),
        (_, Cause::Operator | Cause::Approval) if rollout.decided != DecisionKind::RollBack => {
            format!(
                "ROLL BACK {}: an operator asked for it{}",
                canary(rollout),
                because(rollout)
            )
        }
        (_, Cause::Superseded) => {
            format!(
                "ROLL BACK {}: another rollout takes its place{}",
                canary(rollout),
                because(rollout)
            )
        }
        _ => rollout.reason.clone(),
    }
}

fn because(rollout: &Rollout) -> String {
    if rollout.reason.is_empty() {
        String::new()
    } else {
        format!(" ({})", rollout.reason)
    }
}

fn stay(rollout: &Rollout, facts: &Facts) -> String {
    match (rollout.state, rollout.cause) {
        (State::Paused, Cause::Manual) => {
            let share = rollout.split_percent();
            format!(
                "HOLD: paused at {share}, set by hand{}; resume goes on",
                because(rollout)
            )
        }
        (State::Paused, _) => format!(
            "HOLD: paused by an operator{}; resume goes on",
            because(rollout)
        ),
        // What was proven then need not be provable any more; the hold stays for it.
        (State::Held, Cause::Guardrail) if !threat::breaks_a_hold(facts) => rollout.reason.clone(),
        (_, cause) => held(cause, rollout, facts),
    }
}

fn held(cause: Cause, rollout: &Rollout, facts: &Facts) -> String {
    format!(
        "HOLD: {}; {}",
        why::of(cause, rollout, facts),
        why::clears(cause)
    )
}

/// What follows once nothing is missing.
fn then(rollout: &Rollout) -> String {
    let asked = verbs::needs_approval(rollout) && rollout.approval == Approval::None;
    let prefix = if asked {
        "somebody's approval, then "
    } else {
        ""
    };
    format!("{prefix}{}", following(rollout))
}

fn following(rollout: &Rollout) -> String {
    match next(rollout) {
        Next::Step(step) => share(rollout, step),
        Next::Bake => format!("the bake of {}", span(terms::bake_ms(&rollout.plan))),
        Next::PlanEnd => "it stays there, at the end of its plan".to_owned(),
        Next::Promotion => format!("{} is promoted", canary(rollout)),
    }
}

fn share(rollout: &Rollout, step: usize) -> String {
    percent(terms::total(&terms::targets(&rollout.plan, step)))
}
