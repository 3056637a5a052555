//! What stops a rollout, and what lets it go on.

use super::super::*;
use super::fixture::*;
use v1::guardrail::Action;
use v1::{Cause, State, Verdict};

#[test]
fn a_paused_rollout_never_advances() {
    let mut world = World::new(plan());
    world.order_at(CommandKind::Pause, 0).unwrap();
    for _ in 0..100 {
        world.wait(MINUTE).see_healthy();
    }
    assert_eq!(
        (world.state(), world.percent()),
        ((State::Paused, Cause::Operator), 5.0)
    );
    assert_eq!(world.rollout.reason, "because");
    world.order(CommandKind::Resume).unwrap();
    assert_eq!(world.state(), (State::Running, Cause::Unspecified));
}

#[test]
fn silence_holds_it_and_traffic_lets_it_go_on() {
    let mut world = World::new(plan());
    let silent = Facts {
        expected_canary_since_last: 19.9,
        ..world.healthy()
    };
    world.see(&silent);
    assert_eq!(world.state().0, State::Running);
    let silent = Facts {
        expected_canary_since_last: 20.0,
        ..silent
    };
    world.wait(2 * MINUTE).see(&silent);
    assert_eq!(world.state(), (State::Held, Cause::NoTraffic));
    assert!(world.wait(MINUTE).see(&silent).is_empty());
    assert_eq!(names(&world.see_healthy()), ["resumed"]);
    assert_eq!(
        (world.state().0, world.rollout.step),
        (State::Running, 0),
        "one look, one transition"
    );
}

#[test]
fn a_canary_that_never_got_a_request_is_never_promoted() {
    for (then, end) in [
        (v1::Then::Hold, (State::Held, Cause::NoEvidence)),
        (v1::Then::Rollback, (State::RolledBack, Cause::NoEvidence)),
    ] {
        let mut plan = plan();
        plan.on_no_evidence = Some(v1::OnNoEvidence {
            after: seconds(1800),
            then: then.into(),
        });
        let mut world = World::new(plan);
        let mut facts = world.healthy();
        for row in &mut facts.guardrails {
            row.verdict = Verdict::NoEvidence.into();
        }
        facts.canary_requests_in_step = 0;
        facts.safe_at_full = false;
        facts.no_evidence_since_ms = Some(START_MS);
        for minute in 0..200 {
            assert_eq!(
                world.state().0 == State::Running,
                minute < 30,
                "minute {minute}"
            );
            world.wait(MINUTE).see(&facts);
            assert!(world.percent() <= 5.0);
        }
        assert_eq!(world.state(), end);
    }
}

#[test]
fn evidence_that_comes_back_ends_the_hold() {
    let mut world = World::new(plan());
    let mut facts = world.with_verdict(1, Verdict::NoEvidence);
    facts.no_evidence_since_ms = Some(START_MS);
    world.wait(30 * MINUTE).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::NoEvidence));
    world.see_healthy();
    assert_eq!(world.state().0, State::Running);
}

#[test]
fn a_resumption_gives_missing_evidence_its_time_again() {
    let mut world = World::new(plan());
    let mut facts = world.with_verdict(1, Verdict::NoEvidence);
    facts.no_evidence_since_ms = Some(START_MS);
    world.wait(30 * MINUTE).see(&facts);
    world.order(CommandKind::Resume).unwrap();
    world.wait(29 * MINUTE).see(&facts);
    assert_eq!(world.state().0, State::Running);
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::NoEvidence));
}

#[test]
fn a_refused_assignment_holds_until_it_is_taken() {
    let mut world = World::new(plan());
    let mut facts = world.healthy();
    facts.fleet.rejected = 1;
    facts.fleet.rejection = "unknown variant".to_owned();
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::Nacked));
    assert!(
        world
            .rollout
            .reason
            .contains("1 of 3 sidecars refused the assignment: unknown variant")
    );
    world.see_healthy();
    assert_eq!(world.state().0, State::Running);
}

#[test]
fn too_many_reports_that_cannot_be_true_hold_until_they_can() {
    let mut world = World::new(plan());
    let mut facts = world.healthy();
    facts.fleet.quarantined = 1;
    facts.fleet.quarantined_share = 0.25;
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::Reports));
    let reason = &world.rollout.reason;
    assert!(
        reason.contains("1 of 3 sidecars sent reports that cannot be true, about 25.00%"),
        "{reason}"
    );
    world.see_healthy();
    assert_eq!(world.state().0, State::Running);
}

