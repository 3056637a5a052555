//! Freezes: each readable, and all together with some time left.

use super::timing;
use crate::freeze;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use serinus_proto::v1::Plan;
use std::time::Duration;

const MOST: usize = 16;
const LONGEST: Duration = Duration::from_secs(92 * 86_400);

/// Checks every freeze.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    let list = Path::of("freeze");
    if plan.freeze.len() > MOST {
        let message = format!("{} freezes; at most {MOST}", plan.freeze.len());
        return problems.add(&list, message);
    }
    for (index, of) in plan.freeze.iter().enumerate() {
        let path = list.item(index);
        let at = path.field("duration");
        let duration = timing::above_zero(of.duration.as_ref(), &at, problems);
        if duration.is_some_and(|duration| duration > LONGEST) {
            problems.add(
                &at,
                "is longer than 92d; write less, or stop the rollout with pause",
            );
        }
        if let Err(wrong) = freeze::check(of) {
            problems.add(&path.field(wrong.field), wrong.message);
        }
    }
    let sound = !problems.touches(&list);
    if sound && !plan.freeze.is_empty() && !freeze::leave_time(&plan.freeze) {
        problems.add(
            &list,
            "freezes always, so that nothing could ever move; write shorter windows",
        );
    }
}
