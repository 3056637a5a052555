use super::super::{
    asked_plan, choose_ramp, complete, parse, ramp_outlook, std_duration, to_yaml, view,
};
use super::{completed, mistake, mistakes, with};
use proptest::prelude::*;
use serinus_proto::v1::{Plan, Ramp, RampChoice};
use std::time::Duration;

fn shares(plan: &Plan) -> Vec<f64> {
    plan.steps.iter().map(|step| step.split["v2"]).collect()
}

fn chosen(lines: &str, rate: Option<f64>) -> Plan {
    choose_ramp(completed(lines), rate)
}

#[test]
fn the_first_share_follows_from_the_traffic() {
    let first = |lines: &str, rate| shares(&chosen(lines, rate))[0];
    // 30 victims in four slices: of a second, or of as long as 20 requests take.
    for (rate, share) in [
        (0.01, 0.1),
        (5.0, 0.1),
        (60.0, 0.1),
        (100.0, 0.075),
        (400.0, 0.018),
        (1_000.0, 0.0075),
        (7_000.0, 0.001),
        (1e9, 0.0001),
    ] {
        assert_eq!(first("ramp: auto", Some(rate)), share, "{rate}");
    }
    assert_eq!(first("ramp: {victims: 300}", Some(1_000.0)), 0.075);
    assert_eq!(first("ramp: {max_share: 0.05}", Some(5.0)), 0.05);
}

#[test]
fn without_known_traffic_it_is_cautious() {
    for rate in [None, Some(f64::NAN), Some(0.0), Some(f64::INFINITY)] {
        let plan = chosen("ramp: auto", rate);
        assert_eq!(shares(&plan), [0.01, 0.1, 0.25, 0.5, 1.0]);
        assert!(plan.ramp.unwrap().choice.unwrap().assumed);
    }
    assert_eq!(shares(&chosen("ramp: {victims: 3000}", None))[0], 0.1);
}

#[test]
fn steps_follow_the_rule_of_tolerances() {
    let plan = chosen(
        "ramp: {approval: {timeout: 1h, then: rollback}}\nwarmup: {duration: 10s}",
        Some(1_000.0),
    );
    assert_eq!(shares(&plan), [0.0075, 0.1, 0.25, 0.5, 1.0]);
    let tolerances: Vec<f64> = (0..5).map(|step| view::kappa(&plan, step)).collect();
    assert_eq!(tolerances, [10.0, 5.0, 2.0, 1.0, 1.0]);
    let approvals = plan.steps.iter().map(|step| step.approval.is_some());
    assert_eq!(
        approvals.collect::<Vec<_>>(),
        [false, false, false, true, false]
    );
    // Nobody meets the canary in the warm-up who would not in the first step.
    let (_, share) = view::warmup(&plan).unwrap();
    assert_eq!(share.fraction(), 0.0075);
    let choice = plan.ramp.unwrap().choice.unwrap();
    let expected = RampChoice {
        requests_per_second: 1_000.0,
        assumed: false,
        reaction_seconds: 4.0,
        first_share: 0.0075,
    };
    assert_eq!(choice, expected);
}

#[test]
fn a_step_lasts_until_slow_answers_are_in() {
    let least = |lines: &str| {
        let plan = chosen(lines, None);
        std_duration(plan.steps[0].min_duration.as_ref())
    };
    assert_eq!(least("ramp: auto"), Duration::from_secs(7));
    let slow = "ramp: auto\nfailure: {timeout: 60s, attempt_timeout: 30s}";
    assert_eq!(least(slow), Duration::from_secs(32));
    assert_eq!(least("ramp: {min_duration: 1m}"), Duration::from_secs(60));
}

#[test]
fn what_was_chosen_is_no_part_of_what_was_asked_for() {
    let asked = completed("ramp: {victims: 50, max_share: 0.5}\nwarmup: {duration: 10s}");
    assert!(asked.steps.is_empty());
    let here = choose_ramp(asked.clone(), Some(400.0));
    assert_eq!(
        choose_ramp(here.clone(), Some(9.0)),
        here,
        "it is chosen once"
    );
    assert_eq!(asked_plan(here.clone()), asked);
    assert_eq!(complete(here.clone(), None), Ok(asked.clone()));
    let text = to_yaml(&here);
    assert_eq!(parse(&text), Ok(asked), "{text}");
    assert!(
        text.contains("#   - {split: {v1: 0.969, v2: 0.031}"),
        "{text}"
    );
    let steps = completed("steps: [{split: {v2: 0.1, v1: 0.9}}]");
    assert_eq!(choose_ramp(steps.clone(), Some(400.0)), steps);
    assert_eq!(asked_plan(steps.clone()), steps);
}

