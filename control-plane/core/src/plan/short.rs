//! The one-line form of a plan.

use super::defaults::{self, STABLE_ALIAS};
use super::path::Path;
use super::problems::Problems;
use serinus_proto::v1::{Plan, Ramp, Step, Variant, Violation};

/// The plan behind `serinus deploy MODEL --stable v1=URL --canary v2=URL --percent 5`: the default ramp, begun at
/// `percent`, and default guardrails. `stable` and `canary` are names and addresses. Without a stable variant the
/// model must have one when the plan is completed.
///
/// # Errors
/// If `percent` is no percentage between 0 and 50, or if the plan breaks a rule.
pub fn short_form(
    model: &str,
    stable: Option<(&str, &str)>,
    canary: (&str, &str),
    percent: f64,
) -> Result<Plan, Vec<Violation>> {
    let problems = Problems::default();
    let path = Path::of("percent");
    if !(percent > 0.0 && percent <= 100.0) {
        problems.add(
            &path,
            format!("{percent} is no percentage for a first step; write such as 5"),
        );
    } else if percent > 50.0 {
        let message = format!(
            "{percent} is more than half of the traffic at once; write at most 50, or use a plan file with allow_large_first_step: true"
        );
        problems.add(&path, message);
    }
    problems.into_result(())?;
    let stable_name = stable.map_or(STABLE_ALIAS, |(name, _)| name);
    // Percentages have at most four decimals: the resolution of a share is a millionth.
    let first = (percent * 1e4).round() / 1e6;
    let steps = std::iter::once(first)
        .chain(defaults::RAMP.into_iter().filter(|&share| share > first))
        .map(|share| Step {
            split: defaults::split(canary.0, stable_name, share),
            ..Step::default()
        });
    super::checked(Plan {
        steps: steps.collect(),
        ..named(model, stable, canary)
    })
}

/// The same with a ramp that is paced by the evidence: `--auto` instead of `--percent`.
///
/// # Errors
/// If the plan breaks a rule.
pub fn short_form_auto(
    model: &str,
    stable: Option<(&str, &str)>,
    canary: (&str, &str),
) -> Result<Plan, Vec<Violation>> {
    super::checked(Plan {
        ramp: Some(Ramp::default()),
        ..named(model, stable, canary)
    })
}

fn named(model: &str, stable: Option<(&str, &str)>, canary: (&str, &str)) -> Plan {
    let variant = |(name, url): (&str, &str)| Variant {
        name: name.to_owned(),
        endpoints: vec![url.to_owned()],
        ..Default::default()
    };
    Plan {
        model: model.to_owned(),
        stable: stable.map(variant),
        canaries: vec![variant(canary)],
        ..Plan::default()
    }
}
