//! What is derived from the state.

use super::super::*;
use super::fixture::*;
use v1::{Cause, State};

#[test]
fn the_view_tells_what_the_log_knows() {
    let mut plan = plan();
    plan.steps[0].approval = Some(v1::Approval {
        timeout: seconds(3600),
        then: v1::Then::Hold.into(),
    });
    let mut world = World::new(plan.clone());
    world.wait(MINUTE).see_healthy();
    let seen = view(&world.rollout);
    assert_eq!(
        (seen.id.as_str(), seen.model.as_str(), seen.actor.as_str()),
        ("r1", "recommender", "ada")
    );
    assert_eq!(
        (seen.state(), seen.cause(), seen.step, seen.epoch),
        (State::Running, Cause::Unspecified, 0, 1)
    );
    assert_eq!(seen.plan, Some(plan));
    assert_eq!(seen.split, split(0.05));
    assert_eq!(seen.revision, world.log.last().unwrap().revision);
    assert_eq!(seen.created, Some(timestamp(START_MS)));
    assert_eq!(
        seen.approval_deadline,
        Some(timestamp(world.now_ms + 60 * MINUTE))
    );
    assert_eq!(
        seen.verbs,
        [
            "pause",
            "approve",
            "reject",
            "promote",
            "rollback",
            "split set"
        ]
    );
    assert_eq!(seen.finished, None);
    world.order(CommandKind::Rollback).unwrap();
    let seen = view(&world.rollout);
    assert_eq!(
        (seen.finished, seen.reason.as_str()),
        (Some(timestamp(world.now_ms)), "because")
    );
    assert_eq!(seen.split, split(0.0));
    assert!(seen.verbs.is_empty());
}

#[test]
fn it_wakes_up_for_what_comes_next() {
    let mut plan = plan();
    plan.steps[1].approval = Some(v1::Approval {
        timeout: seconds(600),
        then: v1::Then::Hold.into(),
    });
    let mut world = World::new(plan);
    assert_eq!(
        next_wakeup(&world.rollout, world.now_ms),
        Some(START_MS + MINUTE)
    );
    let day = START_MS + 24 * 60 * MINUTE;
    assert_eq!(
        next_wakeup(&world.rollout, START_MS + MINUTE),
        Some(day),
        "the minute is over"
    );
    world
        .proceed_to(State::Running, 1)
        .wait(MINUTE)
        .see_healthy();
    assert_eq!(
        next_wakeup(&world.rollout, world.now_ms),
        Some(world.now_ms + 10 * MINUTE)
    );
    world.order(CommandKind::Approve).unwrap();
    world.proceed_to(State::Baking, 3);
    assert_eq!(
        next_wakeup(&world.rollout, world.now_ms),
        world.rollout.bake_until_ms
    );
    world.proceed_to(State::Promoted, 3);
    assert_eq!(next_wakeup(&world.rollout, world.now_ms), None);
}

#[test]
fn events_of_others_change_nothing() {
    let world = World::new(plan());
    let mut other = world.rollout.clone();
    let stranger = v1::Event {
        rollout: "r2".to_owned(),
        revision: 500,
        kind: Some(v1::event::Kind::RolledBack(v1::RolledBack::default())),
        ..v1::Event::default()
    };
    apply(&mut other, &stranger);
    assert_eq!(other, world.rollout);
}

#[test]
fn ranges_that_are_none_leave_everybody_on_stable() {
    let mut world = World::new(plan());
    let range = v1::BucketRange { start: 7, end: 3 };
    let share = v1::Share {
        variant: "v2".to_owned(),
        ppm: 4,
        ranges: vec![range],
    };
    let mut event = world.log[2].clone();
    event.kind = Some(v1::event::Kind::SplitChanged(v1::SplitChanged {
        epoch: 2,
        shares: vec![share],
        split: split(0.000_004),
        ..v1::SplitChanged::default()
    }));
    apply(&mut world.rollout, &event);
    assert_eq!(world.rollout.canary_ppm(), 0);
}

#[test]
fn only_a_creation_creates() {
    let world = World::new(plan());
    assert!(Rollout::from_created(&world.log[1]).is_none());
    let empty = v1::Event {
        kind: Some(v1::event::Kind::Created(v1::Created::default())),
        ..v1::Event::default()
    };
    assert!(Rollout::from_created(&empty).is_none());
}
