//! Warm-up, steps, bake and the longest duration.

use crate::plan::fields::{self, Fields};
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::tree::Node;
use serinus_proto::v1::{Approval, Bake, Gate, Plan, Step, Then, Warmup};

const STEP_FORM: &str = "{split: {v2: 0.1, v1: 0.9}, min_duration: 60s}";

/// Reads everything about the ramp.
pub(super) fn read(fields: &mut Fields<'_>, plan: &mut Plan, problems: &Problems) {
    plan.warmup = fields
        .take("warmup")
        .and_then(|(node, path)| warmup(node, &path, problems));
    let form = format!("[{STEP_FORM}]");
    for (node, path) in fields.list("steps", &form).unwrap_or_default() {
        plan.steps.push(step(node, &path, problems));
    }
    plan.bake = fields
        .take("bake")
        .and_then(|(node, path)| bake(node, &path, problems));
    plan.max_duration = fields.duration("max_duration");
}

fn warmup(node: &Node, path: &Path, problems: &Problems) -> Option<Warmup> {
    let mut fields = Fields::open(node, path, "{duration: 60s, share: 0.02}", problems)?;
    let share = fields.share("share");
    if share == Some(0.0) {
        fields.complain(
            "share",
            "is 0; write a fraction above 0, such as 0.02, or leave warmup out",
        );
    }
    let warmup = Warmup {
        duration: fields.duration("duration"),
        share: share.unwrap_or_default(),
    };
    fields.finish();
    Some(warmup)
}

fn step(node: &Node, path: &Path, problems: &Problems) -> Step {
    let mut step = Step::default();
    let Some(mut fields) = Fields::open(node, path, STEP_FORM, problems) else {
        return step;
    };
    if let Some((node, path)) = fields.take("split") {
        split(node, &path, &mut step, problems);
    }
    step.min_duration = fields.duration("min_duration");
    step.min_requests = fields
        .whole("min_requests", 0, "a whole number such as 500")
        .unwrap_or_default();
    step.approval = fields
        .take("approval")
        .and_then(|(node, path)| approval(node, &path, problems));
    step.gate = fields
        .take("gate")
        .and_then(|(node, path)| gate(node, &path, problems));
    step.selector = super::selector::read(&mut fields, problems);
    step.tolerance = fields
        .positive("tolerance", "a number between 1 and 10")
        .unwrap_or_default();
    fields.finish();
    step
}

fn split(node: &Node, path: &Path, step: &mut Step, problems: &Problems) {
    let Node::Map(entries) = node else {
        let message = format!(
            "{}; write a fraction per variant, such as {{v2: 0.1, v1: 0.9}}",
            node.described()
        );
        problems.add(path, message);
        return;
    };
    for (name, value) in entries {
        let path = path.field(name);
        let share = fields::share(value, &path, problems);
        if step.split.contains_key(name) {
            problems.add(&path, "given twice; keep one");
        } else {
            // What is no number was reported; it still counts as given.
            step.split.insert(name.clone(), share.unwrap_or_default());
        }
    }
}

pub(super) fn approval(node: &Node, path: &Path, problems: &Problems) -> Option<Approval> {
    let mut fields = Fields::open(node, path, "{timeout: 24h, then: hold}", problems)?;
    let approval = Approval {
        timeout: fields.duration("timeout"),
        then: fields
            .choice(
                "then",
                &[
                    ("hold", Then::Hold),
                    ("rollback", Then::Rollback),
                    ("advance", Then::Advance),
                ],
            )
            .unwrap_or_default(),
    };
    fields.finish();
    Some(approval)
}

fn gate(node: &Node, path: &Path, problems: &Problems) -> Option<Gate> {
    let form = "{name: change-board, timeout: 24h, then: hold, on_deny: hold}";
    let mut fields = Fields::open(node, path, form, problems)?;
    let outcomes = [
        ("hold", Then::Hold),
        ("rollback", Then::Rollback),
        ("advance", Then::Advance),
    ];
    let gate = Gate {
        name: fields
            .text("name", "the name of a gate, such as change-board")
            .unwrap_or_default(),
        timeout: fields.duration("timeout"),
        then: fields.choice("then", &outcomes).unwrap_or_default(),
        on_deny: fields.choice("on_deny", &outcomes[..2]).unwrap_or_default(),
    };
    fields.finish();
    Some(gate)
}

fn bake(node: &Node, path: &Path, problems: &Problems) -> Option<Bake> {
    let mut fields = Fields::open(node, path, "{duration: 30m, holdback: 0.05}", problems)?;
    let bake = Bake {
        duration: fields.duration("duration"),
        holdback: fields.share("holdback"),
        gate: fields
            .take("gate")
            .and_then(|(node, path)| gate(node, &path, problems)),
    };
    fields.finish();
    Some(bake)
}
