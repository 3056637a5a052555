//! The ramp that chooses its own steps: its limits, and that nobody writes steps beside it.

use super::timing;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::{ramp, share};
use serinus_proto::v1::{Plan, Then};

/// Checks the ramp, if the plan has one.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    let Some(ramp) = &plan.ramp else { return };
    let path = Path::of("ramp");
    if !plan.steps.is_empty() {
        let message =
            "given beside steps; keep one of the two: an automatic ramp chooses its own steps";
        problems.add(&path, message);
    }
    if ramp.victims < ramp::FEWEST_VICTIMS {
        let message = format!(
            "{} is too few: no canary is proven dead by fewer than {} failed requests; write such as 30",
            ramp.victims,
            ramp::FEWEST_VICTIMS
        );
        problems.add(&path.field("victims"), message);
    }
    let last = match share::checked(ramp.max_share) {
        Ok(share) => share.fraction(),
        Err(message) => return problems.add(&path.field("max_share"), message),
    };
    timing::valid(
        ramp.min_duration.as_ref(),
        &path.field("min_duration"),
        problems,
    );
    let Some(approval) = &ramp.approval else {
        return;
    };
    let path = path.field("approval");
    timing::above_zero(approval.timeout.as_ref(), &path.field("timeout"), problems);
    if approval.then() == Then::Unspecified {
        problems.add(
            &path.field("then"),
            "unknown; write hold, rollback or advance",
        );
    }
    if last <= ramp::LARGEST_FIRST {
        let message = format!(
            "a ramp up to {last} may have no step before its last; write a max_share above {}, or leave approval out",
            ramp::LARGEST_FIRST
        );
        problems.add(&path, message);
    }
}
