//! From the tree to the contract's form: kinds and names of fields. Values are checked by `check`.

mod freeze;
mod guardrails;
mod ramp;
mod rewrite;
mod safety;
pub(super) mod selector;
mod steps;
mod targeting;

use super::fields::{self, Fields};
use super::path::Path;
use super::problems::Problems;
use super::tree::Node;
use serinus_proto::v1::bucketing::Hash;
use serinus_proto::v1::{Bucketing, Plan, Variant};

/// Where a key can be.
pub(super) const KEY_FORM: &str =
    "header:NAME, cookie:NAME, query:NAME, metadata:NAME, json:/POINTER, path:N or none";

const VARIANT_FORM: &str = "{name: v2, endpoints: [http://127.0.0.1:9002]}";

/// The plan as far as it could be read, and whether its canaries were written as a list.
pub(super) fn plan(node: &Node, problems: &Problems) -> (Plan, bool) {
    let mut plan = Plan::default();
    let form = "the plan as a map: model: NAME, canary: {name: v2, endpoints: [URL]}, ...";
    let Some(mut fields) = Fields::open(node, &Path::default(), form, problems) else {
        return (plan, false);
    };
    plan.model = fields
        .text("model", "the model's name, such as recommender")
        .unwrap_or_default();
    plan.stable = fields
        .take("stable")
        .map(|(node, path)| variant(node, &path, problems));
    let listed = canaries(&mut fields, &mut plan, problems);
    plan.bucketing = fields
        .take("bucketing")
        .and_then(|(node, path)| bucketing(node, &path, problems));
    steps::read(&mut fields, &mut plan, problems);
    plan.ramp = ramp::read(&mut fields, problems);
    plan.guardrails = guardrails::read(&mut fields, problems);
    safety::read(&mut fields, &mut plan, problems);
    plan.targeting = targeting::read(&mut fields, problems);
    plan.selector = selector::read(&mut fields, problems);
    plan.freeze = freeze::read(&mut fields, problems);
    plan.allow_large_first_step = fields.truth("allow_large_first_step").unwrap_or_default();
    plan.allow_override_header = fields.truth("allow_override_header").unwrap_or_default();
    fields.finish();
    (plan, listed)
}

fn canaries(fields: &mut Fields<'_>, plan: &mut Plan, problems: &Problems) -> bool {
    if let Some((node, path)) = fields.take("canary") {
        plan.canaries.push(variant(node, &path, problems));
    }
    let form = format!("[{VARIANT_FORM}]");
    let Some(items) = fields.list("canaries", &form) else {
        return false;
    };
    if !plan.canaries.is_empty() {
        fields.complain("canaries", "given beside canary; keep one of the two");
        return false;
    }
    for (node, path) in items {
        plan.canaries.push(variant(node, &path, problems));
    }
    true
}

fn variant(node: &Node, path: &Path, problems: &Problems) -> Variant {
    let mut variant = Variant::default();
    let Some(mut fields) = Fields::open(node, path, VARIANT_FORM, problems) else {
        return variant;
    };
    variant.name = fields
        .text("name", "the variant's name, such as v2")
        .unwrap_or_default();
    let form = "[http://127.0.0.1:9002]";
    for (node, path) in fields.list("endpoints", form).unwrap_or_default() {
        let url = fields::text(
            node,
            &path,
            "an address such as http://127.0.0.1:9002",
            problems,
        );
        variant.endpoints.extend(url);
    }
    variant.rewrite = fields
        .take("rewrite")
        .and_then(|(node, path)| rewrite::read(node, &path, problems));
    fields.finish();
    variant
}

fn bucketing(node: &Node, path: &Path, problems: &Problems) -> Option<Bucketing> {
    let mut fields = Fields::open(node, path, "{key: header:x-user-id}", problems)?;
    let bucketing = Bucketing {
        key: fields.text("key", KEY_FORM).unwrap_or_default(),
        hash: fields
            .choice("hash", &[("xxh3", Hash::Xxh3), ("modulo", Hash::Modulo)])
            .unwrap_or_default(),
        salt: fields.text("salt", "any text").unwrap_or_default(),
        modulus: fields
            .whole(
                "modulus",
                1,
                "a whole number that divides 1000000, such as 10",
            )
            .map(|modulus| u32::try_from(modulus).unwrap_or(u32::MAX))
            .unwrap_or_default(),
        sticky: fields.truth("sticky").unwrap_or_default(),
    };
    fields.finish();
    Some(bucketing)
}
