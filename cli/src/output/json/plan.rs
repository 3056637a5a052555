//! Plans, in the form that is read.

use serde_json::Value;
use serinus_core::plan::to_yaml;
use serinus_proto::v1;

/// The plan as `rollout apply` and `plan check` read it, so that `jq .plan` of any rollout makes a plan file.
#[must_use]
pub fn plan(plan: &v1::Plan) -> Value {
    let yaml = to_yaml(plan);
    // What `to_yaml` writes is YAML; the text itself is the honest form should a reader ever disagree.
    serde_saphyr::from_str(&yaml).unwrap_or(Value::String(yaml))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;
    use serinus_core::plan::{complete, parse};

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
    fn an_incomplete_plan_is_shown_too() {
        let example = fixture::rollout().plan.unwrap();
        assert_eq!(plan(&example)["model"], "recommender");
    }
}
