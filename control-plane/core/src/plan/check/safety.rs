//! Confidence, budget, missing evidence, and how a sidecar protects users.

use super::timing;
use crate::plan::duration;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::share;
use serinus_proto::v1::failure::Fallback;
use serinus_proto::v1::{Failure, Plan, Then};

/// Checks everything about risk.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    if let Some(confidence) = &plan.confidence {
        let path = Path::of("confidence");
        chance(confidence.alpha, &path.field("alpha"), problems);
        chance(confidence.beta, &path.field("beta"), problems);
    }
    if let Some(missing) = &plan.on_no_evidence {
        let path = Path::of("on_no_evidence");
        timing::above_zero(missing.after.as_ref(), &path.field("after"), problems);
        if !matches!(missing.then(), Then::Hold | Then::Rollback) {
            let message = "advance is not possible without evidence; write hold or rollback";
            problems.add(&path.field("then"), message);
        }
    }
    if let Some(failure) = &plan.failure {
        check_failure(failure, &Path::of("failure"), problems);
    }
}

fn chance(value: f64, path: &Path, problems: &Problems) {
    if !(1e-9..=1.0 - 1e-9).contains(&value) {
        problems.add(
            path,
            format!("{value} is no chance; write a number between 0 and 1, such as 0.05"),
        );
    }
}

fn check_failure(failure: &Failure, path: &Path, problems: &Problems) {
    if failure.fallback() == Fallback::Unspecified {
        problems.add(&path.field("fallback"), "unknown; write stable or none");
    }
    let whole = timing::above_zero(failure.timeout.as_ref(), &path.field("timeout"), problems);
    let at = path.field("attempt_timeout");
    let attempt = timing::above_zero(failure.attempt_timeout.as_ref(), &at, problems);
    if let (Some(whole), Some(attempt)) = (whole, attempt)
        && attempt > whole
    {
        let message = format!(
            "{} is longer than failure.timeout ({}); write at most half of that, so that stable can still answer",
            duration::format(attempt),
            duration::format(whole)
        );
        problems.add(&at, message);
    }
    if let Some(breaker) = &failure.breaker {
        let at = path.field("breaker").field("error_ratio");
        if let Err(message) = share::checked(breaker.error_ratio) {
            problems.add(&at, message);
        }
    }
}
