//! Gates in plans.

use super::super::{complete, parse, to_yaml, unknown_gates};
use super::{mistake, mistakes, with};
use serinus_proto::v1::Then;
use std::collections::BTreeSet;

const GATED: &str = "steps: [{split: {v2: 0.1, v1: 0.9}, gate: {name: board, then: advance}}, {split: {v2: 1.0}}]\n\
                     bake: {gate: {name: lab, timeout: 1h, on_deny: rollback}}";

#[test]
fn a_gate_has_defaults_and_is_written_as_it_was_read() {
    let plan = complete(parse(&with(GATED)).unwrap(), None).unwrap();
    let board = plan.steps[0].gate.clone().unwrap();
    assert_eq!(board.timeout.unwrap().seconds, 24 * 3600);
    assert_eq!((board.then(), board.on_deny()), (Then::Advance, Then::Hold));
    let lab = plan.bake.clone().unwrap().gate.unwrap();
    assert_eq!((lab.then(), lab.on_deny()), (Then::Hold, Then::Rollback));
    let again = complete(parse(&to_yaml(&plan)).unwrap(), None).unwrap();
    assert_eq!(again, plan);
}

#[test]
fn mistakes_name_the_field() {
    let of = |gate: &str| {
        with(&format!(
            "steps: [{{split: {{v2: 0.1, v1: 0.9}}, gate: {gate}}}]"
        ))
    };
    let of = |gate: &str| mistakes(&of(gate)).join("\n");
    assert!(
        of("{}").starts_with("steps[0].gate.name: missing; write the name of a gate"),
        "{}",
        of("{}")
    );
    assert!(of("{name: \"a b\"}").starts_with("steps[0].gate.name: \"a b\" is no name"));
    assert!(of("{name: a, timeout: 0s}").starts_with("steps[0].gate.timeout: is 0"));
    assert!(of("{name: a, then: wait}").starts_with("steps[0].gate.then: "));
    assert!(of("{name: a, on_deny: advance}").starts_with("steps[0].gate.on_deny: "));
    assert!(of("{name: a, url: \"http://x\"}").starts_with("steps[0].gate.url: "));
    assert!(mistake("bake: {gate: board}").starts_with("bake.gate: "));
}

#[test]
fn a_gate_that_the_control_plane_does_not_know_is_named() {
    let plan = complete(parse(&with(GATED)).unwrap(), None).unwrap();
    let known = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert!(unknown_gates(&plan, &known(&["board", "lab"])).is_empty());
    let one = unknown_gates(&plan, &known(&["bord", "lab"]));
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].path, "steps[0].gate.name");
    assert!(
        one[0].message.contains("did you mean bord?"),
        "{}",
        one[0].message
    );
    let both = unknown_gates(&plan, &known(&[]));
    assert_eq!(both[1].path, "bake.gate.name");
    assert!(
        both[1].message.contains("it has none"),
        "{}",
        both[1].message
    );
}
