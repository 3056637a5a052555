//! What people read.

use super::super::*;
use super::fixture::*;
use v1::guardrail::{Action, Metric};
use v1::{State, Verdict};

#[test]
fn waiting_says_what_is_missing_how_long_and_what_follows() {
    let mut world = World::new(plan());
    world.proceed_to(State::Running, 1).wait(2 * MINUTE);
    let mut facts = world.with_verdict(1, Verdict::NeedMore);
    facts.guardrails[1].missing = Some(8_960.0);
    facts.guardrails[1].missing_time = seconds(360);
    let decision = decision(&world.rollout, world.now_ms, &facts);
    assert_eq!(
        decision.sentence,
        "WAIT: accuracy needs about 9,000 more labels, about 6 min; then 50%"
    );
    assert_eq!(
        (decision.kind(), decision.step, decision.tolerance),
        (v1::DecisionKind::Continue, 1, 2.0)
    );
    assert_eq!(decision.epoch, 2);
}

#[test]
fn what_takes_longest_comes_first() {
    let mut world = World::new(plan());
    world.wait(30 * SECOND);
    let mut facts = world.healthy();
    for (index, time) in [(0, 3), (1, 400)] {
        let row = &mut facts.guardrails[index];
        row.verdict = Verdict::NeedMore.into();
        row.missing = Some(1_200.0);
        row.missing_time = seconds(time);
    }
    assert_eq!(
        world.sentence(&facts),
        "WAIT: accuracy needs about 1,200 more labels, about 7 min; \
         error rate needs about 1,200 more requests, about 3 s; the step lasts another 30 s; then 25%"
    );
}

#[test]
fn each_lack_has_its_words() {
    let world = World::new(plan());
    let says = |spoil: &dyn Fn(&mut Facts), words: &str| {
        let mut facts = world.healthy();
        spoil(&mut facts);
        let sentence = world.sentence(&facts);
        assert!(sentence.contains(words), "{sentence}");
    };
    says(
        &|f| f.fleet = FleetFacts::default(),
        "no sidecar is connected",
    );
    says(&|f| f.fleet.current = 1, "1 of 3 sidecars are on epoch 1");
    says(
        &|f| f.bad_cells = vec![START_MS / 1000 - 20],
        "breakers opened lately, another 40 s without",
    );
    says(
        &|f| {
            f.log_e_rollback = 2.0;
            f.guardrails[1].log_e_rollback = -3.0;
        },
        "error rate looks worse than tolerated",
    );
    says(
        &|f| f.canary_requests_in_step = 0,
        "0 of 1 canary requests in this step",
    );
    says(
        &|f| f.guardrails[1].verdict = Verdict::NoEvidence.into(),
        "accuracy has no labels of both variants",
    );
    says(&|f| f.guardrails.truncate(1), "guardrails[1] has no labels");
}

#[test]
fn a_rollback_shows_its_numbers() {
    let mut world = World::new(plan());
    let mut facts = world.with_verdict(1, Verdict::Harmful);
    let row = &mut facts.guardrails[1];
    (row.canary_value, row.stable_value) = (Some(0.493), Some(0.921));
    (row.difference, row.lower, row.upper) = (Some(-0.428), Some(-0.51), Some(-0.35));
    (row.limit, row.canary_count) = (0.01, 1_234);
    world.see(&facts);
    assert_eq!(
        world.rollout.reason,
        "ROLL BACK v2: accuracy 49.30% against 92.10%, -42.80 pp [-51.00 pp, -35.00 pp], \
         tolerated -1.00 pp, 1,234 canary labels"
    );
    assert_eq!(
        world.sentence(&facts),
        world.rollout.reason,
        "and goes on showing them"
    );
}

#[test]
fn latencies_are_factors_and_limits_are_milliseconds() {
    let mut plan = plan();
    let latency = v1::Latency {
        quantiles: vec![0.99],
        ratio: 1.1,
        slack: None,
    };
    plan.guardrails[0] = guardrail(Metric::Latency(latency), Action::Rollback);
    let limit = v1::LatencyLimit {
        quantile: 0.99,
        limit: seconds(1),
    };
    plan.guardrails[1] = guardrail(Metric::LatencyLimit(limit), Action::Rollback);
    let world = World::new(plan);
    let mut facts = world.healthy();
    for row in &mut facts.guardrails {
        row.verdict = Verdict::Harmful.into();
        (row.canary_value, row.stable_value, row.difference) =
            (Some(88.0), Some(41.0), Some(2.146));
        row.limit = 1.1;
    }
    facts.guardrails[1].limit = 250.0;
    let sentence = world.sentence(&facts);
    assert!(
        sentence.contains("latency p99 88 ms against 41 ms, x2.15, tolerated x1.10"),
        "{sentence}"
    );
    assert!(sentence.contains("88 ms, limit 250 ms"), "{sentence}");
}

