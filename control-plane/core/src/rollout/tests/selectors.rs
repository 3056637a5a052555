//! Rollouts that begin on some sidecars.

use super::super::*;
use super::fixture::*;
use crate::selector::selects;
use v1::{Cause, OneOf, Selector, State};

fn ring(values: &[&str]) -> Option<Selector> {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    Some(Selector {
        labels: BTreeMap::from([("ring".to_owned(), OneOf { values })]),
    })
}

/// Ring 0 at 50 %, rings 0 and 1 at 50 %, then all sidecars at 50 % and 100 %.
fn widening() -> v1::Plan {
    let mut plan = plan();
    plan.steps = [0.5, 0.5, 0.5, 1.0].map(step).to_vec();
    plan.steps[0].selector = ring(&["0"]);
    plan.steps[1].selector = ring(&["0", "1"]);
    plan
}

#[test]
fn a_ring_at_a_time_each_with_an_epoch_of_its_own() {
    let mut world = World::new(widening());
    assert_eq!(world.rollout.selector, ring(&["0"]));
    let mut epochs = vec![world.rollout.epoch];
    for (at, selector) in [(1, ring(&["0", "1"])), (2, None), (3, None)] {
        world.proceed_to(State::Running, at);
        assert_eq!(world.rollout.selector, selector);
        epochs.push(world.rollout.epoch);
    }
    assert_eq!(epochs, [1, 2, 3, 4]);
    assert_eq!(world.replayed(), world.rollout);
    world.proceed_to(State::Promoted, 3);
}

#[test]
fn a_plan_that_still_selects_at_its_end_waits_for_a_person() {
    let mut plan = plan();
    plan.selector = ring(&["0"]);
    let mut world = World::new(plan);
    world.proceed_to(State::Held, 3);
    assert_eq!(world.state(), (State::Held, Cause::PlanEnd));
    let told = world.sentence(&world.healthy());
    assert_eq!(
        told,
        "HOLD: the plan ends here, at 100% of ring=0; promote or roll back"
    );
    world.order(CommandKind::Promote { all: true }).unwrap();
    assert_eq!(
        (world.state().0, world.rollout.selector.clone()),
        (State::Promoted, None)
    );
}

#[test]
fn a_promotion_from_a_ring_is_for_everybody() {
    let mut world = World::new(widening());
    world.order(CommandKind::Promote { all: true }).unwrap();
    assert_eq!(world.rollout.selector, None);
    assert!(selects(world.rollout.selector.as_ref(), &BTreeMap::new()));
}

#[test]
fn after_a_split_by_hand_no_sidecar_is_left_behind() {
    let mut world = World::new(widening());
    world.proceed_to(State::Running, 2);
    let lower = CommandKind::SetSplit {
        split: split(0.05),
        force: false,
    };
    world.order(lower).unwrap();
    assert_eq!(world.rollout.selector, None);
    world.order(CommandKind::Resume).unwrap();
    assert_eq!(
        (world.rollout.step, world.rollout.selector.clone()),
        (2, None),
        "the first step that gives as much selects fewer sidecars"
    );
}

#[test]
fn a_selector_that_selects_nobody_is_told_and_holds() {
    let mut world = World::new(widening());
    let nobody = |since_ms| Facts {
        fleet: FleetFacts {
            serving: 5,
            none_selected_since_ms: Some(since_ms),
            ..FleetFacts::default()
        },
        ..world.healthy()
    };
    let facts = nobody(START_MS);
    world.see(&facts);
    let told = world.sentence(&facts);
    assert!(
        told.contains("0 of 5 sidecars selected: none that serves recommender has ring=0"),
        "{told}"
    );
    assert_eq!(world.state().0, State::Running);
    world.wait(15 * SECOND).see(&facts);
    assert_eq!(world.state(), (State::Held, Cause::NoSidecars));
    assert!(
        world
            .rollout
            .reason
            .ends_with("it goes on when one connects")
    );
    assert_eq!(names(&world.see_healthy()), ["resumed"]);
}
