//! Rules that send requests to a variant whatever their bucket.

use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::suggest::nearest;
use serinus_common::targeting::{MOST_RULES, Pattern, wrong_name};
use serinus_proto::v1::targeting_rule::{Place, Test};
use serinus_proto::v1::{Plan, TargetingRule};

/// Checks every rule.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    let path = Path::of("targeting");
    if plan.targeting.len() > MOST_RULES {
        let message = format!("{} rules; at most {MOST_RULES}", plan.targeting.len());
        problems.add(&path, message);
    }
    for (index, rule) in plan.targeting.iter().enumerate() {
        let path = path.item(index);
        variant(plan, rule, &path, problems);
        place(rule, &path, problems);
    }
}

fn variant(plan: &Plan, rule: &TargetingRule, path: &Path, problems: &Problems) {
    let path = path.field("variant");
    if rule.variant.is_empty() {
        return problems.add(&path, "missing; write the name of a variant of this plan");
    }
    let known = plan.stable.iter().chain(&plan.canaries);
    let known: Vec<&str> = known.map(|variant| variant.name.as_str()).collect();
    if !known.contains(&rule.variant.as_str()) {
        let hint = nearest(&rule.variant, known.iter().copied())
            .map(|name| format!("; did you mean {name}?"))
            .unwrap_or_default();
        let shown: String = rule.variant.chars().take(60).collect();
        let message = format!(
            "{shown} is no variant of this plan; its variants are {}{hint}",
            known.join(" and ")
        );
        problems.add(&path, message);
    }
}

fn place(rule: &TargetingRule, path: &Path, problems: &Problems) {
    let (path, name) = match &rule.place {
        None => {
            let form = "missing; write header: {name: x-beta, equals: \"1\"}, or cookie";
            return problems.add(&path.field("header"), form);
        }
        Some(Place::Header(name)) => (path.field("header"), name),
        Some(Place::Cookie(name)) => (path.field("cookie"), name),
    };
    if let Some(wrong) = wrong_name(name) {
        problems.add(&path.field("name"), wrong);
    }
    let Some(test) = &rule.test else {
        let form = "tests nothing; write equals: \"1\", in: [a, b], prefix: a or regex: \"^a\"";
        return problems.add(&path, form);
    };
    let (field, pattern) = match test {
        Test::Equals(text) => ("equals", Pattern::equals(text)),
        Test::OneOf(list) => (
            "in",
            Pattern::one_of(list.values.iter().map(String::as_str)),
        ),
        Test::Prefix(text) => ("prefix", Pattern::prefix(text)),
        Test::Regex(text) => ("regex", Pattern::regex(text)),
    };
    if let Err(error) = pattern {
        problems.add(&path.field(field), error.to_string());
    }
}
