//! What ends a rollout at once.

use super::super::*;
use super::fixture::*;
use v1::{Cause, State, Verdict};

fn second(world: &World) -> u64 {
    world.now_ms / 1000
}

#[test]
fn three_bad_cells_within_a_minute_are_a_dead_canary() {
    let mut world = World::new(plan());
    world.wait(10 * MINUTE);
    let now_s = second(&world);
    let mut facts = world.healthy();
    facts.bad_cells = vec![now_s - 59, now_s - 1];
    world.see(&facts);
    assert_eq!(world.state().0, State::Running, "two are not enough");
    facts.bad_cells = vec![now_s - 59, now_s - 1, now_s - 1];
    world.see(&facts);
    assert_eq!(world.state().0, State::Running, "the same one twice is one");
    facts.bad_cells.push(now_s);
    facts.breakers = Some(v1::BreakerEvidence {
        bad_cells: facts.bad_cells.clone(),
        sidecars_open: 3,
        sidecars_with_canary: 3,
        stable_error_rate: 0.004,
        ..v1::BreakerEvidence::default()
    });
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Breaker));
    let Some(v1::event::Kind::RolledBack(back)) = &world.log.last().unwrap().kind else {
        panic!()
    };
    assert_eq!(
        back.decision.as_ref().unwrap().breakers,
        facts.breakers,
        "with the counts"
    );
    assert_eq!(back.variants, ["v2"]);
}

#[test]
fn nobody_is_moved_to_the_canary_within_a_minute_of_a_bad_cell() {
    let mut world = World::new(plan());
    world.wait(10 * MINUTE);
    let mut facts = world.healthy();
    facts.bad_cells = vec![second(&world)];
    world.wait(59 * SECOND).see(&facts);
    assert_eq!(world.rollout.step, 0);
    world.wait(SECOND).see(&facts);
    assert_eq!(world.rollout.step, 1);
}

#[test]
fn requests_of_which_none_finishes_are_a_failure() {
    let mut world = World::new(plan());
    let facts = Facts {
        none_finished: true,
        ..world.healthy()
    };
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::NoneFinished));
}

#[test]
fn a_spent_budget_ends_it() {
    let mut world = World::new(plan());
    let facts = Facts {
        budget_spent: true,
        extra_errors_lower: 50.4,
        ..world.healthy()
    };
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Budget));
    assert!(
        world.rollout.reason.contains("at least 50.4 extra errors"),
        "{}",
        world.rollout.reason
    );
}

#[test]
fn harm_that_no_single_guardrail_proves_ends_it_too() {
    let mut world = World::new(plan());
    let gross = Harm {
        guardrails: vec![],
        gross: true,
        flapping: false,
    };
    let facts = Facts {
        harmful: Some(gross),
        ..world.with_verdict(0, Verdict::NeedMore)
    };
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Guardrail));
    assert!(
        world
            .rollout
            .reason
            .contains("at least half of the canary's requests fail")
    );
}

#[test]
fn bursts_of_failures_end_it_and_are_named() {
    let mut world = World::new(plan());
    let flapping = Harm {
        guardrails: vec![0],
        flapping: true,
        ..Harm::default()
    };
    let facts = Facts {
        harmful: Some(flapping),
        ..world.with_verdict(0, Verdict::NeedMore)
    };
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Guardrail));
    assert!(
        world
            .rollout
            .reason
            .contains("again and again within a minute"),
        "{}",
        world.rollout.reason
    );
}

#[test]
fn silence_that_lasts_ends_it_if_the_plan_says_so() {
    let mut plan = plan();
    let then = v1::Then::Rollback.into();
    plan.on_no_evidence = Some(v1::OnNoEvidence {
        after: seconds(1800),
        then,
    });
    let mut world = World::new(plan);
    let mut facts = world.with_verdict(0, Verdict::NoEvidence);
    facts.no_evidence_since_ms = Some(START_MS);
    facts.expected_canary_since_last = 50.0;
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::NoTraffic));
    let mut paused = world.clone();
    paused.order(CommandKind::Pause).unwrap();
    for world in [&mut world, &mut paused] {
        world.wait(30 * MINUTE).see(&facts);
    }
    assert_eq!(world.state(), (State::RolledBack, Cause::NoEvidence));
    assert_eq!(
        paused.state().0,
        State::Paused,
        "a person has stopped that clock"
    );
}

#[test]
fn guardrails_roll_back_a_paused_and_a_held_rollout_too() {
    for paused in [true, false] {
        let mut world = World::new(plan());
        if paused {
            world.order(CommandKind::Pause).unwrap();
        } else {
            let facts = Facts {
                expected_canary_since_last: 20.0,
                ..world.healthy()
            };
            world.see(&facts);
            assert_eq!(world.state(), (State::Held, Cause::NoTraffic));
        }
        let facts = world.with_verdict(0, Verdict::Harmful);
        world.see(&facts);
        assert_eq!(world.state(), (State::RolledBack, Cause::Guardrail));
    }
}

#[test]
fn a_newer_rollout_takes_its_place() {
    let world = World::new(plan());
    let kinds = supersede(&world.rollout);
    let Some(v1::event::Kind::RolledBack(back)) = kinds.last() else {
        panic!()
    };
    assert_eq!(back.cause(), Cause::Superseded);
    let mut ended = World::new(plan());
    ended.order(CommandKind::Rollback).unwrap();
    assert!(supersede(&ended.rollout).is_empty());
}
