use super::super::{complete, parse, to_yaml, view};
use super::{completed, mistake, mistakes, with};

fn steps(first: &str, second: &str) -> String {
    format!(
        "steps: [{{split: {{v2: 0.1, v1: 0.9}}{first}}}, {{split: {{v2: 0.5, v1: 0.5}}{second}}}, {{split: {{v2: 1.0}}}}]"
    )
}

#[test]
fn selectors_are_read_and_written() {
    let text = format!(
        "{}\nselector: {{region: [eu, us]}}",
        steps(
            ", selector: {ring: \"0\"}",
            ", selector: {ring: [\"0\", \"1\"]}"
        )
    );
    let plan = completed(&text);
    let first = view::selector(&plan, 0).unwrap();
    assert_eq!(crate::selector::text(&first), "region=eu|us, ring=0");
    assert_eq!(
        crate::selector::text(&view::selector(&plan, 2).unwrap()),
        "region=eu|us"
    );
    assert!(!view::ends_at_full(&plan), "not on every sidecar");
    assert_eq!(
        complete(parse(&to_yaml(&plan)).unwrap(), None).unwrap(),
        plan
    );
}

#[test]
fn later_steps_select_all_that_earlier_ones_do() {
    assert_eq!(
        mistake(&steps(
            ", selector: {ring: \"0\"}",
            ", selector: {ring: \"1\"}"
        )),
        "steps[1].selector: leaves out sidecars that steps[0] selects (ring=0); a later step must select all of them: add values, or leave labels out"
    );
    assert_eq!(
        mistake(&steps("", ", selector: {ring: \"1\"}")),
        "steps[1].selector: steps[0] has all sidecars, and nobody is taken back; leave it out"
    );
    completed(&steps(
        ", selector: {ring: \"0\", region: eu}",
        ", selector: {ring: \"0\"}",
    ));
}

#[test]
fn each_mistake_of_a_selector_is_named() {
    assert!(
        mistake("selector: {ring: 0}")
            .starts_with("selector.ring: 0 is a number; to use it as text")
    );
    assert!(mistake("selector: {}").starts_with("selector: names no label"));
    assert!(mistake("selector: ring").starts_with("selector: \"ring\" is text; write {ring:"));
    assert!(mistake("selector: {ring: \"a b\"}").starts_with("selector.ring: \"a b\" is no label"));
    let nobody = format!(
        "{}\nselector: {{ring: \"0\"}}",
        steps(", selector: {ring: \"1\"}", "")
    );
    assert_eq!(
        mistakes(&with(&nobody)),
        ["steps[0].selector.ring: selects nobody: the plan's selector is ring=0"]
    );
}