#[test]
fn nothing_goes_on_while_a_later_instruction_is_about() {
    let mut world = World::new(plan());
    let mut facts = world.healthy();
    facts.fleet.fence_regressed = true;
    let step = world.rollout.step;
    world.wait(60 * MINUTE).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::FenceRegression));
    world.order(CommandKind::Resume).unwrap();
    world.see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::FenceRegression));
    assert_eq!(world.rollout.step, step);
    // What must stop stops all the same.
    facts.bad_cells = vec![1, 2, 3];
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Breaker));
}

#[test]
fn sidecars_that_went_back_by_themselves_wait_for_a_person() {
    let mut world = World::new(plan());
    let mut facts = world.healthy();
    facts.fleet.reverted = 1;
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::Reverted));
    assert!(
        world
            .rollout
            .reason
            .contains("1 of 3 sidecars were out of contact")
    );
    world.see_healthy();
    assert_eq!(world.state().0, State::Held, "contact alone is not enough");
    world.order(CommandKind::Resume).unwrap();
    world.see_healthy();
    assert_ne!(world.state().0, State::Held);
}

#[test]
fn a_canary_that_is_not_ready_is_named_where_its_traffic_is_missed() {
    let mut world = World::new(plan());
    let mut facts = world.healthy();
    facts.fleet.current = 0;
    facts.fleet.warming = 3;
    facts.fleet.not_ready = 3;
    facts.fleet.current_since_ms = None;
    world.wait(MINUTE).see(&facts);
    let sentence = decision(&world.rollout, world.now_ms, &facts).sentence;
    let expected = "0 of 3 sidecars are on epoch 1, the canary is not ready on 3 of them";
    assert!(sentence.contains(expected), "{sentence}");
    facts.expected_canary_since_last = 20.0;
    world.see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::NoTraffic));
    let reason = &world.rollout.reason;
    assert!(reason.contains("not ready on 3 of 3 sidecars"), "{reason}");
}

#[test]
fn a_verdict_that_hangs_on_one_sidecar_waits_and_names_it() {
    use crate::evidence::Doubts;
    use serinus_proto::stored::v1 as stored;
    let mut world = World::new(plan());
    let harmful = || Facts {
        harmful: Some(Harm {
            guardrails: vec![0],
            ..Harm::default()
        }),
        ..world.with_verdict(0, Verdict::Harmful)
    };
    let (first, second) = (harmful(), harmful());
    let mut doubts = Doubts::default();
    doubts.follow(&stored::Slice {
        doubted: "host-b".into(),
        ..stored::Slice::default()
    });
    let facts = doubts.apply(first, &world.rollout);
    world.see(&facts);
    assert_eq!(world.state().0, State::Running);
    let sentence = decision(&world.rollout, world.now_ms, &facts).sentence;
    assert!(
        sentence.contains("host-b holds more than half"),
        "{sentence}"
    );
    doubts.follow(&stored::Slice::default());
    let facts = doubts.apply(second, &world.rollout);
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Guardrail));
}

#[test]
fn a_guardrail_that_holds_waits_for_a_person_once() {
    let mut plan = plan();
    plan.guardrails[1] = v1::Guardrail {
        required: Some(false),
        ..accuracy(Action::Hold)
    };
    let mut world = World::new(plan);
    let harmful = world.with_verdict(1, Verdict::Harmful);
    world.see(&harmful);
    assert_eq!(world.state(), (State::Held, Cause::Guardrail));
    world.see_healthy();
    assert_eq!(world.state().0, State::Held, "it does not clear by itself");
    world.see(&harmful);
    world.order(CommandKind::Resume).unwrap();
    world.see(&harmful);
    assert_eq!(world.state().0, State::Running, "somebody has seen it");
    world.see_healthy();
    world.see(&harmful);
    assert_eq!(
        world.state(),
        (State::Held, Cause::Guardrail),
        "this one is new"
    );
}

#[test]
fn what_a_hold_is_for_is_told_as_long_as_it_lasts() {
    let mut plan = plan();
    plan.guardrails[1] = accuracy(Action::Hold);
    let mut world = World::new(plan);
    let harmful = world.with_verdict(1, Verdict::Harmful);
    world.see(&harmful);
    let told = world.sentence(&harmful);
    assert!(told.starts_with("HOLD: accuracy"), "{told}");
    let faded = world.with_verdict(1, Verdict::NeedMore);
    world.see(&faded);
    assert_eq!(world.sentence(&faded), told);
}

