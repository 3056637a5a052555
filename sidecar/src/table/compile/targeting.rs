//! Rules as they come with an assignment, resolved to positions of variants.

use crate::route::targeting::{Place, Rule, Rules};
use crate::table::Variant;
use serinus_common::targeting::{Pattern, wrong_name};
use serinus_proto::v1;
use v1::targeting_rule::{Place as Of, Test};

pub(super) fn of(
    rules: &[v1::TargetingRule],
    variants: &[Variant],
    errors: &mut Vec<String>,
) -> Rules {
    let mut compiled = Vec::with_capacity(rules.len());
    for (at, rule) in rules.iter().enumerate() {
        match one(rule, variants) {
            Ok(rule) => compiled.push(rule),
            Err(why) => errors.push(format!("targeting[{at}]: {why}")),
        }
    }
    Rules::new(compiled)
}

fn one(rule: &v1::TargetingRule, variants: &[Variant]) -> Result<Rule, String> {
    let mut names = variants.iter();
    let variant = names.position(|variant| variant.name == rule.variant);
    let variant = variant.ok_or_else(|| format!("variant: {:?} is unknown", rule.variant))?;
    let (place, name) = match &rule.place {
        Some(Of::Header(name)) => (Place::Header(name.to_ascii_lowercase().into()), name),
        Some(Of::Cookie(name)) => (Place::Cookie(name.as_str().into()), name),
        None => return Err("there is neither header nor cookie".to_owned()),
    };
    if let Some(wrong) = wrong_name(name) {
        return Err(format!("name: {wrong}"));
    }
    Ok(Rule {
        variant,
        place,
        pattern: pattern(rule.test.as_ref())?,
    })
}

fn pattern(test: Option<&Test>) -> Result<Pattern, String> {
    let (name, pattern) = match test {
        None => return Err("tests nothing; write equals, in, prefix or regex".to_owned()),
        Some(Test::Equals(text)) => ("equals", Pattern::equals(text)),
        Some(Test::OneOf(list)) => {
            let values = list.values.iter().map(String::as_str);
            ("in", Pattern::one_of(values))
        }
        Some(Test::Prefix(text)) => ("prefix", Pattern::prefix(text)),
        Some(Test::Regex(text)) => ("regex", Pattern::regex(text)),
    };
    pattern.map_err(|error| format!("{name}: {error}"))
}
