//! The plan that a scenario is rolled out by.

use crate::scenario::Scenario;
use serinus_core::plan;
use serinus_proto::v1;
use std::fmt::Write as _;

/// The plan of the reference policy with the scenario's margins: 60 s of warm-up at 2 %, then 10, 25 and 50 % at
/// tolerances 5, 2.5 and 1, at least 30 s each. The first step's 30 s are part of the warm-up, as in the reference.
///
/// # Errors
/// The mistakes in it, if margins of the scenario are none that a plan may have.
pub fn reference_plan(scenario: &Scenario) -> Result<v1::Plan, Vec<v1::Violation>> {
    plan::complete(plan::parse(&text(scenario))?, None)
}

/// No plan may ask for the proof that a canary is not worse by anything at all: a margin of 0 becomes this.
const SMALLEST_MARGIN: f64 = 1e-9;

fn provable(margin: f64) -> f64 {
    margin.max(SMALLEST_MARGIN)
}

fn text(scenario: &Scenario) -> String {
    let margins = &scenario.margins;
    let mut text = format!(
        "\
model: scenario
stable: {{name: stable, endpoints: [http://127.0.0.1:1]}}
canary: {{name: canary, endpoints: [http://127.0.0.1:2]}}
warmup: {{duration: 60s, share: 0.02}}
steps:
  - {{split: {{canary: 0.10, stable: 0.90}}, min_duration: 0s, tolerance: 5}}
  - {{split: {{canary: 0.25, stable: 0.75}}, min_duration: 30s, tolerance: 2.5}}
  - {{split: {{canary: 0.50, stable: 0.50}}, min_duration: 30s, tolerance: 1}}
  - {{split: {{canary: 1.0}}}}
guardrails:
  - {{metric: error_rate, margin: {}}}
  - {{metric: latency, quantiles: [0.5, 0.9, 0.99], ratio: {}, slack: 0s}}
",
        provable(margins.err),
        margins.lat_ratio.max(1.0 + SMALLEST_MARGIN),
    );
    for (name, margin) in scenario.labelled() {
        let margin = provable(margin);
        let metric = if name == "accuracy" {
            name.to_owned()
        } else {
            format!("outcome:{name}, direction: higher_is_better")
        };
        // Labels come when the world says; the window is not simulated.
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  - {{metric: {metric}, margin: {margin}, label_window: 10m}}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_kind_of_scenario_has_a_plan() {
        let text = r#"{"name": "n", "truth": "null", "stable": {"acc": 0.9, "conv": 0.1},
                       "margins": {"lat_ratio": 1.03, "conv": 0.001}}"#;
        let scenario = Scenario::parse(text, Path::new("n.json")).expect("valid");
        let plan = reference_plan(&scenario).expect("a plan");
        let settings = plan::evidence_settings(&plan);
        assert_eq!(settings.guardrails.len(), 4);
        assert!(
            [1.0, 2.5, 5.0]
                .iter()
                .all(|kappa| settings.tolerances.contains(kappa))
        );
        assert_eq!(plan.steps.len(), 4);
    }
}
