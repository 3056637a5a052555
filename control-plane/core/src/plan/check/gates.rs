//! Gates: named, and patient for some time. Which ones there are is the control plane's to know.

use super::timing;
use crate::plan::nearest;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use serinus_proto::v1::{Gate, Plan, Then, Violation};
use std::collections::BTreeSet;

/// Longest name.
const NAME: usize = 63;

/// Checks what can be without knowing which gates there are.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    for (gate, path) in all(plan) {
        if let Some(message) = misnamed(&gate.name) {
            problems.add(&path.field("name"), message);
        }
        timing::above_zero(gate.timeout.as_ref(), &path.field("timeout"), problems);
        if gate.then() == Then::Unspecified {
            problems.add(
                &path.field("then"),
                "unknown; write hold, rollback or advance",
            );
        }
        if !matches!(gate.on_deny(), Then::Hold | Then::Rollback) {
            problems.add(&path.field("on_deny"), "unknown; write hold or rollback");
        }
    }
}

/// Whether a plan asks any gate.
#[must_use]
pub fn has_gates(plan: &Plan) -> bool {
    all(plan).next().is_some()
}

/// The gates of a plan that are not among the known ones.
#[must_use]
pub fn unknown_gates(plan: &Plan, known: &BTreeSet<String>) -> Vec<Violation> {
    let unknown = all(plan).filter(|(gate, _)| !known.contains(&gate.name));
    let violation = |(gate, path): (&Gate, Path)| {
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let meant = nearest(&gate.name, names.iter().copied());
        let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        let there_are = match names.as_slice() {
            [] => "it has none".to_owned(),
            names => format!("it has {}{meant}", names.join(", ")),
        };
        Violation {
            path: path.field("name").to_string(),
            message: format!(
                "the control plane's configuration has no gate {:?}; {there_are}; add a [[gate]] to it, or leave this one out",
                gate.name
            ),
        }
    };
    unknown.map(violation).collect()
}

fn all(plan: &Plan) -> impl Iterator<Item = (&Gate, Path)> {
    let steps = plan.steps.iter().enumerate();
    let steps = steps.filter_map(|(index, step)| {
        let path = Path::of("steps").item(index).field("gate");
        Some((step.gate.as_ref()?, path))
    });
    let bake = plan.bake.as_ref().and_then(|bake| bake.gate.as_ref());
    let bake = bake.map(|gate| (gate, Path::of("bake").field("gate")));
    steps.chain(bake)
}

fn misnamed(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() {
        return Some(
            "missing; write the name of a gate of the control plane's configuration".into(),
        );
    }
    let fits = name.len() <= NAME && name.bytes().all(fits);
    (!fits).then(|| {
        format!("{name:?} is no name; write letters, digits, '-', '_' and '.', at most {NAME}")
    })
}