#[test]
fn a_lasting_cause_takes_the_place_of_a_passing_one() {
    let mut plan = plan();
    plan.guardrails[1] = accuracy(Action::Hold);
    let mut world = World::new(plan);
    let silent = Facts {
        expected_canary_since_last: 50.0,
        ..world.healthy()
    };
    world.see(&silent);
    assert_eq!(world.state().1, Cause::NoTraffic);
    let both = Facts {
        expected_canary_since_last: 50.0,
        ..world.with_verdict(1, Verdict::Harmful)
    };
    world.see(&both);
    assert_eq!(world.state().1, Cause::Guardrail);
}

#[test]
fn users_are_exposed_up_to_the_cap_until_it_is_safe_at_full_tolerance() {
    let mut plan = plan();
    plan.budget = Some(v1::Budget {
        extra_errors: 0,
        exposed_keys: 1000,
    });
    let mut world = World::new(plan);
    let mut facts = Facts {
        exposed_keys: 1000,
        safe_at_full: false,
        ..world.healthy()
    };
    world.see(&facts);
    assert_eq!(
        (world.state(), world.percent()),
        ((State::Held, Cause::Budget), 5.0)
    );
    facts.safe_at_full = true;
    world.see(&facts);
    assert_eq!(world.state().0, State::Running);
    facts.safe_at_full = false;
    world.see(&facts);
    assert_eq!(
        world.state().0,
        State::Running,
        "once SAFE, it no longer applies"
    );
}

#[test]
fn once_safe_the_cap_is_gone_before_it_was_reached_too() {
    let mut plan = plan();
    plan.budget = Some(v1::Budget {
        extra_errors: 0,
        exposed_keys: 1000,
    });
    let mut world = World::new(plan);
    let mut facts = Facts {
        exposed_keys: 10,
        ..world.healthy()
    };
    assert!(names(&world.see(&facts)).contains(&"cap lifted"));
    facts.exposed_keys = 5000;
    facts.safe_at_full = false;
    world.see(&facts);
    assert_eq!(
        world.state().0,
        State::Running,
        "evidence that wavers later takes it not back"
    );

    // A rollout that was begun under earlier rules is judged by them, as when its decisions are made again.
    world.rollout.rules = 0;
    world.rollout.cap_lifted = false;
    world.see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::Budget));
}

#[test]
fn a_rollout_that_takes_too_long_is_held_and_may_be_given_as_long_again() {
    let mut world = World::new(plan());
    let day = 24 * 60 * MINUTE;
    let facts = world.with_verdict(0, Verdict::NeedMore);
    world.wait(day - SECOND).see(&facts);
    assert_eq!(world.state().0, State::Running);
    world.wait(SECOND).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::MaxDuration));
    world.order(CommandKind::Resume).unwrap();
    world.wait(day - SECOND).see(&facts);
    assert_eq!(world.state().0, State::Running);
    world.wait(SECOND).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::MaxDuration));
}

#[test]
fn an_interrupted_bake_begins_again() {
    let mut world = World::new(plan());
    world.proceed_to(State::Baking, 3);
    world.order(CommandKind::Pause).unwrap();
    world.wait(60 * MINUTE).see_healthy();
    assert_eq!(world.state().0, State::Paused);
    let events = world.order(CommandKind::Resume).unwrap();
    assert_eq!(names(&events), ["resumed", "bake started"]);
    assert_eq!(
        world.rollout.bake_until_ms,
        Some(world.now_ms + 10 * MINUTE)
    );
    world.see_healthy();
    assert_eq!(world.state().0, State::Baking);
}

#[test]
fn a_bake_without_traffic_is_no_watch() {
    let mut world = World::new(plan());
    world.proceed_to(State::Baking, 3);
    let silent = Facts {
        expected_canary_since_last: 50.0,
        ..world.healthy()
    };
    world.wait(MINUTE).see(&silent);
    assert_eq!(world.state(), (State::Held, Cause::NoTraffic));
    let events = world.wait(20 * MINUTE).see_healthy();
    assert_eq!(names(&events), ["resumed", "bake started"]);
    assert_eq!(
        world.rollout.bake_until_ms,
        Some(world.now_ms + 10 * MINUTE)
    );
}
