//! Durations: each valid by itself, and all together within the longest one.

use crate::plan::duration;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use prost_types::Duration as Proto;
use serinus_proto::v1::{Plan, Then};
use std::time::Duration;

/// A valid duration, or a complaint.
pub(super) fn valid(proto: Option<&Proto>, path: &Path, problems: &Problems) -> Option<Duration> {
    let checked = match proto {
        Some(proto) => duration::checked(proto),
        None => Err("missing".to_owned()),
    };
    match checked {
        Ok(duration) => Some(duration),
        Err(message) => {
            problems.add(path, format!("{message}; {}", duration::FORM));
            None
        }
    }
}

/// A valid duration above 0, or a complaint.
pub(super) fn above_zero(
    proto: Option<&Proto>,
    path: &Path,
    problems: &Problems,
) -> Option<Duration> {
    let duration = valid(proto, path, problems)?;
    if duration.is_zero() {
        problems.add(path, format!("is 0; {}", duration::FORM));
        return None;
    }
    Some(duration)
}

/// Checks the times of the ramp.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    let mut least = Duration::ZERO;
    let mut add = |duration: Option<Duration>| least += duration.unwrap_or_default();
    if let Some(warmup) = &plan.warmup {
        let path = Path::of("warmup").field("duration");
        add(above_zero(warmup.duration.as_ref(), &path, problems));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        let path = Path::of("steps").item(index);
        add(valid(
            step.min_duration.as_ref(),
            &path.field("min_duration"),
            problems,
        ));
        if let Some(approval) = &step.approval {
            let path = path.field("approval");
            above_zero(approval.timeout.as_ref(), &path.field("timeout"), problems);
            if approval.then() == Then::Unspecified {
                problems.add(
                    &path.field("then"),
                    "unknown; write hold, rollback or advance",
                );
            }
        }
    }
    // Those of an automatic ramp, if it does not skip any.
    let chosen = crate::plan::choose_ramp(plan.clone(), None);
    for step in chosen.steps.iter().skip(plan.steps.len()) {
        add(step
            .min_duration
            .as_ref()
            .map(|it| duration::to_std(Some(it))));
    }
    if let Some(bake) = &plan.bake {
        add(valid(
            bake.duration.as_ref(),
            &Path::of("bake").field("duration"),
            problems,
        ));
    }
    let path = Path::of("max_duration");
    if let Some(most) = above_zero(plan.max_duration.as_ref(), &path, problems)
        && most < least
    {
        let message = format!(
            "{} is shorter than warm-up, steps and bake take at the least ({}); write more than that",
            duration::format(most),
            duration::format(least)
        );
        problems.add(&path, message);
    }
}
