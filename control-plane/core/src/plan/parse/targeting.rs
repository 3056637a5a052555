//! Rules that send requests to a variant whatever their bucket.

use crate::plan::fields::{self, Fields};
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::tree::Node;
use serinus_proto::v1::targeting_rule::{Place, Test};
use serinus_proto::v1::{OneOf, TargetingRule};

const RULE_FORM: &str = "{variant: v2, header: {name: x-beta, equals: \"1\"}}";
const PLACE_FORM: &str = "{name: x-beta, equals: \"1\"}";

/// Reads all rules, in their order.
pub(super) fn read(fields: &mut Fields<'_>, problems: &Problems) -> Vec<TargetingRule> {
    let items = fields.list("targeting", &format!("[{RULE_FORM}]"));
    let items = items.unwrap_or_default().into_iter();
    items
        .map(|(node, path)| rule(node, &path, problems))
        .collect()
}

fn rule(node: &Node, path: &Path, problems: &Problems) -> TargetingRule {
    let mut rule = TargetingRule::default();
    let Some(mut fields) = Fields::open(node, path, RULE_FORM, problems) else {
        return rule;
    };
    rule.variant = fields
        .text("variant", "the variant's name, such as v2")
        .unwrap_or_default();
    if let Some((node, path)) = fields.take("header") {
        let (name, test) = place(node, &path, problems);
        (rule.place, rule.test) = (Some(Place::Header(name)), test);
    }
    if let Some((node, path)) = fields.take("cookie") {
        let (name, test) = place(node, &path, problems);
        if rule.place.is_some() {
            problems.add(&path, "given beside header; a rule has one of the two");
        } else {
            (rule.place, rule.test) = (Some(Place::Cookie(name)), test);
        }
    }
    fields.finish();
    rule
}

fn place(node: &Node, path: &Path, problems: &Problems) -> (String, Option<Test>) {
    let Some(mut fields) = Fields::open(node, path, PLACE_FORM, problems) else {
        return (String::new(), None);
    };
    let name = fields.text("name", "a name such as x-beta");
    let tests = [
        fields.text("equals", "the whole value").map(Test::Equals),
        one_of(&mut fields, problems).map(Test::OneOf),
        fields
            .text("prefix", "what the value begins with")
            .map(Test::Prefix),
        fields
            .text("regex", "a regular expression such as \"^beta-\"")
            .map(Test::Regex),
    ];
    fields.finish();
    let mut tests = tests.into_iter().flatten();
    let test = tests.next();
    if tests.next().is_some() {
        problems.add(
            path,
            "has several tests; keep one of equals, in, prefix and regex",
        );
    }
    (name.unwrap_or_default(), test)
}

fn one_of(fields: &mut Fields<'_>, problems: &Problems) -> Option<OneOf> {
    let items = fields.list("in", "[a, b]")?;
    let values = items
        .into_iter()
        .filter_map(|(node, path)| fields::text(node, &path, "a value", problems));
    Some(OneOf {
        values: values.collect(),
    })
}
