//! Confidence, budget, missing evidence and how a sidecar protects users.

use crate::plan::fields::Fields;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::tree::Node;
use serinus_proto::v1::failure::Fallback;
use serinus_proto::v1::{Breaker, Budget, Confidence, Failure, OnNoEvidence, Plan, Then};

/// Reads everything about risk.
pub(super) fn read(fields: &mut Fields<'_>, plan: &mut Plan, problems: &Problems) {
    plan.confidence = fields
        .take("confidence")
        .and_then(|(node, path)| confidence(node, &path, problems));
    plan.budget = fields
        .take("budget")
        .and_then(|(node, path)| budget(node, &path, problems));
    plan.on_no_evidence = fields
        .take("on_no_evidence")
        .and_then(|(node, path)| on_no_evidence(node, &path, problems));
    plan.failure = fields
        .take("failure")
        .and_then(|(node, path)| failure(node, &path, problems));
}

fn confidence(node: &Node, path: &Path, problems: &Problems) -> Option<Confidence> {
    let mut fields = Fields::open(node, path, "{alpha: 0.05, beta: 0.05}", problems)?;
    let form = "a chance between 0 and 1, such as 0.05";
    let confidence = Confidence {
        alpha: fields.positive("alpha", form).unwrap_or_default(),
        beta: fields.positive("beta", form).unwrap_or_default(),
    };
    fields.finish();
    Some(confidence)
}

fn budget(node: &Node, path: &Path, problems: &Problems) -> Option<Budget> {
    let form = "{extra_errors: 50, exposed_keys: 100000}";
    let mut fields = Fields::open(node, path, form, problems)?;
    let budget = Budget {
        extra_errors: fields
            .whole(
                "extra_errors",
                1,
                "a whole number such as 50, or leave it out",
            )
            .unwrap_or_default(),
        exposed_keys: fields
            .whole(
                "exposed_keys",
                1,
                "a whole number such as 100000, or leave it out for no limit",
            )
            .unwrap_or_default(),
    };
    fields.finish();
    Some(budget)
}

fn on_no_evidence(node: &Node, path: &Path, problems: &Problems) -> Option<OnNoEvidence> {
    let mut fields = Fields::open(node, path, "{after: 30m, then: hold}", problems)?;
    let on_no_evidence = OnNoEvidence {
        after: fields.duration("after"),
        then: fields
            .choice(
                "then",
                &[("hold", Then::Hold), ("rollback", Then::Rollback)],
            )
            .unwrap_or_default(),
    };
    fields.finish();
    Some(on_no_evidence)
}

fn failure(node: &Node, path: &Path, problems: &Problems) -> Option<Failure> {
    let form = "{fallback: stable, timeout: 10s, attempt_timeout: 5s}";
    let mut fields = Fields::open(node, path, form, problems)?;
    let failure = Failure {
        fallback: fields
            .choice(
                "fallback",
                &[("stable", Fallback::Stable), ("none", Fallback::None)],
            )
            .unwrap_or_default(),
        timeout: fields.duration("timeout"),
        attempt_timeout: fields.duration("attempt_timeout"),
        breaker: fields
            .take("breaker")
            .and_then(|(node, path)| breaker(node, &path, problems)),
    };
    fields.finish();
    Some(failure)
}

fn breaker(node: &Node, path: &Path, problems: &Problems) -> Option<Breaker> {
    let mut fields = Fields::open(node, path, "{consecutive: 5, error_ratio: 0.5}", problems)?;
    let ratio = fields.share("error_ratio");
    if ratio == Some(0.0) {
        fields.complain("error_ratio", "is 0; write a fraction above 0, such as 0.5");
    }
    let breaker = Breaker {
        consecutive: fields
            .whole("consecutive", 1, "a whole number such as 5")
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
            .unwrap_or_default(),
        error_ratio: ratio.unwrap_or_default(),
    };
    fields.finish();
    Some(breaker)
}
