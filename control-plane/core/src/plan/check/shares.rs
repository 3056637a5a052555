//! One split: its variants, its fractions, its sum.

use crate::plan::defaults;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::share;
use crate::plan::suggest::nearest;
use serinus_common::ppm::Ppm;
use serinus_proto::v1::{Plan, Step};
use std::collections::{BTreeMap, BTreeSet};

/// How far a sum may be off 1.0.
const SLACK: f64 = 1e-9;

/// The names that a split may use, stable first.
fn names(plan: &Plan) -> Vec<&str> {
    let canaries = plan.canaries.iter().map(|canary| canary.name.as_str());
    plan.stable
        .iter()
        .map(|stable| stable.name.as_str())
        .chain(canaries)
        .filter(|name| !name.is_empty())
        .collect()
}

/// Checks a split; what the canaries get together, if nothing is wrong with it.
pub(super) fn check(plan: &Plan, step: &Step, path: &Path, problems: &Problems) -> Option<Ppm> {
    if step.split.is_empty() {
        let message = format!(
            "missing; write a fraction per variant, such as {}",
            example(plan, 0.1)
        );
        problems.add(path, message);
        return None;
    }
    let known = names(plan);
    // With a name missing or used twice, which was reported, every name could be the right one.
    let distinct: BTreeSet<&str> = known.iter().copied().collect();
    let all_named = distinct.len() == plan.canaries.len() + 1 && distinct.len() > 1;
    let mut parts = BTreeMap::new();
    let mut right = true;
    for (name, &fraction) in &step.split {
        let path = path.field(name);
        if all_named && !known.contains(&name.as_str()) {
            problems.add(&path, unknown(name, &known));
            right = false;
        }
        match share::checked(fraction) {
            Ok(ppm) => drop(parts.insert(name.as_str(), ppm)),
            Err(message) => {
                problems.add(&path, message);
                right = false;
            }
        }
    }
    (right && sums_to_one(plan, &parts, step, path, problems)).then(|| {
        let of = |name: &str| parts.get(name).map_or(0, |ppm| ppm.get());
        let sum = plan.canaries.iter().map(|canary| of(&canary.name)).sum();
        Ppm::new(sum).unwrap_or(Ppm::ONE)
    })
}

fn unknown(name: &str, known: &[&str]) -> String {
    let shown: String = name.chars().take(60).collect();
    let hint = nearest(name, known.iter().copied())
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default();
    format!(
        "{shown} is no variant of this plan; its variants are {}{hint}",
        known.join(" and ")
    )
}

fn sums_to_one(
    plan: &Plan,
    parts: &BTreeMap<&str, Ppm>,
    step: &Step,
    path: &Path,
    problems: &Problems,
) -> bool {
    let sum: f64 = step.split.values().sum();
    let millionths: u64 = parts.values().map(|part| u64::from(part.get())).sum();
    if (sum - 1.0).abs() <= SLACK && millionths == 1_000_000 {
        return true;
    }
    let canary = plan
        .canaries
        .first()
        .and_then(|canary| parts.get(canary.name.as_str()));
    let share = canary.map_or(0.1, |share| share.fraction());
    let message = format!(
        "sums to {}; the fractions must sum to 1.0, e.g. {}",
        share::shown(sum),
        example(plan, share)
    );
    problems.add(path, message);
    false
}

/// A correct split with the plan's own names.
fn example(plan: &Plan, share: f64) -> String {
    let name = |given: Option<&str>, other: &str| match given {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => other.to_owned(),
    };
    let canary = name(
        plan.canaries.first().map(|canary| canary.name.as_str()),
        "v2",
    );
    let stable = name(
        plan.stable.as_ref().map(|stable| stable.name.as_str()),
        "v1",
    );
    let share = if share > 0.0 { share } else { 0.1 };
    if share >= 1.0 {
        return format!("{{{canary}: 1.0}}");
    }
    let rest = defaults::split(&canary, &stable, share)
        .remove(&stable)
        .unwrap_or_default();
    format!("{{{canary}: {share}, {stable}: {rest}}}")
}
