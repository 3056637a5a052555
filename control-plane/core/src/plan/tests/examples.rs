use super::super::{complete, evidence_settings, parse, to_yaml};

const EXAMPLE: &str = include_str!("../../../../../docs/examples/plan.yaml");
const AUTO: &str = include_str!("../../../../../docs/examples/auto.yaml");
const REWRITE: &str = include_str!("../../../../../docs/examples/rewrite.yaml");
const SEEDS: &str = include_str!("../../../../../tests/plans/seeds.yaml");

#[test]
fn the_examples_are_complete_plans() {
    for text in [EXAMPLE, AUTO, REWRITE, SEEDS] {
        let plan = parse(text).unwrap_or_else(|violations| panic!("{violations:#?}"));
        let plan = complete(plan, None).unwrap_or_else(|violations| panic!("{violations:#?}"));
        assert_eq!(
            parse(&to_yaml(&plan)),
            Ok(plan.clone()),
            "{}",
            to_yaml(&plan)
        );
        serinus_evidence::Engine::new(evidence_settings(&plan)).unwrap();
    }
}

#[test]
fn the_same_plan_in_json() {
    let json = r#"{"model": "m",
	"stable": {"name": "v1", "endpoints": ["http://h:1"]},
	"canary": {"name": "v2", "endpoints": ["http://h:2"]},
	"steps": [{"split": {"v2": 0.1, "v1": 0.9}, "min_duration": "10s"}]}"#;
    let yaml = super::with("steps: [{split: {v2: 0.1, v1: 0.9}, min_duration: 10s}]");
    assert_eq!(parse(json).unwrap(), parse(&yaml).unwrap());
}
