use super::*;
use crate::reference::reference_plan;
use crate::scenario::Scenario;
use std::path::Path;

fn outcome(fields: &str, seed: u64) -> Outcome {
    let text = format!(r#"{{"name": "t", "truth": "bad", {fields}}}"#);
    let scenario = Scenario::parse(&text, Path::new("t.json")).expect("valid");
    let names: Vec<&str> = scenario.labelled().iter().map(|(name, _)| *name).collect();
    let setup = Setup::new(reference_plan(&scenario).expect("a plan"), &names).expect("labels");
    let options = Options {
        horizon_s: scenario.horizon,
        history: true,
        users: None,
    };
    Trial::new(&setup, &scenario.spec(), options, seed)
        .expect("settings")
        .run()
}

#[test]
fn a_dead_canary_is_rolled_back_within_seconds() {
    let outcome = outcome(r#""canary": {"err": 1.0}"#, 1);
    assert!(
        matches!(
            outcome.end,
            End::RolledBack {
                cause: v1::Cause::Guardrail,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(outcome.at_s <= 5.0, "{outcome:?}");
    assert_eq!(outcome.canary.x, outcome.canary.n);
}

#[test]
fn an_equal_canary_is_promoted_and_not_before_the_plan_allows() {
    let outcome = outcome(r#""rate": 1000"#, 2);
    assert_eq!(outcome.end, End::Promoted);
    assert!(outcome.at_s >= 121.0, "{outcome:?}");
}

#[test]
fn wrong_labels_are_found_after_their_delay() {
    let outcome = outcome(
        r#""stable": {"acc": 0.9}, "canary": {"acc": 0.6}, "label_delay": 100, "label_fraction": 0.5"#,
        3,
    );
    let End::RolledBack { guardrails, .. } = &outcome.end else {
        panic!("{outcome:?}")
    };
    assert_eq!(guardrails, &[2]);
    assert!((100.0..140.0).contains(&outcome.at_s), "{outcome:?}");
    assert!(outcome.labels[0].n > 0 && outcome.labels[0].x <= outcome.labels[0].n);
}

#[test]
fn the_horizon_leaves_it_undecided() {
    let outcome = outcome(r#""horizon": 30"#, 4);
    assert_eq!((outcome.end, outcome.at_s), (End::Undecided, 30.0));
}

#[test]
fn a_replica_is_a_function_of_its_seed() {
    let fields = r#""canary": {"err": 0.02}, "ou_arm": {"sd": 0.5}"#;
    assert_eq!(outcome(fields, 5), outcome(fields, 5));
    assert_ne!(outcome(fields, 5), outcome(fields, 6));
}

#[test]
fn low_traffic_has_longer_slices() {
    assert_eq!(
        (
            slice_seconds(1000.0),
            slice_seconds(20.0),
            slice_seconds(3.0)
        ),
        (1.0, 1.0, 7.0)
    );
}
