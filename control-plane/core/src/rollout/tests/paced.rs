//! Ramps that are paced by the evidence.

use super::super::*;
use super::fixture::*;
use proptest::prelude::*;
use v1::{Then, Verdict};

/// 0.6, 10, 25, 50, 100 %; left at tolerances 10, 5, 2, 1.
fn paced() -> v1::Plan {
    v1::Plan {
        steps: [0.006, 0.1, 0.25, 0.5, 1.0].map(step).to_vec(),
        ramp: Some(v1::Ramp::default()),
        ..plan()
    }
}

fn entered(world: &mut World, excluded: Option<f64>) -> usize {
    world.wait(MINUTE);
    let facts = Facts {
        excluded_tolerance: excluded,
        ..world.healthy()
    };
    world.see(&facts);
    world.rollout.step
}

#[test]
fn steps_that_are_proven_already_are_passed_over() {
    for (excluded, step) in [
        (None, 1),
        (Some(10.0), 1),
        (Some(5.0), 2),
        (Some(2.0), 3),
        (Some(1.0), 3),
    ] {
        let mut world = World::new(paced());
        assert_eq!(entered(&mut world, excluded), step, "{excluded:?}");
    }
    let mut world = World::new(paced());
    entered(&mut world, Some(1.0));
    assert_eq!(
        entered(&mut world, Some(1.0)),
        4,
        "the one at one half was not"
    );
    let mut by_hand = paced();
    by_hand.ramp = None;
    assert_eq!(entered(&mut World::new(by_hand), Some(1.0)), 1);
}

#[test]
fn an_approval_or_a_number_of_requests_is_not_passed_over() {
    let mut plan = paced();
    plan.steps[2].approval = Some(v1::Approval {
        timeout: seconds(600),
        then: Then::Hold.into(),
    });
    assert_eq!(entered(&mut World::new(plan.clone()), Some(1.0)), 2);
    plan.steps[1].min_requests = 10;
    assert_eq!(entered(&mut World::new(plan), Some(1.0)), 1);
}

#[test]
fn the_end_of_a_warm_up_proves_nothing() {
    let mut plan = paced();
    plan.warmup = Some(v1::Warmup {
        duration: seconds(30),
        share: 0.02,
    });
    let mut world = World::new(plan);
    assert_eq!(world.percent(), 0.6, "no more than the first step gives");
    entered(&mut world, Some(1.0));
    assert_eq!((world.rollout.warmup, world.rollout.step), (false, 0));
}

#[test]
fn the_sentence_says_what_was_passed_over() {
    let mut world = World::new(paced());
    world.wait(MINUTE);
    let facts = Facts {
        excluded_tolerance: Some(2.0),
        ..world.healthy()
    };
    assert_eq!(
        world.sentence(&facts),
        "ADVANCE to 50%: every required guardrail is SAFE at tolerance 10, 10,000 canary requests in this step; \
         SAFE at tolerance 2 too, so 10% and 25% are passed over"
    );
}

proptest! {
    /// Nothing is raised unless the step may be left, and no step is passed over that could not be.
    #[test]
    fn nothing_is_passed_over_without_proof(
        looks in prop::collection::vec((any::<bool>(), prop::sample::select(vec![None, Some(10.0), Some(5.0), Some(2.0), Some(1.0)])), 1..12),
    ) {
        let mut world = World::new(paced());
        for (safe, excluded) in looks {
            world.wait(MINUTE);
            let verdict = if safe { Verdict::Safe } else { Verdict::NeedMore };
            let facts = Facts { excluded_tolerance: excluded, ..world.with_verdict(0, verdict) };
            let before = world.rollout.clone();
            world.see(&facts);
            let after = &world.rollout;
            prop_assert!(after.canary_ppm() <= before.canary_ppm() || safe);
            for step in before.step + 1..after.step {
                let proven = excluded.is_some_and(|excluded: f64| excluded <= terms::kappa(&after.plan, step));
                prop_assert!(proven && step < 3, "step {} was passed over", step);
            }
        }
    }
}
