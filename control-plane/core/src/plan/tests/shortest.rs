use super::super::{complete, short_form};
use super::variant;

fn shares(percent: f64) -> Vec<f64> {
    let plan = short_form(
        "m",
        Some(("v1", "http://h:1")),
        ("v2", "http://h:2"),
        percent,
    )
    .unwrap();
    let plan = complete(plan, None).unwrap();
    plan.steps.iter().map(|step| step.split["v2"]).collect()
}

#[test]
fn the_ramp_begins_at_the_percentage() {
    assert_eq!(shares(5.0), [0.05, 0.25, 0.5, 1.0]);
    assert_eq!(shares(0.1), [0.001, 0.05, 0.25, 0.5, 1.0]);
    assert_eq!(shares(30.0), [0.3, 0.5, 1.0]);
    assert_eq!(shares(50.0), [0.5, 1.0]);
}

#[test]
fn stable_may_come_from_the_model() {
    let plan = short_form("m", None, ("v2", "http://h:2"), 7.0).unwrap();
    let plan = complete(plan, Some(&variant("v1"))).unwrap();
    assert_eq!(plan.steps[0].split["v1"], 0.93);
}

#[test]
fn bad_ones_name_the_field() {
    let path = |percent: f64, url: &str| {
        let violations =
            short_form("m", Some(("v1", "http://h:1")), ("v2", url), percent).unwrap_err();
        violations[0].path.clone()
    };
    for percent in [0.0, -1.0, 51.0, 100.0, 150.0, f64::NAN] {
        assert_eq!(path(percent, "http://h:2"), "percent");
    }
    assert_eq!(path(5.0, "h:2"), "canary.endpoints[0]");
    assert_eq!(path(0.000_01, "http://h:2"), "steps[0].split");
}
