//! Plans: from text to the contract's form, defaults, rules, and back to text.
//!
//! [`parse`] reports every mistake that can be seen in the text alone; [`complete`] fills in the defaults and checks
//! every rule, given what is known about the model. Both name each mistake by its path, such as `steps[1].split.v2`.

mod check;
mod defaults;
mod duration;
mod evidence;
mod fields;
mod parse;
mod path;
mod problems;
mod ramp;
mod render;
mod share;
mod short;
mod suggest;
mod tree;
pub mod view;

pub use check::gates::{has_gates, unknown_gates};
pub use duration::{format as format_duration, parse as parse_duration, to_std as std_duration};
pub use evidence::evidence_settings;
pub use ramp::{asked as asked_plan, choose as choose_ramp, outlook as ramp_outlook};
pub use render::to_yaml;
pub use short::{short_form, short_form_auto};

pub(crate) use suggest::nearest;

use check::Context;
use problems::Problems;
use serinus_proto::v1;

/// Reads a plan written in YAML or JSON. Defaults are not filled in: that is [`complete`].
///
/// A plan that names no stable variant is accepted as far as it goes; the name that its splits use beside the canary
/// is taken for the stable one.
///
/// # Errors
/// All mistakes at once. A text that is no YAML has one, with line and column and an empty path.
pub fn parse(text: &str) -> Result<v1::Plan, Vec<v1::Violation>> {
    let tree = tree::read(text).map_err(|violation| vec![violation])?;
    let shape = Problems::default();
    let (plan, listed) = parse::plan(&tree, &shape);
    let rules = rules(&plan, Context { listed });
    shape.into_result_with(rules, plan)
}

/// The plan as it is, if it breaks no rule that can be checked without knowing the model.
fn checked(plan: v1::Plan) -> Result<v1::Plan, Vec<v1::Violation>> {
    rules(&plan, Context { listed: false }).into_result(plan)
}

fn rules(plan: &v1::Plan, context: Context) -> Problems {
    let problems = Problems::default();
    let assumed = check::assumed_stable(plan);
    let filled = defaults::fill(plan.clone(), Some(&assumed));
    check::plan(&filled, context, &problems);
    problems
}

/// Fills in the defaults and checks every rule; `stable` is the model's stable variant, if it has one. Completing a
/// completed plan changes nothing. The steps of an automatic ramp are chosen when a rollout is created, by
/// [`choose_ramp`]; those that an earlier rollout had are dropped.
///
/// # Errors
/// All mistakes at once.
pub fn complete(
    plan: v1::Plan,
    stable: Option<&v1::Variant>,
) -> Result<v1::Plan, Vec<v1::Violation>> {
    let problems = Problems::default();
    let plan = asked_plan(plan);
    check::agrees_with_model(&plan, stable, &problems);
    let filled = defaults::fill(plan, stable);
    check::plan(&filled, Context { listed: false }, &problems);
    problems.into_result(filled)
}

#[cfg(test)]
mod tests;
