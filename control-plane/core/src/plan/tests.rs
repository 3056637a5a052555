mod completing;
mod examples;
mod freezing;
mod gating;
mod mistaken_values;
mod mistakes;
mod properties;
mod ramp;
mod reference;
mod rendering;
mod rewriting;
mod selecting;
mod settings;
mod shortest;
mod targeting;
mod viewing;

use super::{complete, parse};
use serinus_proto::v1::{Plan, Variant, Violation};

const HEAD: &str = "model: m\nstable: {name: v1, endpoints: [http://h:1]}\ncanary: {name: v2, endpoints: [http://h:2]}\n";

/// A small plan with more lines.
fn with(lines: &str) -> String {
    format!("{HEAD}{lines}\n")
}

fn completed(lines: &str) -> Plan {
    let plan = parse(&with(lines)).unwrap_or_else(|violations| panic!("{violations:#?}"));
    complete(plan, None).unwrap_or_else(|violations| panic!("{violations:#?}"))
}

fn mistakes(text: &str) -> Vec<String> {
    let violations: Vec<Violation> = parse(text).expect_err("the plan has mistakes");
    violations
        .into_iter()
        .map(|violation| format!("{}: {}", violation.path, violation.message))
        .collect()
}

/// The only mistake of a small plan with more lines.
fn mistake(lines: &str) -> String {
    let mut all = mistakes(&with(lines));
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

fn variant(name: &str) -> Variant {
    Variant {
        name: name.into(),
        endpoints: vec!["http://h:1".into()],
        ..Default::default()
    }
}
