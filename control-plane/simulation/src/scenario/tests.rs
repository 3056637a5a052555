use super::*;

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse(text, Path::new("one.json"))
}

#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let error = parse(text).expect_err("a mistake").to_string();
    for part in parts {
        assert!(error.contains(part), "{error:?} says nothing of {part:?}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let scenario = parse(r#"{"name": "n", "truth": "null"}"#).expect("valid");
    assert_eq!((scenario.rate, scenario.horizon), (300.0, 3600.0));
    assert_eq!((scenario.stable.err, scenario.stable.acc), (0.005, None));
    assert_eq!(
        (scenario.margins.err, scenario.margins.lat_ratio),
        (0.0025, 1.10)
    );
    assert_eq!((scenario.label_delay, scenario.label_fraction), (0.0, 1.0));
}

#[test]
fn a_part_that_is_written_in_part_keeps_the_other_defaults() {
    let text = r#"{"name": "n", "truth": "bad", "stable": {"err": 0.01}, "canary": {"tail": [0.02, 5.0]},
                   "margins": {"acc": 0.02}, "ou_arm": {"sd": 0.5}}"#;
    let scenario = parse(text).expect("valid");
    assert_eq!((scenario.stable.err, scenario.stable.sigma), (0.01, 0.5));
    assert_eq!(scenario.canary.tail, Some([0.02, 5.0]));
    assert_eq!((scenario.margins.acc, scenario.margins.err), (0.02, 0.0025));
    let spec = scenario.spec();
    assert_eq!((spec.noise_of_one.sd, spec.noise_of_one.tau_s), (0.5, 20.0));
    assert_eq!(spec.noise_shared.tau_s, 60.0);
}

#[test]
fn unknown_fields_change_nothing_and_are_named() {
    let text = r#"{"name": "n", "truth": "bad", "rps": 3, "canary": {"error": 3}}"#;
    let scenario = parse(text).expect("valid");
    assert_eq!(scenario.unknown, ["rps", "canary.error"]);
    let plain = parse(r#"{"name": "n", "truth": "bad", "canary": {}}"#).expect("valid");
    assert_eq!(scenario.spec(), plain.spec());
    refused(
        r#"{"name": "n", "truth": "bad"} {}"#,
        &["one.json", "trailing"],
    );
}

#[test]
fn values_that_make_no_sense_are_named() {
    refused(
        r#"{"name": "n", "truth": "null", "rate": 0}"#,
        &["one.json: rate is 0"],
    );
    refused(
        r#"{"name": "n", "truth": "null", "stable": {"err": 2}}"#,
        &["stable.err is 2", "from 0 to 1"],
    );
    refused(
        r#"{"name": "n", "truth": "bad", "blips": [{"at": 1, "seconds": 1, "err": 1}, {"at": 1, "seconds": 1, "err": 7}]}"#,
        &["blips[1].err is 7"],
    );
    refused(
        r#"{"name": "n", "truth": "bad", "canary_blips": {"start": 0, "period": 5, "seconds": 6, "err": 1}}"#,
        &["canary_blips.seconds", "from 0 to 5"],
    );
    refused(r#"{"name": "n", "truth": "worse"}"#, &["`worse`", "`bad`"]);
    refused(r#"{"truth": "bad"}"#, &["`name`"]);
}
