//! Steps that take somebody's word to leave.

use super::super::*;
use super::fixture::*;
use v1::{Cause, State};

#[test]
fn an_approval_is_asked_for_when_all_else_is_there() {
    let mut plan = plan();
    plan.steps[0].approval = Some(v1::Approval {
        timeout: seconds(3600),
        then: v1::Then::Hold.into(),
    });
    let mut world = World::new(plan);
    world.see_healthy();
    assert_eq!(world.rollout.approval, Approval::None);
    assert_eq!(
        names(&world.wait(MINUTE).see_healthy()),
        ["approval requested"]
    );
    let deadline_ms = world.now_ms + 60 * MINUTE;
    assert_eq!(world.rollout.approval, Approval::Waiting { deadline_ms });
    assert!(world.wait(MINUTE).see_healthy().is_empty(), "asked once");
    let events = world.order(CommandKind::Approve).unwrap();
    assert_eq!(
        (events[0].actor.as_str(), events[0].reason.as_str()),
        ("ada", "because")
    );
    assert_eq!(view(&world.rollout).approved_by, "ada");
    world.see_healthy();
    assert_eq!(world.rollout.approved_by, "", "of the step before");
    assert_eq!(
        (world.rollout.step, world.rollout.approval),
        (1, Approval::None)
    );
}

#[test]
fn an_early_approval_is_remembered() {
    let mut plan = plan();
    plan.steps[0].approval = Some(v1::Approval {
        timeout: seconds(3600),
        then: v1::Then::Hold.into(),
    });
    let mut world = World::new(plan);
    world.order(CommandKind::Approve).unwrap();
    world.wait(MINUTE).see_healthy();
    assert_eq!(world.rollout.step, 1);
}

#[test]
fn an_approval_that_does_not_come_holds_rolls_back_or_advances() {
    let after_timeout = |then: v1::Then| {
        let mut plan = plan();
        plan.steps[0].approval = Some(v1::Approval {
            timeout: seconds(3600),
            then: then.into(),
        });
        let mut world = World::new(plan);
        world.wait(MINUTE).see_healthy();
        world.wait(59 * MINUTE).see_healthy();
        assert_eq!((world.state().0, world.rollout.step), (State::Running, 0));
        world.wait(MINUTE).see_healthy();
        world
    };
    assert_eq!(
        after_timeout(v1::Then::Rollback).state(),
        (State::RolledBack, Cause::Approval)
    );
    assert_eq!(after_timeout(v1::Then::Advance).rollout.step, 1);

    let mut held = after_timeout(v1::Then::Hold);
    assert_eq!(held.state(), (State::Held, Cause::Approval));
    let mut again = held.clone();
    again.order(CommandKind::Resume).unwrap();
    assert!(
        names(&again.see_healthy()).contains(&"approval requested"),
        "resumed, it asks again"
    );
    let events = held.order(CommandKind::Approve).unwrap();
    assert_eq!(names(&events), ["approved", "resumed"]);
    held.see_healthy();
    assert_eq!(held.rollout.step, 1);
}

#[test]
fn a_rejection_is_a_rollback() {
    let mut plan = plan();
    plan.steps[0].approval = Some(v1::Approval {
        timeout: seconds(3600),
        then: v1::Then::Hold.into(),
    });
    let mut world = World::new(plan);
    world.order_at(CommandKind::Reject, 0).unwrap();
    assert_eq!(world.state(), (State::RolledBack, Cause::Approval));
}

#[test]
fn an_approval_clock_stands_still_while_a_person_has_stopped_the_rollout() {
    let mut plan = plan();
    plan.steps[0].approval = Some(v1::Approval {
        timeout: seconds(60),
        then: v1::Then::Rollback.into(),
    });
    let mut world = World::new(plan);
    world.wait(MINUTE).see_healthy();
    world.order(CommandKind::Pause).unwrap();
    world.wait(10 * MINUTE).see_healthy();
    assert_eq!(world.state().0, State::Paused);
    world.order(CommandKind::Resume).unwrap();
    assert!(names(&world.see_healthy()).contains(&"approval requested"));
    world.wait(MINUTE).see_healthy();
    assert_eq!(world.state(), (State::RolledBack, Cause::Approval));
}

#[test]
fn there_is_nothing_to_approve_in_a_warm_up_or_a_bake() {
    let mut plan = plan();
    plan.warmup = Some(v1::Warmup {
        duration: seconds(60),
        share: 0.02,
    });
    for step in [0, 3] {
        plan.steps[step].approval = Some(v1::Approval {
            timeout: seconds(3600),
            then: v1::Then::Hold.into(),
        });
    }
    let mut world = World::new(plan);
    assert!(!verbs(&world.rollout).contains(&"approve"));
    let refused = world.order(CommandKind::Approve).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is nothing to approve: the warm-up needs no approval"
    );
    for step in [0, 3] {
        world.proceed_to(State::Running, step);
        assert!(verbs(&world.rollout).contains(&"approve"));
        world.order(CommandKind::Approve).unwrap();
    }
    world.proceed_to(State::Baking, 3);
    let refused = world.order(CommandKind::Reject).unwrap_err();
    assert!(matches!(refused, Refused::NothingToApprove(_)));
}
