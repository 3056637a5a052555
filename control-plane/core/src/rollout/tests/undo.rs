//! Promotions that are taken back.

use super::super::*;
use super::fixture::*;
use v1::State;

fn promoted() -> World {
    let mut world = World::new(plan());
    world.order(CommandKind::Promote { all: true }).unwrap();
    world
}

fn stable(world: &World) -> v1::Variant {
    world.rollout.plan.canaries[0].clone()
}

#[test]
fn everybody_goes_back_at_once() {
    let mut world = promoted();
    assert_eq!(verbs(&world.rollout), ["undo"]);
    world.wait(60 * MINUTE);
    let plan = undo(&world.rollout, world.now_ms, &stable(&world)).unwrap();
    let events = stamp(
        undoing(&plan, "r1"),
        &Stamp {
            at_ms: world.now_ms,
            ..Stamp::default()
        },
    );
    assert_eq!(
        names(&events),
        ["created", "step entered", "split changed", "promoted"]
    );
    let mut back = Rollout::from_created(&events[0]).unwrap();
    let before = back.clone();
    for event in &events[1..] {
        apply(&mut back, event);
    }
    invariants::check(&before, &events[2..], &back).unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!((back.state, back.undoes.as_str()), (State::Promoted, "r1"));
    assert_eq!(back.split["v1"], 1.0);
    assert_eq!(view(&back).undoes, "r1");
    // It is a plan like any other.
    assert!(crate::plan::complete(plan, None).is_ok());
    // And may itself be taken back.
    let again = undo(&back, world.now_ms, &back.plan.canaries[0]).unwrap();
    assert_eq!(again.canaries[0].name, "v2");
}

#[test]
fn only_the_promotion_that_serves_today_and_not_for_ever() {
    let nothing = |world: &World, stable: &v1::Variant| {
        let refused = undo(&world.rollout, world.now_ms, stable).unwrap_err();
        refused.to_string()
    };
    let mut world = promoted();
    let other = v1::Variant {
        name: "v3".into(),
        ..v1::Variant::default()
    };
    assert_eq!(
        nothing(&world, &other),
        "there is nothing to undo: the stable variant of recommender is v3 now, which rollout r1 did not promote"
    );
    let v2 = stable(&world);
    world.wait(7 * 24 * 60 * MINUTE);
    assert!(undo(&world.rollout, world.now_ms, &v2).is_ok());
    world.wait(SECOND);
    assert!(
        nothing(&world, &v2)
            .contains("promoted 8 d ago, and a promotion can be taken back for 7 d")
    );

    let mut back = World::new(plan());
    let v1 = back.rollout.plan.stable.clone().unwrap();
    assert!(nothing(&back, &v1).contains("(rollback takes it back)"));
    back.order(CommandKind::Rollback).unwrap();
    assert_eq!(
        nothing(&back, &v1),
        "there is nothing to undo: rollout r1 was rolled back, everybody is on v1"
    );
}
