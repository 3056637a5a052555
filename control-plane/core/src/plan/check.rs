//! The rules of a plan whose defaults are filled in.

mod bucketing;
mod freeze;
pub(super) mod gates;
mod guardrails;
mod ramp;
mod rewrite;
mod safety;
mod selector;
mod shares;
mod steps;
mod targeting;
mod timing;
mod variants;

use super::defaults::STABLE_ALIAS;
use super::path::Path;
use super::problems::Problems;
use serinus_proto::v1::{Plan, Variant};

/// How the plan was written, for the paths of its mistakes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// `canaries: [..]` rather than `canary: {..}`.
    pub(super) listed: bool,
}

impl Context {
    /// Path of a canary.
    fn canary(self, plan: &Plan, index: usize) -> Path {
        if self.listed || plan.canaries.len() > 1 {
            Path::of("canaries").item(index)
        } else {
            Path::of("canary")
        }
    }
}

/// Checks everything.
pub(super) fn plan(plan: &Plan, context: Context, problems: &Problems) {
    variants::check(plan, context, problems);
    steps::check(plan, problems);
    ramp::check(plan, problems);
    bucketing::check(plan, problems);
    targeting::check(plan, problems);
    timing::check(plan, problems);
    guardrails::check(plan, problems);
    safety::check(plan, problems);
    freeze::check(plan, problems);
    selector::check(plan, problems);
    gates::check(plan, problems);
}

/// Stands in for the stable variant of a plan that names none: called as the plan's splits call it.
pub(super) fn assumed_stable(plan: &Plan) -> Variant {
    let canary = |name: &str| plan.canaries.iter().any(|canary| canary.name == name);
    let name = plan
        .steps
        .iter()
        .flat_map(|step| step.split.keys())
        .chain(plan.targeting.iter().map(|rule| &rule.variant))
        .find(|name| !canary(name))
        .map_or(STABLE_ALIAS, String::as_str);
    // A canary may have any name.
    let name = if canary(name) { "the-stable-one" } else { name };
    Variant {
        name: name.to_owned(),
        ..Default::default()
    }
}

/// A plan may repeat the model's stable variant, not replace it.
pub(super) fn agrees_with_model(plan: &Plan, stable: Option<&Variant>, problems: &Problems) {
    if let (Some(own), Some(known)) = (&plan.stable, stable)
        && own.name != known.name
        && !own.name.is_empty()
    {
        let message = format!(
            "{}, but the stable variant of this model is {}; leave stable out, or change it with `serinus model set-stable`",
            own.name, known.name
        );
        problems.add(&Path::of("stable").field("name"), message);
    }
}
