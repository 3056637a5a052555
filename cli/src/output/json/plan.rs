//! Plans, in the form that is read.

use serde_json::{Value, json};
use serinus_core::plan::{to_yaml, view};
use serinus_proto::v1;

/// The plan as `rollout apply` and `plan check` read it, so that `jq .plan` of any rollout makes a plan file.
#[must_use]
pub fn plan(plan: &v1::Plan) -> Value {
    let yaml = to_yaml(plan);
    // What `to_yaml` writes is YAML; the text itself is the honest form should a reader ever disagree.
    serde_saphyr::from_str(&yaml).unwrap_or(Value::String(yaml))
}

/// What an automatic ramp has chosen; it is no part of the plan that was asked for.
#[must_use]
pub(crate) fn ramp(plan: &v1::Plan) -> Option<Value> {
    let choice = plan.ramp.as_ref()?.choice.as_ref()?;
    let steps = plan.steps.iter().enumerate();
    let step = |(index, step): (usize, &v1::Step)| json!({ "split": step.split, "tolerance": view::kappa(plan, index) });
    Some(json!({
        "first_share": choice.first_share,
        "requests_per_second": choice.requests_per_second,
        "assumed": choice.assumed,
        "reaction_seconds": choice.reaction_seconds,
        "steps": steps.map(step).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;
    use serinus_core::plan::{choose_ramp, complete, parse};

    #[test]
    fn the_json_of_a_plan_is_a_plan() {
        let text = "{model: m, stable: {name: v1, endpoints: [\"http://127.0.0.1:1\"]}, \
                    canary: {name: v2, endpoints: [\"http://127.0.0.1:2\"]}}";
        let whole = complete(parse(text).unwrap(), None).unwrap();
        let json = plan(&whole);
        assert_eq!(json["model"], "m");
        assert!(json["steps"].is_array(), "{json}");
        assert_eq!(
            complete(parse(&json.to_string()).unwrap(), None).unwrap(),
            whole
        );
    }

    #[test]
    fn what_a_ramp_chose_stands_beside_the_plan_that_was_asked_for() {
        let text = "{model: m, ramp: auto, stable: {name: v1, endpoints: [\"http://127.0.0.1:1\"]}, \
                    canary: {name: v2, endpoints: [\"http://127.0.0.1:2\"]}}";
        let asked = complete(parse(text).unwrap(), None).unwrap();
        let chosen = choose_ramp(asked.clone(), Some(1000.0));
        let json = plan(&chosen);
        assert_eq!(
            complete(parse(&json.to_string()).unwrap(), None).unwrap(),
            asked
        );
        let ramp = ramp(&chosen).unwrap();
        assert_eq!(ramp["first_share"], 0.0075);
        assert_eq!(ramp["steps"][1]["tolerance"], 5.0);
        assert_eq!(super::ramp(&asked), None);
    }

    #[test]
    fn an_incomplete_plan_is_shown_too() {
        let example = fixture::rollout().plan.unwrap();
        assert_eq!(plan(&example)["model"], "recommender");
    }
}
