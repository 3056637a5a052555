//! Steps, and bakes, that take the word of an outside program to leave.

use super::super::*;
use super::fixture::*;
use v1::event::Kind;
use v1::{Cause, State, Then};

fn gate(then: Then, on_deny: Then) -> Option<v1::Gate> {
    Some(v1::Gate {
        name: "board".into(),
        timeout: seconds(3600),
        then: then.into(),
        on_deny: on_deny.into(),
    })
}

fn gated(then: Then, on_deny: Then) -> World {
    let mut plan = plan();
    plan.steps[0].gate = gate(then, on_deny);
    World::new(plan)
}

/// The gate was asked; the revision of the question.
fn asked(world: &World) -> u64 {
    match world.rollout.gate {
        Gate::Waiting { asked, .. } => asked,
        ref other => panic!("not asked: {other:?}"),
    }
}

fn answer(world: &mut World, asked: u64, approved: bool, words: &str) -> Vec<v1::Event> {
    let kinds = gate_answered(&world.rollout, asked, approved);
    world.record(kinds, "gate board", words)
}

#[test]
fn a_gate_is_asked_once_all_else_is_there_and_its_yes_is_enough() {
    let mut world = gated(Then::Hold, Then::Hold);
    assert!(!names(&world.see_healthy()).contains(&"gate asked"));
    assert_eq!(names(&world.wait(MINUTE).see_healthy()), ["gate asked"]);
    assert!(world.wait(MINUTE).see_healthy().is_empty(), "asked once");
    let seen = view(&world.rollout);
    let question = asked(&world);
    assert_eq!((seen.gate.as_str(), seen.gate_asked), ("board", question));
    assert_eq!(
        names(&answer(&mut world, question, true, "")),
        ["gate answered"]
    );
    assert_eq!(view(&world.rollout).gate, "");
    world.see_healthy();
    assert_eq!((world.rollout.step, &world.rollout.gate), (1, &Gate::None));
}

#[test]
fn a_yes_does_not_move_what_has_begun_to_look_bad() {
    let mut world = gated(Then::Hold, Then::Hold);
    world.wait(MINUTE).see_healthy();
    let question = asked(&world);
    answer(&mut world, question, true, "");
    let mut suspicious = world.healthy();
    suspicious.log_e_rollback = 2.9;
    world.see(&suspicious);
    assert_eq!(world.rollout.step, 0);
    world.see_healthy();
    assert_eq!(world.rollout.step, 1, "and needs not be given twice");
}

#[test]
fn answers_to_another_question_are_nothing() {
    let mut world = gated(Then::Hold, Then::Hold);
    assert!(gate_answered(&world.rollout, 0, true).is_empty());
    world.wait(MINUTE).see_healthy();
    let question = asked(&world);
    assert!(gate_answered(&world.rollout, question - 1, true).is_empty());
    answer(&mut world, question, false, "no");
    assert!(
        gate_answered(&world.rollout, question, true).is_empty(),
        "one word"
    );
    world.order(CommandKind::Rollback).unwrap();
    assert!(gate_answered(&world.rollout, question, true).is_empty());
}

#[test]
fn a_denial_holds_or_rolls_back_with_its_words() {
    let denied = |on_deny| {
        let mut world = gated(Then::Advance, on_deny);
        world.wait(MINUTE).see_healthy();
        let question = asked(&world);
        answer(&mut world, question, false, "not on a Friday");
        let events = world.see_healthy();
        (world, events)
    };
    let (world, _) = denied(Then::Rollback);
    assert_eq!(world.state(), (State::RolledBack, Cause::Gate));
    assert!(
        world
            .rollout
            .reason
            .contains("board denied: not on a Friday"),
        "{}",
        world.rollout.reason
    );
    let (mut world, events) = denied(Then::Hold);
    assert_eq!(names(&events), ["held"]);
    assert_eq!(world.state(), (State::Held, Cause::Gate));
    assert!(
        world
            .rollout
            .reason
            .contains("board denied: not on a Friday"),
        "{}",
        world.rollout.reason
    );
    assert!(
        world.wait(60 * MINUTE).see_healthy().is_empty(),
        "held until somebody acts"
    );
    let mut promoted = world.clone();
    promoted.order(CommandKind::Promote { all: false }).unwrap();
    assert_eq!(
        promoted.rollout.step, 1,
        "an operator's word stands above it"
    );
    world.order(CommandKind::Resume).unwrap();
    assert!(
        names(&world.see_healthy()).contains(&"gate asked"),
        "resumed, it is asked again"
    );
}

#[test]
fn silence_holds_rolls_back_or_advances() {
    let silent = |then| {
        let mut world = gated(then, Then::Hold);
        world.wait(MINUTE).see_healthy();
        world.wait(59 * MINUTE).see_healthy();
        assert_eq!((world.state().0, world.rollout.step), (State::Running, 0));
        world.wait(MINUTE).see_healthy();
        world
    };
    assert_eq!(
        silent(Then::Rollback).state(),
        (State::RolledBack, Cause::Gate)
    );
    assert_eq!(silent(Then::Hold).state(), (State::Held, Cause::Gate));
    assert_eq!(silent(Then::Advance).rollout.step, 1);
}

#[test]
fn a_gate_of_the_bake_stands_before_the_promotion() {
    let mut plan = plan();
    let last = plan.steps.len() - 1;
    plan.steps[last].gate = gate(Then::Hold, Then::Hold);
    plan.bake = Some(v1::Bake {
        duration: seconds(60),
        holdback: Some(0.05),
        gate: gate(Then::Hold, Then::Hold),
    });
    let mut world = World::new(plan);
    for _ in 0..30 {
        world.wait(MINUTE).see_healthy();
    }
    let question = asked(&world);
    assert_eq!(
        (world.state().0, world.rollout.step),
        (State::Running, last)
    );
    answer(&mut world, question, true, "");
    for _ in 0..30 {
        world.wait(MINUTE).see_healthy();
    }
    assert_eq!(
        world.state().0,
        State::Baking,
        "the word for the step is not one for the bake"
    );
    let question = asked(&world);
    let event = answer(&mut world, question, true, "");
    assert!(matches!(&event[0].kind, Some(Kind::GateAnswered(of)) if of.asked == question));
    world.see_healthy();
    assert_eq!(world.state().0, State::Promoted);
}
