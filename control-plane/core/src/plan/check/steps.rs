//! The ramp: it begins small, never falls and ends at most at 1.0.

use super::shares;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::share;
use serinus_common::ppm::Ppm;
use serinus_proto::v1::Plan;

const MOST_STEPS: usize = 100;

/// Tolerances that a step may ask for.
const TOLERANCES: std::ops::RangeInclusive<f64> = 1.0..=10.0;

/// Checks the steps, and the warm-up and the holdback against them.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    if plan.steps.len() > MOST_STEPS {
        let message = format!("{} steps; at most {MOST_STEPS}", plan.steps.len());
        problems.add(&Path::of("steps"), message);
        return;
    }
    let mut canary: Vec<Option<Ppm>> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let path = Path::of("steps").item(index);
        canary.push(shares::check(plan, step, &path.field("split"), problems));
        if step.tolerance != 0.0 && !TOLERANCES.contains(&step.tolerance) {
            let message = format!(
                "{} is out of range; write a number between 1 and 10, or leave it out",
                step.tolerance
            );
            problems.add(&path.field("tolerance"), message);
        }
    }
    if plan.canaries.is_empty() {
        return;
    }
    rises(&canary, problems);
    begins_small(plan, &canary, problems);
    warmup(plan, &canary, problems);
    holdback(plan, &canary, problems);
}

fn rises(canary: &[Option<Ppm>], problems: &Problems) {
    let mut before: Option<(usize, Ppm)> = None;
    for (index, share) in canary.iter().enumerate() {
        let Some(share) = *share else { continue };
        let path = Path::of("steps").item(index).field("split");
        if share == Ppm::ZERO {
            problems.add(
                &path,
                "gives the canary nothing; write a share above 0 for it",
            );
        }
        if let Some((earlier, most)) = before {
            if most == Ppm::ONE {
                let message = format!(
                    "follows steps[{earlier}], which gives the canary everything; that one must be the last"
                );
                problems.add(&path, message);
            } else if share < most {
                let message = format!(
                    "gives the canary {}, less than steps[{earlier}] ({}); shares must not fall from step to step",
                    share.fraction(),
                    most.fraction()
                );
                problems.add(&path, message);
            }
        }
        if before.is_none_or(|(_, most)| share >= most) {
            before = Some((index, share));
        }
    }
}

fn begins_small(plan: &Plan, canary: &[Option<Ppm>], problems: &Problems) {
    let Some(Some(first)) = canary.first() else {
        return;
    };
    if first.fraction() > 0.5 && !plan.allow_large_first_step {
        let message = format!(
            "begins with {} for the canary, more than one half; begin with less, or write allow_large_first_step: true",
            first.fraction()
        );
        problems.add(&Path::of("steps").item(0).field("split"), message);
    }
}

fn warmup(plan: &Plan, canary: &[Option<Ppm>], problems: &Problems) {
    let Some(warmup) = &plan.warmup else { return };
    let path = Path::of("warmup").field("share");
    match (share::checked(warmup.share), canary.first()) {
        (Err(message), _) => problems.add(&path, message),
        (Ok(share), Some(Some(first))) if share > *first => {
            let message = format!(
                "{} is more than the first step gives ({}); write at most that",
                share.fraction(),
                first.fraction()
            );
            problems.add(&path, message);
        }
        _ => {}
    }
}

fn holdback(plan: &Plan, canary: &[Option<Ppm>], problems: &Problems) {
    let Some(holdback) = plan.bake.as_ref().and_then(|bake| bake.holdback) else {
        return;
    };
    let path = Path::of("bake").field("holdback");
    let holdback = match share::checked(holdback) {
        Ok(share) => share,
        Err(message) => return problems.add(&path, message),
    };
    if holdback.fraction() > 0.5 {
        let message = format!(
            "{} is more than one half; write such as 0.05",
            holdback.fraction()
        );
        return problems.add(&path, message);
    }
    let (Some(Some(last)), [.., before, _]) = (canary.last(), canary) else {
        return;
    };
    let before = before.unwrap_or_default();
    if *last == Ppm::ONE && before < Ppm::ONE && holdback > before.complement() {
        let message = format!(
            "{} would leave the canary less than the step before gives it ({}); write at most {}",
            holdback.fraction(),
            before.fraction(),
            before.complement().fraction()
        );
        problems.add(&path, message);
    }
}
