//! Selectors: well formed, and from step to step never fewer sidecars.

use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::selector;
use serinus_proto::v1::{Plan, Selector};

/// Checks the plan's selector and those of its steps.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    let of_plan = plan.selector.as_ref();
    one(of_plan, &Path::of("selector"), problems);
    let mut before: Option<(usize, Option<&Selector>)> = None;
    for (index, step) in plan.steps.iter().enumerate() {
        let path = Path::of("steps").item(index).field("selector");
        let own = step.selector.as_ref();
        one(own, &path, problems);
        if let (Some(wide), Some(_)) = (of_plan, own) {
            meets(wide, own, &path, problems);
        }
        if let Some((earlier, narrow)) = before
            && !selector::covers(own, narrow)
        {
            problems.add(&path, fewer(earlier, narrow));
        }
        before = Some((index, own));
    }
}

fn one(of: Option<&Selector>, path: &Path, problems: &Problems) {
    for (name, message) in of.map(selector::faults).unwrap_or_default() {
        let at = if name.is_empty() {
            path.clone()
        } else {
            path.field(&name)
        };
        problems.add(&at, message);
    }
}

/// A step that selects nobody of those that the plan selects.
fn meets(wide: &Selector, own: Option<&Selector>, path: &Path, problems: &Problems) {
    let both = selector::both(Some(wide), own).unwrap_or_default();
    for (name, of) in &both.labels {
        let asked = own.and_then(|own| own.labels.get(name));
        if of.values.is_empty() && asked.is_some_and(|asked| !asked.values.is_empty()) {
            let message = format!(
                "selects nobody: the plan's selector is {}",
                selector::text(wide)
            );
            problems.add(&path.field(name), message);
        }
    }
}

fn fewer(earlier: usize, narrow: Option<&Selector>) -> String {
    match narrow {
        Some(narrow) => format!(
            "leaves out sidecars that steps[{earlier}] selects ({}); a later step must select all of them: add values, or leave labels out",
            selector::text(narrow)
        ),
        None => {
            format!("steps[{earlier}] has all sidecars, and nobody is taken back; leave it out")
        }
    }
}
