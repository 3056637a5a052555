//! What a gate is asked.

use crate::protojson;
use serde_json::{Value, json};
use serinus_proto::v1;

/// `{"type": "gate", "gate": ..., "text": ..., "next": ..., "data": ROLLOUT}`: what would follow, and everything that is known,
/// with the evidence and the fence.
pub(super) fn of(gate: &str, rollout: &v1::Rollout) -> Value {
    let next = next(rollout);
    let from = step(rollout);
    let decision = rollout.decision.as_ref();
    let sentence = decision.map_or("", |decision| &decision.sentence);
    let then = next["kind"].as_str().unwrap_or_default();
    json!({
        "type": "gate",
        "gate": gate,
        "text": format!("{}: {from} is done, may the {then} begin? {sentence}", rollout.model),
        "next": next,
        "data": protojson::value(&protojson::dynamic("Rollout", rollout)),
    })
}

fn step(rollout: &v1::Rollout) -> String {
    if rollout.state() == v1::State::Baking {
        return "the bake".to_owned();
    }
    let steps = rollout.plan.as_ref().map_or(0, |plan| plan.steps.len());
    format!("step {} of {steps}", rollout.step + 1)
}

/// What a yes leads to: the next step and its split, the bake, or the promotion.
fn next(rollout: &v1::Rollout) -> Value {
    if rollout.state() == v1::State::Baking {
        return json!({ "kind": "promotion" });
    }
    let steps = rollout.plan.iter().flat_map(|plan| &plan.steps);
    let after = steps.enumerate().nth(rollout.step as usize + 1);
    match after {
        Some((index, step)) => json!({ "kind": "step", "step": index, "split": step.split }),
        None => json!({ "kind": "bake" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_what_would_follow_and_what_is_known() {
        let plan = "model: m\nstable: {name: v1, endpoints: [http://a:1]}\ncanary: {name: v2, endpoints: [http://a:2]}";
        let plan = serinus_core::plan::parse(plan).unwrap();
        let plan = serinus_core::plan::complete(plan, None).unwrap();
        let mut rollout = v1::Rollout {
            id: "r".into(),
            model: "m".into(),
            plan: Some(plan),
            fence: Some(v1::Fence {
                generation: 1,
                term: 2,
                revision: 3,
            }),
            ..v1::Rollout::default()
        };
        rollout.set_state(v1::State::Running);
        let question = of("board", &rollout);
        assert_eq!(question["next"]["split"]["v2"], 0.25);
        assert_eq!(question["data"]["fence"]["term"], "2");
        assert_eq!(
            question["text"],
            "m: step 1 of 4 is done, may the step begin? "
        );
        rollout.step = 3;
        assert_eq!(of("board", &rollout)["next"]["kind"], "bake");
        rollout.set_state(v1::State::Baking);
        assert_eq!(of("board", &rollout)["next"]["kind"], "promotion");
    }
}
