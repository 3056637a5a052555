//! The split by hand.

use super::command::{not_frozen, seen};
use super::terms::{self, Target};
use super::words::percent;
use super::{Command, Refused, Rollout, split};
use serinus_proto::v1::event::Kind;
use serinus_proto::v1::{self, Cause};
use std::collections::BTreeMap;

/// Lowering is always done. Raising takes the revision that the caller saw; above the present step's share also force
/// and a reason; above the plan's highest step it is never done.
pub(super) fn set_split(
    rollout: &Rollout,
    command: &Command,
    asked: &BTreeMap<String, f64>,
    force: bool,
) -> Result<Vec<Kind>, Refused> {
    let targets = split::parse(&rollout.plan, asked).map_err(Refused::BadSplit)?;
    if raises(rollout, &targets) {
        may_raise(rollout, command, &targets, force)?;
    }
    let mut events: Vec<Kind> = split::change(rollout, &targets).into_iter().collect();
    if !rollout.is_manual() {
        events.push(Kind::Paused(v1::Paused {
            cause: Cause::Manual.into(),
        }));
    }
    Ok(events)
}

fn raises(rollout: &Rollout, targets: &[Target<'_>]) -> bool {
    let now = split::present(rollout);
    targets.iter().zip(&now).any(|(asked, now)| asked.1 > now.1)
}

fn may_raise(
    rollout: &Rollout,
    command: &Command,
    targets: &[Target<'_>],
    force: bool,
) -> Result<(), Refused> {
    let plan = &rollout.plan;
    let asked = terms::total(targets);
    let ceiling = terms::ceiling(plan);
    if asked > ceiling {
        return Err(Refused::AboveCeiling {
            asked: percent(asked),
            ceiling: percent(ceiling),
        });
    }
    let of_step = if rollout.warmup {
        terms::warmup_targets(plan)
    } else {
        terms::targets(plan, rollout.step)
    };
    let limit = terms::total(&of_step);
    if asked > limit && !force {
        return Err(Refused::NeedsForce {
            asked: percent(asked),
            limit: percent(limit),
        });
    }
    not_frozen(rollout, force, command)?;
    if asked > limit && command.reason.trim().is_empty() {
        return Err(Refused::ReasonRequired);
    }
    seen(rollout, command)
}
