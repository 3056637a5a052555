//! Times in which nothing moves forward.

use super::super::*;
use super::fixture::*;
use v1::{Cause, State, Verdict};

fn frozen(world: &World, until_ms: u64) -> Facts {
    Facts {
        frozen_until_ms: Some(until_ms),
        ..world.healthy()
    }
}

#[test]
fn a_step_is_not_left_in_a_freeze_and_goes_on_after_it() {
    let mut world = World::new(plan());
    let until_ms = START_MS + 62 * 60 * MINUTE;
    let facts = frozen(&world, until_ms);
    let events = world.wait(MINUTE).see(&facts);
    assert_eq!(names(&events)[0], "freeze began");
    let since_ms = world.now_ms;
    assert_eq!(world.rollout.frozen, Some(Frozen { since_ms, until_ms }));
    assert_eq!(
        world.sentence(&facts),
        "WAIT: frozen until 2023-11-17 12:13 UTC; then 25%"
    );
    for _ in 0..10 {
        assert!(world.wait(MINUTE).see(&facts).is_empty());
    }
    assert_eq!((world.state().0, world.rollout.step), (State::Running, 0));
    let events = world.wait(60 * MINUTE).see_healthy();
    assert_eq!(names(&events)[0], "freeze ended");
    assert_eq!((world.rollout.frozen, world.rollout.step), (None, 1));
    assert_eq!(view(&world.rollout).frozen_until, None);
    assert_eq!(world.replayed(), world.rollout);
}

#[test]
fn a_freeze_that_is_longer_than_was_known_is_told_once() {
    let mut world = World::new(plan());
    world.see(&frozen(&world, START_MS + 60 * MINUTE));
    let longer = frozen(&world, START_MS + 90 * MINUTE);
    assert_eq!(names(&world.see(&longer)), ["freeze began"]);
    assert!(world.see(&longer).is_empty());
    let frozen = world.rollout.frozen.unwrap();
    assert_eq!(
        (frozen.since_ms, frozen.until_ms),
        (START_MS, START_MS + 90 * MINUTE)
    );
}

#[test]
fn neither_a_bake_ends_nor_is_approval_asked_for_but_harm_rolls_back() {
    let mut with_approval = plan();
    with_approval.steps[0].approval = Some(v1::Approval {
        timeout: seconds(60),
        then: v1::Then::Advance.into(),
    });
    let mut world = World::new(with_approval);
    let facts = frozen(&world, START_MS + 90 * MINUTE);
    world.wait(10 * MINUTE).see(&facts);
    assert_eq!(world.rollout.approval, Approval::None);

    let mut world = World::new(plan());
    world.proceed_to(State::Baking, 3);
    let until_ms = world.now_ms + 60 * MINUTE;
    let mut facts = frozen(&world, until_ms);
    world.wait(20 * MINUTE).see(&facts);
    assert_eq!(world.state().0, State::Baking);
    facts.guardrails[0].verdict = Verdict::Harmful.into();
    world.see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Guardrail));
}

#[test]
fn time_in_a_freeze_is_not_time_that_it_takes() {
    let mut world = World::new(plan());
    let day = 24 * 60 * MINUTE;
    let need_more = world.with_verdict(0, Verdict::NeedMore);
    world.wait(20 * 60 * MINUTE).see(&need_more);
    let facts = Facts {
        frozen_until_ms: Some(world.now_ms + 3 * day),
        ..need_more.clone()
    };
    world.see(&facts);
    world.wait(3 * day).see(&facts);
    assert_eq!(world.state().0, State::Running);
    world.see(&need_more);
    world.wait(4 * 60 * MINUTE - SECOND).see(&need_more);
    assert_eq!(world.state().0, State::Running);
    world.wait(SECOND).see(&need_more);
    assert_eq!(world.state(), (State::Held, Cause::MaxDuration));
}

#[test]
fn a_person_moves_it_by_force_and_with_a_reason() {
    let mut world = World::new(plan());
    world.see(&frozen(&world, START_MS + 60 * MINUTE));
    let ask = |world: &mut World, kind: CommandKind, force: bool, reason: &str| {
        let order = Command {
            kind,
            expected_revision: world.rollout.revision,
            reason: reason.to_owned(),
            force,
        };
        world.send(&order).map(|_| ())
    };
    let promote = || CommandKind::Promote { all: false };
    let refused = ask(&mut world, promote(), false, "because").unwrap_err();
    assert!(matches!(refused, Refused::Frozen { .. }), "{refused}");
    assert!(
        refused.to_string().contains("2023-11-14 23:13 UTC"),
        "{refused}"
    );
    let refused = ask(&mut world, promote(), true, " ").unwrap_err();
    assert_eq!(refused, Refused::ReasonRequired);
    ask(&mut world, promote(), true, "the fix cannot wait").unwrap();
    assert_eq!(world.rollout.step, 1);
    // What raises nothing needs no force.
    let lower = |share, force| CommandKind::SetSplit {
        split: split(share),
        force,
    };
    ask(&mut world, lower(0.1, false), false, "").unwrap();
    let refused = ask(&mut world, lower(0.2, false), false, "because").unwrap_err();
    assert!(matches!(refused, Refused::Frozen { .. }), "{refused}");
    ask(&mut world, lower(0.2, true), false, "because").unwrap();
    let refused = ask(&mut world, CommandKind::Resume, false, "because").unwrap_err();
    assert!(matches!(refused, Refused::Frozen { .. }), "{refused}");
    ask(&mut world, CommandKind::Resume, true, "because").unwrap();
    ask(&mut world, CommandKind::Pause, false, "").unwrap();
    ask(&mut world, CommandKind::Resume, false, "").unwrap();
    ask(&mut world, CommandKind::Rollback, false, "").unwrap();
    assert_eq!(world.state().0, State::RolledBack);
}
