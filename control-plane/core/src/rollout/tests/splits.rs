//! Splits by hand, and the way back onto the ramp.

use super::super::*;
use super::fixture::*;
use v1::{Cause, State};

#[test]
fn a_split_by_hand_within_the_step_pauses_there() {
    let mut world = World::new(plan());
    world.proceed_to(State::Running, 1);
    let events = world
        .order(CommandKind::SetSplit {
            split: split(0.2),
            force: false,
        })
        .unwrap();
    assert_eq!(names(&events), ["split changed", "paused"]);
    assert_eq!(
        (world.state(), world.percent()),
        ((State::Paused, Cause::Manual), 20.0)
    );
    let events = world
        .order(CommandKind::SetSplit {
            split: split(0.25),
            force: false,
        })
        .unwrap();
    assert_eq!(names(&events), ["split changed"], "it is manual already");
    let again = world
        .order(CommandKind::SetSplit {
            split: split(0.25),
            force: false,
        })
        .unwrap();
    assert!(again.is_empty());
}

#[test]
fn above_the_step_takes_force_and_a_reason_and_above_the_plan_nothing_helps() {
    let mut short = plan();
    short.steps.truncate(3);
    let mut world = World::new(short);
    let ask = |world: &mut World, share: f64, force: bool, reason: &str| {
        world.send(&Command {
            kind: CommandKind::SetSplit {
                split: split(share),
                force,
            },
            expected_revision: world.rollout.revision,
            reason: reason.to_owned(),
            force: false,
        })
    };
    let refused = ask(&mut world, 0.3, false, "because").unwrap_err();
    assert_eq!(
        refused,
        Refused::NeedsForce {
            asked: "30%".to_owned(),
            limit: "5%".to_owned()
        }
    );
    assert_eq!(
        ask(&mut world, 0.3, true, "  ").unwrap_err(),
        Refused::ReasonRequired
    );
    let refused = ask(&mut world, 0.6, true, "because").unwrap_err();
    assert_eq!(
        refused,
        Refused::AboveCeiling {
            asked: "60%".to_owned(),
            ceiling: "50%".to_owned()
        }
    );
    ask(&mut world, 0.3, true, "because").unwrap();
    assert_eq!(world.percent(), 30.0);
}

#[test]
fn a_bad_split_is_refused_with_all_its_mistakes() {
    let mut world = World::new(plan());
    let refusal = |world: &mut World, shares: &[(&str, f64)]| {
        let split = shares
            .iter()
            .map(|&(name, share)| (name.to_owned(), share))
            .collect();
        match world
            .order(CommandKind::SetSplit {
                split,
                force: false,
            })
            .unwrap_err()
        {
            Refused::BadSplit(violations) => violations,
            other => panic!("{other}"),
        }
    };
    let paths = |violations: &[v1::Violation]| {
        violations
            .iter()
            .map(|v| v.path.clone())
            .collect::<Vec<_>>()
    };
    let both = refusal(&mut world, &[("v2", 10.0), ("v3", 0.1), ("v1", f64::NAN)]);
    assert_eq!(paths(&both), ["split.v1", "split.v2", "split.v3"]);
    assert!(both[1].message.contains("write 0.1"));
    assert!(both[2].message.contains("v2, v1"));
    let sum = refusal(&mut world, &[("v2", 0.1), ("v1", 1.0)]);
    assert_eq!(paths(&sum), ["split"]);
    assert_eq!(paths(&refusal(&mut world, &[])), ["split"]);
    assert_eq!(
        paths(&refusal(&mut world, &[("v2", -0.1), ("v1", 1.1)])),
        ["split.v1", "split.v2"]
    );
}

#[test]
fn after_a_split_by_hand_it_goes_on_at_the_first_step_that_gives_as_much() {
    for (by_hand, step, share) in [
        (0.0, 0, 5.0),
        (0.05, 0, 5.0),
        (0.1, 1, 25.0),
        (0.25, 1, 25.0),
        (0.4, 2, 50.0),
    ] {
        let mut world = World::new(plan());
        world.proceed_to(State::Running, 2).wait(SECOND);
        world
            .order(CommandKind::SetSplit {
                split: split(by_hand),
                force: false,
            })
            .unwrap();
        let events = world.wait(SECOND).order(CommandKind::Resume).unwrap();
        assert_eq!(names(&events)[..2], ["resumed", "step entered"]);
        assert_eq!(
            (world.state().0, world.rollout.step, world.percent()),
            (State::Running, step, share)
        );
        assert_eq!(
            world.rollout.step_entered_ms, world.now_ms,
            "its clock starts anew"
        );
    }
}

#[test]
fn resuming_above_the_holdback_moves_nobody_back() {
    let mut world = World::new(plan());
    world
        .order(CommandKind::SetSplit {
            split: split(0.97),
            force: true,
        })
        .unwrap();
    world.order(CommandKind::Resume).unwrap();
    assert_eq!((world.rollout.step, world.percent()), (3, 97.0));
    world.proceed_to(State::Promoted, 3);
    assert_eq!(world.percent(), 100.0);
}

#[test]
fn a_warm_up_that_was_not_over_is_gone_back_to() {
    let mut plan = plan();
    plan.warmup = Some(v1::Warmup {
        duration: seconds(60),
        share: 0.02,
    });
    let mut world = World::new(plan);
    world
        .wait(SECOND)
        .order(CommandKind::SetSplit {
            split: split(0.01),
            force: false,
        })
        .unwrap();
    world.order(CommandKind::Resume).unwrap();
    assert_eq!((world.state().0, world.percent()), (State::WarmingUp, 2.0));
}

#[test]
fn a_promotion_after_a_split_by_hand_goes_to_the_first_step_that_gives_more() {
    let mut world = World::new(plan());
    world.proceed_to(State::Running, 2);
    world
        .order(CommandKind::SetSplit {
            split: split(0.05),
            force: false,
        })
        .unwrap();
    world.order(CommandKind::Promote { all: false }).unwrap();
    assert_eq!(
        (world.state().0, world.rollout.step, world.percent()),
        (State::Running, 1, 25.0)
    );
}

#[test]
fn a_step_that_is_entered_again_lasts_as_long_again() {
    let mut world = World::new(plan());
    world
        .wait(2 * MINUTE)
        .order(CommandKind::SetSplit {
            split: split(0.05),
            force: false,
        })
        .unwrap();
    assert_eq!(
        (world.state().1, world.rollout.epoch),
        (Cause::Manual, 1),
        "nobody had to move"
    );
    world.order(CommandKind::Resume).unwrap();
    world.wait(59 * SECOND).see_healthy();
    assert_eq!(world.rollout.step, 0);
    world.wait(SECOND).see_healthy();
    assert_eq!(world.rollout.step, 1);
}

#[test]
fn a_split_by_hand_ends_the_bake() {
    let mut world = World::new(plan());
    world.proceed_to(State::Baking, 3);
    world
        .order(CommandKind::SetSplit {
            split: split(0.5),
            force: false,
        })
        .unwrap();
    assert_eq!(world.rollout.bake_until_ms, None);
    world.wait(60 * MINUTE).order(CommandKind::Resume).unwrap();
    assert_eq!(
        (world.state().0, world.rollout.step, world.percent()),
        (State::Running, 2, 50.0)
    );
}
