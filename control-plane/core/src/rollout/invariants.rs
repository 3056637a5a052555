//! What no transition may ever do, whatever came in. Checked by the property tests, and meant to be checked in
//! production too, where a violation is an alarm.

use super::{Rollout, split, terms};
use crate::selector;
use serinus_common::allocation::{Owned, Range};
use serinus_proto::v1::event::Kind;
use serinus_proto::v1::{self, Cause, State};

/// Checks the state before some events, the events of one transition, and the state after them.
///
/// # Errors
/// Says which invariant is broken, and by what.
pub fn check(before: &Rollout, events: &[v1::Event], after: &Rollout) -> Result<(), String> {
    terminal_is_terminal(before, events)?;
    revisions_rise(before, events)?;
    epochs_rise_by_one(before, events, after)?;
    never_above_the_ceiling(after)?;
    raised_only_on_purpose(before, events, after)?;
    rolled_back_is_all_stable(after)?;
    shares_add_up(after)?;
    a_ramp_moves_nobody_back(before, after)?;
    every_stop_has_a_cause(after)
}

fn holds(condition: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(broken()) }
}

fn terminal_is_terminal(before: &Rollout, events: &[v1::Event]) -> Result<(), String> {
    let quiet = !before.is_terminal() || events.is_empty();
    holds(quiet, || format!("{} events after the end", events.len()))
}

fn revisions_rise(before: &Rollout, events: &[v1::Event]) -> Result<(), String> {
    let mut last = before.revision;
    for event in events {
        holds(event.revision > last, || {
            format!("revision {} after {last}", event.revision)
        })?;
        last = event.revision;
    }
    Ok(())
}

fn epochs_rise_by_one(
    before: &Rollout,
    events: &[v1::Event],
    after: &Rollout,
) -> Result<(), String> {
    let mut epoch = before.epoch;
    for event in events {
        if let Some(Kind::SplitChanged(change)) = &event.kind {
            holds(change.epoch == epoch + 1, || {
                format!("epoch {} after {epoch}", change.epoch)
            })?;
            epoch = change.epoch;
        }
    }
    holds(after.epoch == epoch, || {
        format!("epoch is {}, the events say {epoch}", after.epoch)
    })
}

fn never_above_the_ceiling(after: &Rollout) -> Result<(), String> {
    let plan = &after.plan;
    let warmup = terms::total(&terms::warmup_targets(plan));
    let ceiling = terms::ceiling(plan).max(warmup).get();
    let fits = after.state == State::Promoted || after.canary_ppm() <= ceiling;
    holds(fits, || {
        format!("share {} above the ceiling {ceiling}", after.canary_ppm())
    })
}

/// A share rises only together with a step, a promotion, a resumption or a split by hand.
fn raised_only_on_purpose(
    before: &Rollout,
    events: &[v1::Event],
    after: &Rollout,
) -> Result<(), String> {
    let purpose = |event: &v1::Event| match &event.kind {
        Some(Kind::StepEntered(_) | Kind::Promoted(_) | Kind::Resumed(_)) => true,
        Some(Kind::Paused(paused)) => paused.cause() == Cause::Manual,
        _ => false,
    };
    // A second split by hand finds the rollout PAUSED(MANUAL) and leaves it so.
    let by_hand = before.is_manual() && after.is_manual();
    let raised = after.canary_ppm() > before.canary_ppm();
    let meant = !raised || by_hand || events.iter().any(purpose);
    holds(meant, || {
        format!("share rose to {} without a purpose", after.canary_ppm())
    })
}

fn rolled_back_is_all_stable(after: &Rollout) -> Result<(), String> {
    let stable = after.state != State::RolledBack || after.canary_ppm() == 0;
    holds(stable, || {
        format!("rolled back with a share of {}", after.canary_ppm())
    })
}

fn shares_add_up(after: &Rollout) -> Result<(), String> {
    let sum: f64 = after.split.values().sum();
    holds((sum - 1.0).abs() < 1e-9, || {
        format!("the split sums to {sum}")
    })?;
    for (name, share) in split::present(after) {
        let written = after.split.get(name).copied().unwrap_or(0.0);
        let same = (written - share.fraction()).abs() < 1e-9;
        holds(same, || {
            format!(
                "{name} has {} of the buckets and {written} of the split",
                share.fraction()
            )
        })?;
    }
    Ok(())
}

/// A canary whose share does not fall keeps every bucket it has.
fn a_ramp_moves_nobody_back(before: &Rollout, after: &Rollout) -> Result<(), String> {
    let covered = selector::covers(after.selector.as_ref(), before.selector.as_ref());
    holds(covered, || {
        "sidecars that were selected are not any more".to_owned()
    })?;
    for old in before.allocation.canaries() {
        let of = after
            .allocation
            .canaries()
            .iter()
            .find(|owned| owned.variant == old.variant);
        let kept = of.is_none_or(|new| new.size() < old.size() || covers(new, old));
        holds(kept, || format!("{} lost buckets in a ramp", old.variant))?;
    }
    Ok(())
}

fn covers(new: &Owned, old: &Owned) -> bool {
    let within =
        |inner: &Range, outer: &Range| outer.start <= inner.start && inner.end <= outer.end;
    old.ranges
        .iter()
        .all(|inner| new.ranges.iter().any(|outer| within(inner, outer)))
}

fn every_stop_has_a_cause(after: &Rollout) -> Result<(), String> {
    let stopped = matches!(after.state, State::Paused | State::Held | State::RolledBack);
    let named = stopped == (after.cause != Cause::Unspecified);
    holds(named, || {
        format!("{:?} with cause {:?}", after.state, after.cause)
    })?;
    let ended = after.is_terminal() == after.finished_ms.is_some();
    holds(ended, || {
        format!("{:?} with end {:?}", after.state, after.finished_ms)
    })
}
