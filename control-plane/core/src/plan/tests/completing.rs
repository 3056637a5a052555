use super::super::{complete, parse, std_duration};
use super::{HEAD, completed, variant};
use serinus_proto::v1::guardrail::{Action, Metric};
use serinus_proto::v1::{Plan, Step};
use std::time::Duration;

#[test]
fn everything_has_a_default() {
    let plan = completed("");
    let shares: Vec<(f64, f64)> = plan
        .steps
        .iter()
        .map(|step| (step.split["v2"], step.split["v1"]))
        .collect();
    assert_eq!(shares, [(0.05, 0.95), (0.25, 0.75), (0.5, 0.5), (1.0, 0.0)]);
    assert_eq!(
        std_duration(plan.steps[0].min_duration.as_ref()),
        Duration::from_secs(30)
    );
    assert_eq!(plan.bucketing.as_ref().unwrap().key, "header:x-user-id");
    let bake = plan.bake.unwrap();
    assert_eq!(bake.holdback, Some(0.05));
    assert_eq!(
        std_duration(bake.duration.as_ref()),
        Duration::from_secs(300)
    );
    assert_eq!(
        std_duration(plan.max_duration.as_ref()),
        Duration::from_secs(86_400)
    );
    let [errors, latency] = plan.guardrails.as_slice() else {
        panic!("two guardrails by default")
    };
    assert!(matches!(&errors.metric, Some(Metric::ErrorRate(rate)) if rate.margin == 0.0025));
    assert!(
        matches!(&latency.metric, Some(Metric::Latency(l)) if l.ratio == 1.1 && l.quantiles == [0.5, 0.95, 0.99])
    );
    assert_eq!(errors.on_breach(), Action::Rollback);
    assert_eq!(errors.required, Some(true));
    assert_eq!(plan.confidence.unwrap().alpha, 0.05);
    assert_eq!(plan.failure.unwrap().breaker.unwrap().consecutive, 5);
    assert!(plan.warmup.is_none());
}

#[test]
fn one_bound_of_latency_is_the_whole_tolerance() {
    let bounds = |fields: &str| {
        let plan = completed(&format!("guardrails: [{{metric: latency, {fields}}}]"));
        match plan.guardrails[0].metric.clone() {
            Some(Metric::Latency(latency)) => (latency.ratio, std_duration(latency.slack.as_ref())),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(bounds("ratio: 2"), (2.0, Duration::ZERO));
    assert_eq!(bounds("slack: 20ms"), (1.0, Duration::from_millis(20)));
    assert_eq!(bounds("quantile: 0.9"), (1.1, Duration::from_millis(2)));
}

#[test]
fn the_models_stable_variant_is_used() {
    let text = "model: m\ncanary: {name: v2, endpoints: [http://h:2]}\nsteps: [{split: {v2: 0.1, v1: 0.9}}]";
    let plan = parse(text).unwrap();
    let violations = complete(plan.clone(), None).unwrap_err();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(violations[0].path, "stable");
    let done = complete(plan.clone(), Some(&variant("v1"))).unwrap();
    assert_eq!(done.stable, Some(variant("v1")));
    let violations = complete(plan, Some(&variant("v0"))).unwrap_err();
    assert_eq!(violations[0].path, "steps[0].split.v1");
}

#[test]
fn another_stable_variant_than_the_models_is_refused() {
    let plan = parse(HEAD).unwrap();
    assert!(complete(plan.clone(), Some(&variant("v1"))).is_ok());
    let violations = complete(plan, Some(&variant("v7"))).unwrap_err();
    assert_eq!(violations[0].path, "stable.name");
    assert!(violations[0].message.contains("set-stable"));
}

#[test]
fn stable_may_be_called_stable_in_splits() {
    let plan = completed("steps: [{split: {v2: 0.1, stable: 0.9}}]");
    assert_eq!(plan.steps[0].split["v1"], 0.9);
    assert!(!plan.steps[0].split.contains_key("stable"));
    let text = "model: m\ncanary: {name: v2, endpoints: [http://h:2]}\nsteps: [{split: {v2: 0.1, stable: 0.9}}]";
    let done = complete(parse(text).unwrap(), Some(&variant("v9"))).unwrap();
    assert_eq!(done.steps[0].split["v9"], 0.9);
}

#[test]
fn fractions_are_rounded_to_millionths() {
    let plan = completed("steps: [{split: {v2: 0.30000000000000004, v1: 0.7}}]");
    assert_eq!(plan.steps[0].split["v2"], 0.3);
}

#[test]
fn plans_that_never_were_text_are_checked_too() {
    let mut plan = parse(HEAD).unwrap();
    plan.steps = vec![Step {
        split: [("v2".into(), f64::NAN), ("v1".into(), 0.5)].into(),
        min_duration: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
        ..Step::default()
    }];
    plan.guardrails = vec![Default::default()];
    plan.guardrails[0].on_breach = 77;
    let violations = complete(plan, None).unwrap_err();
    let paths: Vec<&str> = violations
        .iter()
        .map(|violation| violation.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "steps[0].split.v2",
            "steps[0].min_duration",
            "guardrails[0].metric",
            "guardrails[0].on_breach"
        ]
    );
    assert!(complete(Plan::default(), None).unwrap_err().len() >= 3);
}

#[test]
fn a_notice_is_not_waited_for_unless_the_plan_says_so() {
    let required = |fields: &str| {
        let text = format!(
            "guardrails: [{{metric: error_rate, margin: 0.01}}, {{metric: latency, {fields}}}]"
        );
        completed(&text).guardrails[1].required
    };
    assert_eq!(required("on_breach: notify"), Some(false));
    assert_eq!(required("on_breach: notify, required: true"), Some(true));
    assert_eq!(required("on_breach: hold"), Some(true));
    let alone = "guardrails: [{metric: latency, on_breach: notify}]";
    let mistake = super::mistake(alone);
    assert!(
        mistake.starts_with("guardrails: none is required"),
        "{mistake}"
    );
}