#[test]
fn holds_say_what_clears_them() {
    let mut world = World::new(plan());
    let facts = Facts {
        expected_canary_since_last: 41.3,
        ..world.healthy()
    };
    world.see(&facts);
    assert_eq!(
        world.rollout.reason,
        "HOLD: no request has come to v2 where about 42 should have; it goes on when requests come"
    );
    let mut paused = World::new(plan());
    paused.order(CommandKind::Pause).unwrap();
    assert_eq!(
        paused.sentence(&paused.healthy()),
        "HOLD: paused by an operator (because); resume goes on"
    );
}

#[test]
fn moving_on_says_why() {
    let mut world = World::new(plan());
    world.wait(MINUTE);
    let mut sentences = vec![world.sentence(&world.healthy())];
    for (state, step) in [(State::Running, 3), (State::Baking, 3)] {
        world.proceed_to(state, step);
        world.wait(10 * MINUTE);
        sentences.push(world.sentence(&world.healthy()));
    }
    let safe = |kappa| {
        format!(
            "every required guardrail is SAFE at tolerance {kappa}, 10,000 canary requests in this step"
        )
    };
    assert_eq!(
        sentences,
        [
            format!("ADVANCE to 25%: {}", safe("10")),
            format!("ADVANCE to the bake of 10 min: {}", safe("1")),
            format!("PROMOTE v2: the bake is over and {}", safe("1")),
        ]
    );
}

#[test]
fn the_end_has_words_too() {
    let mut back = World::new(plan());
    back.order(CommandKind::Rollback).unwrap();
    assert_eq!(
        back.sentence(&Facts::default()),
        "ROLL BACK v2: an operator asked for it (because)"
    );
    let mut done = World::new(plan());
    done.order(CommandKind::Promote { all: true }).unwrap();
    let decision = decision(&done.rollout, done.now_ms, &Facts::default());
    assert_eq!(
        (decision.kind(), decision.sentence.as_str()),
        (v1::DecisionKind::Promote, "PROMOTE v2: done")
    );
}

fn other_share(mismatch: bool) -> Option<v1::SampleRatio> {
    Some(v1::SampleRatio {
        mismatch,
        asked: 0.25,
        got: 0.31,
        ..v1::SampleRatio::default()
    })
}

#[test]
fn a_split_that_is_not_the_one_asked_is_told_once_and_stops_the_ramp() {
    let mut world = World::new(plan());
    world.proceed_to(State::Running, 1).wait(2 * MINUTE);
    let mut facts = world.healthy();
    facts.sample_ratio = other_share(false);
    assert!(world.sentence(&facts).starts_with("ADVANCE"));
    facts.sample_ratio = other_share(true);
    assert_eq!(
        world.sentence(&facts),
        "WAIT: the canary was asked 25.00% of the traffic and got 31.00%: the comparison is not trusted; then 50%"
    );
    assert!(!is_settled(&world.rollout, world.now_ms, &facts));
    assert_eq!(names(&world.see(&facts)), ["decision made"]);
    assert!(world.rollout.mismatched);
    assert!(is_settled(&world.rollout, world.now_ms, &facts));
    world.wait(SECOND);
    assert!(world.see(&facts).is_empty(), "told once");
    facts.guardrails[0].verdict = Verdict::Harmful.into();
    facts.harmful = Some(Harm {
        guardrails: vec![0],
        gross: false,
        flapping: false,
    });
    world.see(&facts);
    assert_eq!(
        world.rollout.state,
        State::RolledBack,
        "which it does not stop"
    );
}

#[test]
fn a_wait_that_says_nothing_else_new_tells_when_the_split_is_right_again() {
    let mut world = World::new(plan());
    let mut facts = world.with_verdict(1, Verdict::NeedMore);
    facts.sample_ratio = other_share(true);
    world.see(&facts);
    assert!(world.rollout.mismatched);
    facts.sample_ratio = other_share(false);
    assert_eq!(names(&world.see(&facts)), ["decision made"]);
    assert!(!world.rollout.mismatched);
    assert_eq!(world.replayed(), world.rollout);
}

#[test]
fn users_who_differ_are_named_where_it_is_they_who_make_it_long() {
    let world = World::new(plan());
    let mut facts = world.with_verdict(0, Verdict::NeedMore);
    facts.guardrails[0].phi = 3.0;
    facts.phi_users = 3.0;
    let sentence = world.sentence(&facts);
    assert!(
        sentence.contains("(users differ: their errors scatter 3 times"),
        "{sentence}"
    );
    facts.phi_users = 2.5;
    let sentence = world.sentence(&facts);
    assert!(
        sentence.contains("(noise: its counts scatter 3 times"),
        "{sentence}"
    );
}
