//! Splits: from what is asked to the event that sidecars are served from, and back.

use super::terms::{self, Target};
use super::{Rollout, act};
use serinus_common::allocation::{Allocation, Owned, Range};
use serinus_common::ppm::Ppm;
use serinus_proto::v1;
use serinus_proto::v1::event::Kind;
use std::collections::BTreeMap;

/// The event that gives the canaries these shares with the fewest moves; `None` if they have them already.
pub(super) fn change(rollout: &Rollout, targets: &[Target<'_>]) -> Option<Kind> {
    change_for(rollout, targets, rollout.selector.as_ref())
}

/// The same, on the sidecars of a selector.
pub(super) fn change_for(
    rollout: &Rollout,
    targets: &[Target<'_>],
    selector: Option<&v1::Selector>,
) -> Option<Kind> {
    let from = &rollout.allocation;
    // Shares that sum to more than the whole are in no complete plan; if they were, nobody would be moved.
    let to = from.reallocate(targets).ok()?;
    let same = to == *from && selector == rollout.selector.as_ref();
    (!same).then(|| changed(rollout.epoch, &rollout.plan, targets, &to, selector))
}

/// The first split of a rollout that does not exist yet.
pub(super) fn first(
    plan: &v1::Plan,
    targets: &[Target<'_>],
    selector: Option<&v1::Selector>,
) -> Option<Kind> {
    let to = act::nobody(plan).reallocate(targets).ok()?;
    Some(changed(0, plan, targets, &to, selector))
}

fn changed(
    epoch: u64,
    plan: &v1::Plan,
    targets: &[Target<'_>],
    to: &Allocation,
    selector: Option<&v1::Selector>,
) -> Kind {
    Kind::SplitChanged(v1::SplitChanged {
        epoch: epoch + 1,
        split: fractions(plan, targets),
        shares: to.canaries().iter().map(share).collect(),
        selector: selector.cloned(),
    })
}

fn fractions(plan: &v1::Plan, targets: &[Target<'_>]) -> BTreeMap<String, f64> {
    let stable = terms::total(targets).complement();
    let all = targets
        .iter()
        .copied()
        .chain([(terms::stable(plan), stable)]);
    all.map(|(name, share)| (name.to_owned(), share.fraction()))
        .collect()
}

fn share(owned: &Owned) -> v1::Share {
    let range = |range: &Range| v1::BucketRange {
        start: range.start,
        end: range.end,
    };
    v1::Share {
        variant: owned.variant.clone(),
        ppm: owned.size(),
        ranges: owned.ranges.iter().map(range).collect(),
    }
}

/// The allocation in an event. Ranges that are none give everything to stable, the only safe reading.
pub(super) fn allocation(shares: &[v1::Share]) -> Allocation {
    let range = |range: &v1::BucketRange| Range {
        start: range.start,
        end: range.end,
    };
    let owned = |share: &v1::Share| Owned {
        variant: share.variant.clone(),
        ranges: share.ranges.iter().map(range).collect(),
    };
    Allocation::from_owned(shares.iter().map(owned).collect()).unwrap_or_default()
}

/// The canaries' present shares, in the plan's order.
pub(super) fn present(rollout: &Rollout) -> Vec<Target<'_>> {
    let canaries = rollout.allocation.canaries();
    let size = |name: &str| {
        canaries
            .iter()
            .find(|owned| owned.variant == name)
            .map_or(0, Owned::size)
    };
    terms::canaries(&rollout.plan)
        .map(|name| (name, Ppm::new(size(name)).unwrap_or(Ppm::ONE)))
        .collect()
}

/// The canaries' shares in a split that somebody wrote.
///
/// # Errors
/// All of its mistakes, each with its path.
pub(super) fn parse<'a>(
    plan: &'a v1::Plan,
    split: &BTreeMap<String, f64>,
) -> Result<Vec<Target<'a>>, Vec<v1::Violation>> {
    let mut violations = Vec::new();
    let known =
        |name: &str| name == terms::stable(plan) || terms::canaries(plan).any(|c| c == name);
    for (name, &share) in split {
        let path = format!("split.{name}");
        if !known(name) {
            let message = format!(
                "is no variant of this rollout; its variants are {}",
                names(plan)
            );
            violations.push(v1::Violation { path, message });
        } else if let Err(error) = Ppm::from_fraction(share) {
            violations.push(v1::Violation {
                path,
                message: error.to_string(),
            });
        }
    }
    let sum: f64 = split.values().sum();
    if violations.is_empty() && (sum - 1.0).abs() > 1e-9 {
        let message = format!(
            "sums to {sum}; the fractions must sum to 1.0, such as {}",
            example(plan)
        );
        violations.push(v1::Violation {
            path: "split".to_owned(),
            message,
        });
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let share = |name: &str| {
        split
            .get(name)
            .and_then(|&share| Ppm::from_fraction(share).ok())
    };
    Ok(terms::canaries(plan)
        .map(|name| (name, share(name).unwrap_or(Ppm::ZERO)))
        .collect())
}

fn names(plan: &v1::Plan) -> String {
    let all: Vec<&str> = terms::canaries(plan).chain([terms::stable(plan)]).collect();
    all.join(", ")
}

fn example(plan: &v1::Plan) -> String {
    let canary = terms::canaries(plan).next().unwrap_or("canary");
    format!("{{{canary}: 0.1, {}: 0.9}}", terms::stable(plan))
}
