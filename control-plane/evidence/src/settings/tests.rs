use super::*;

fn guardrail(metric: Metric) -> Guardrail {
    Guardrail {
        metric,
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    }
}

fn errors(margin: f64) -> Guardrail {
    guardrail(Metric::ErrorRate { margin })
}

fn field_of(settings: &Settings) -> String {
    settings.check().expect_err("a mistake").field().to_owned()
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(Settings::new(vec![errors(0.01)]).check(), Ok(vec![1.0]));
}

#[test]
fn every_mistake_names_its_field() {
    let change = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings::new(vec![errors(0.01)]);
        change(&mut settings);
        field_of(&settings)
    };
    assert_eq!(change(&|s| s.gamma = 1.0), "gamma");
    assert_eq!(change(&|s| s.alpha = 0.0), "alpha");
    assert_eq!(change(&|s| s.beta = f64::NAN), "beta");
    assert_eq!(
        change(&|s| s.tolerances = vec![1.0, f64::INFINITY]),
        "tolerances[1]"
    );
    assert_eq!(change(&|s| s.tolerances = vec![1.0; 65]), "tolerances");
    assert_eq!(
        change(&|s| s.extra_errors_budget = Some(-1.0)),
        "extra_errors_budget"
    );
    assert_eq!(change(&|s| s.guardrails.clear()), "guardrails");
    assert_eq!(change(&|s| s.guardrails[0].required = false), "guardrails");
    let arm = Arm {
        requests: 1,
        errors: 2,
        latency: Vec::new(),
    };
    assert_eq!(change(&|s| s.baseline = Some(arm.clone())), "baseline");
}

#[test]
fn a_history_is_short_and_can_be_true() {
    let with = |history| Settings {
        stable_history: history,
        ..Settings::new(vec![errors(0.01)])
    };
    let calm = Counts { x: 1, n: 100 };
    assert!(with(vec![calm; 1200]).check().is_ok());
    assert_eq!(field_of(&with(vec![calm; 1201])), "stable_history");
    let corrupt = Counts { x: 2, n: 1 };
    assert_eq!(field_of(&with(vec![calm, corrupt])), "stable_history[1]");
}

#[test]
fn every_metric_is_checked() {
    let field = |metric| field_of(&Settings::new(vec![errors(0.01), guardrail(metric)]));
    assert_eq!(
        field(Metric::ErrorRate { margin: f64::NAN }),
        "guardrails[1].margin"
    );
    let labelled = Metric::Labelled {
        name: "accuracy".into(),
        higher_is_better: true,
        margin: 5.0,
    };
    assert_eq!(field(labelled), "guardrails[1].margin");
    let latency = |quantiles: &[f64], ratio, slack_ms| Metric::Latency {
        quantiles: quantiles.to_vec(),
        ratio,
        slack_ms,
    };
    assert_eq!(field(latency(&[], 1.1, 0.0)), "guardrails[1].quantiles");
    assert_eq!(field(latency(&[1.0], 1.1, 0.0)), "guardrails[1].quantiles");
    assert_eq!(field(latency(&[0.5], 0.9, 0.0)), "guardrails[1].ratio");
    assert_eq!(field(latency(&[0.5], 1.1, -1.0)), "guardrails[1].slack_ms");
    let limit = |quantile, limit_ms| Metric::LatencyLimit { quantile, limit_ms };
    assert_eq!(field(limit(0.0, 250.0)), "guardrails[1].quantile");
    assert_eq!(field(limit(0.99, 0.0)), "guardrails[1].limit_ms");
}

#[test]
fn messages_say_what_would_be_right() {
    let message = Settings::new(vec![errors(5.0)])
        .check()
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "guardrails[0].margin must be between 0 and 0.99 (a fraction: 0.0025 is 0.25 percentage points), not 5"
    );
}
