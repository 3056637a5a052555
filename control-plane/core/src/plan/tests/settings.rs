use super::super::evidence_settings;
use super::completed;
use serinus_evidence::{Action, Engine, Metric};

#[test]
fn the_engine_is_asked_what_the_plan_says() {
    let plan = completed(
        "guardrails:
  - {metric: error_rate, margin: 0.0025}
  - {metric: latency, ratio: 2, slack: 20ms, on_breach: hold}
  - {metric: latency, quantile: 0.99, limit: 250ms}
  - {metric: accuracy, margin: 0.01, weight: 0.3}
  - {metric: outcome:bounce, direction: lower_is_better, margin: 0.005, required: false}
budget: {extra_errors: 7}
confidence: {alpha: 0.01, beta: 0.1}
steps: [{split: {v2: 0.1, v1: 0.9}}, {split: {v2: 0.25, v1: 0.75}, tolerance: 3}, {split: {v2: 1.0}}]",
    );
    let settings = evidence_settings(&plan);
    assert_eq!(settings.alpha, 0.01);
    assert_eq!(settings.beta, 0.1);
    assert_eq!(settings.extra_errors_budget, Some(7.0));
    assert_eq!(settings.tolerances, [1.0, 3.0, 5.0]);
    let [_, latency, limit, accuracy, bounce] = settings.guardrails.as_slice() else {
        panic!("five guardrails")
    };
    assert_eq!(
        latency.metric,
        Metric::Latency {
            quantiles: vec![0.5, 0.95, 0.99],
            ratio: 2.0,
            slack_ms: 20.0
        }
    );
    assert_eq!(latency.on_breach, Action::Hold);
    assert_eq!(
        limit.metric,
        Metric::LatencyLimit {
            quantile: 0.99,
            limit_ms: 250.0
        }
    );
    assert_eq!((accuracy.weight, accuracy.required), (Some(0.3), true));
    assert_eq!(
        bounce.metric,
        Metric::Labelled {
            name: "bounce".into(),
            higher_is_better: false,
            margin: 0.005
        }
    );
    assert_eq!((bounce.weight, bounce.required), (None, false));
    Engine::new(settings).unwrap();
}