#[test]
fn buckets_by_division_come_in_coarse_pieces() {
    let of = |modulus: u32, rest: &str| {
        let lines = format!("ramp: auto\nbucketing: {{hash: modulo, modulus: {modulus}}}\n{rest}");
        shares(&chosen(&lines, Some(1_000.0)))
    };
    assert_eq!(
        of(1_000, "bake: {holdback: 0}"),
        [0.007, 0.1, 0.25, 0.5, 1.0]
    );
    assert_eq!(of(10, "bake: {holdback: 0}"), [0.1, 0.2, 0.5, 1.0]);
    assert_eq!(of(5, "bake: {holdback: 0.2}"), [0.2, 0.4, 1.0]);
    let coarse = "ramp: {max_share: 0.25}\nbucketing: {hash: modulo, modulus: 10}";
    assert!(mistake(coarse).starts_with("ramp.max_share: 0.25 x 10 is not whole"));
    let holdback = "ramp: auto\nbucketing: {hash: modulo, modulus: 10}";
    assert!(mistake(holdback).starts_with("bake.holdback: 0.05 x 10 is not whole"));
}

#[test]
fn mistakes_are_named() {
    assert_eq!(
        mistake("ramp: auto\nsteps: [{split: {v2: 0.1, v1: 0.9}}]"),
        "ramp: given beside steps; keep one of the two: an automatic ramp chooses its own steps"
    );
    for (lines, expected) in [
        (
            "ramp: fast",
            "ramp: \"fast\" is unknown; write auto, or {victims: 30",
        ),
        ("ramp: [0.1]", "ramp: is a list; write auto, or"),
        (
            "ramp: {victims: 2}",
            "ramp.victims: 2 is below 5; write such as 30",
        ),
        (
            "ramp: {victims: 2.5}",
            "ramp.victims: 2.5 is no whole number",
        ),
        (
            "ramp: {max_share: 50}",
            "ramp.max_share: 50 is above 1; shares are fractions: write 0.5",
        ),
        (
            "ramp: {max_share: 0}",
            "ramp.max_share: is 0; write a fraction above 0",
        ),
        (
            "ramp: {step: 0.1}",
            "ramp.step: unknown field step; known here: victims",
        ),
        (
            "ramp: {min_duration: 5}",
            "ramp.min_duration: 5 has no unit",
        ),
        (
            "ramp: {min_duration: 9h}",
            "max_duration: 1d is shorter than",
        ),
        (
            "ramp: {max_share: 0.1, approval: {}}",
            "ramp.approval: a ramp up to 0.1 may have no step before its last",
        ),
    ] {
        let message = mistake(lines);
        assert!(message.starts_with(expected), "{lines}: {message}");
    }
    let mut plan = parse(&with("ramp: auto")).unwrap();
    plan.ramp = Some(Ramp {
        victims: 1,
        max_share: f64::NAN,
        ..Ramp::default()
    });
    let paths: Vec<String> = complete(plan, None)
        .unwrap_err()
        .into_iter()
        .map(|v| v.path)
        .collect();
    assert_eq!(paths, ["ramp.victims", "ramp.max_share"]);
    assert!(mistakes(&with("ramp: auto\nguardrails: [{metric: x}]")).len() == 1);
}

#[test]
fn the_outlook_says_what_it_would_do() {
    let plan = parse(&with("ramp: {approval: {timeout: 1h}}")).unwrap();
    let lines = ramp_outlook(&plan).unwrap().join("\n");
    for part in [
        "10% at 20 requests/s, 3.7% at 200 requests/s, 0.37% at 2000 requests/s, 0.037% at 20000 requests/s",
        "1% where the traffic is not known",
        "then 10% (tolerance 5), 25% (tolerance 2), 50% (tolerance 1), 100%;",
        "not before 7s",
        "somebody must approve",
    ] {
        assert!(lines.contains(part), "{part}\n{lines}");
    }
    assert_eq!(ramp_outlook(&parse(&with("")).unwrap()), None);
}

proptest! {
    /// Whatever is chosen is a plan that somebody could have written by hand, and says no more than that.
    #[test]
    fn whatever_is_chosen_keeps_the_rules(
        victims in 5u64..100_000,
        max_ppm in 1_000u32..=1_000_000,
        rate in prop::option::of(1e-3..1e6f64),
        warmup in any::<bool>(),
    ) {
        let warmup = if warmup { "warmup: {duration: 10s, share: 0.1}\n" } else { "" };
        let max_share = f64::from(max_ppm) / 1e6;
        let plan = chosen(&format!("{warmup}ramp: {{victims: {victims}, max_share: {max_share}}}"), rate);
        let first = view::asked(&plan, 0).fraction();
        prop_assert!(first <= 0.1 && first >= 0.0001f64.min(max_share));
        let choice = plan.ramp.as_ref().unwrap().choice.unwrap();
        let expected = choice.requests_per_second * choice.reaction_seconds * first;
        prop_assert!(first <= 0.0001 || expected <= victims as f64 * (1.0 + 1e-9));
        prop_assert_eq!(view::asked(&plan, plan.steps.len() - 1).fraction(), max_share);
        prop_assert!(serinus_evidence::Engine::new(super::super::evidence_settings(&plan)).is_ok());
        let mut by_hand = plan.clone();
        by_hand.ramp = None;
        if let Some(warmup) = &mut by_hand.warmup {
            warmup.share = view::warmup(&plan).unwrap().1.fraction();
        }
        prop_assert_eq!(complete(by_hand.clone(), None), Ok(by_hand));
    }
}
