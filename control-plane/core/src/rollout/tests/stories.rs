//! How rollouts go.

use super::super::*;
use super::fixture::*;
use v1::guardrail::Action;
use v1::{Cause, State, Verdict};

#[test]
fn a_good_canary_climbs_bakes_and_is_promoted() {
    let mut world = World::new(plan());
    assert_eq!(
        names(&world.log),
        ["created", "step entered", "split changed"]
    );
    assert_eq!((world.percent(), world.rollout.epoch), (5.0, 1));

    let first = world.see_healthy();
    assert_eq!(
        names(&first),
        ["verdict changed", "verdict changed", "decision made"],
        "it waits out its minute"
    );
    assert!(
        world.wait(30 * SECOND).see_healthy().is_empty(),
        "nothing changed, nothing is written"
    );

    let advance = world.wait(30 * SECOND).see_healthy();
    assert_eq!(
        names(&advance),
        ["decision made", "step entered", "split changed"]
    );
    assert_eq!(
        (world.percent(), world.rollout.epoch, world.rollout.step),
        (25.0, 2, 1)
    );

    world.proceed_to(State::Running, 3);
    assert_eq!(world.percent(), 95.0, "the holdback stays on stable");

    let bake = world.wait(MINUTE).see_healthy();
    assert_eq!(names(&bake), ["decision made", "bake started"]);
    world.wait(9 * MINUTE).see_healthy();
    assert_eq!(world.state().0, State::Baking);

    let promotion = world.wait(MINUTE).see_healthy();
    assert_eq!(names(&promotion), ["split changed", "promoted"]);
    assert_eq!((world.state().0, world.percent()), (State::Promoted, 100.0));
    assert_eq!(world.rollout.finished_ms, Some(world.now_ms));
    assert!(
        world.wait(MINUTE).see_healthy().is_empty(),
        "the end is the end"
    );
}

#[test]
fn every_advance_carries_its_evidence() {
    let mut world = World::new(plan());
    world.proceed_to(State::Promoted, 3);
    let decisions = world
        .log
        .iter()
        .filter_map(|event| match event.kind.as_ref()? {
            v1::event::Kind::DecisionMade(made) => made.decision.as_ref(),
            v1::event::Kind::Promoted(promoted) => promoted.decision.as_ref(),
            _ => None,
        });
    let moves: Vec<_> = decisions
        .filter(|d| {
            matches!(
                d.kind(),
                v1::DecisionKind::Advance | v1::DecisionKind::Promote
            )
        })
        .collect();
    assert_eq!(moves.len(), 5, "three steps, the bake, the promotion");
    assert!(
        moves
            .iter()
            .all(|d| d.guardrails.len() == 2 && d.slices == 100)
    );
    let tolerances: Vec<f64> = moves.iter().map(|d| d.tolerance).collect();
    assert_eq!(tolerances, [10.0, 2.0, 1.0, 1.0, 1.0]);
}

#[test]
fn a_harmful_canary_is_rolled_back_in_one_step_from_wherever_it_is() {
    for (state, step) in [(State::Running, 0), (State::Running, 2), (State::Baking, 3)] {
        let mut world = World::new(plan());
        world.proceed_to(state, step);
        let epoch = world.rollout.epoch;
        let mut facts = world.with_verdict(1, Verdict::Harmful);
        facts.harmful = Some(Harm {
            guardrails: vec![1],
            gross: false,
            flapping: false,
        });
        let events = world.see(&facts);
        assert_eq!(names(&events).last(), Some(&"rolled back"));
        assert_eq!(world.state(), (State::RolledBack, Cause::Guardrail));
        assert_eq!((world.percent(), world.rollout.epoch), (0.0, epoch + 1));
        assert!(
            world.rollout.reason.starts_with("ROLL BACK v2: accuracy"),
            "{}",
            world.rollout.reason
        );
    }
}

#[test]
fn without_enough_evidence_nobody_moves() {
    for verdict in [Verdict::NeedMore, Verdict::NoEvidence] {
        let mut world = World::new(plan());
        for _ in 0..20 {
            let facts = world.with_verdict(1, verdict);
            world.wait(MINUTE).see(&facts);
        }
        assert_eq!((world.state().0, world.percent()), (State::Running, 5.0));
    }
}

#[test]
fn a_guardrail_that_is_not_required_does_not_keep_it() {
    let mut plan = plan();
    plan.guardrails[1].required = Some(false);
    let mut world = World::new(plan);
    let facts = world.with_verdict(1, Verdict::NoEvidence);
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.rollout.step, 1);
}

#[test]
fn each_gate_keeps_the_step() {
    type Spoil = fn(&mut Facts);
    let gates: [(&str, Spoil); 8] = [
        ("a step nobody met", |f| f.canary_requests_in_step = 0),
        ("suspicion", |f| f.log_e_rollback = f.log_threshold / 2.0),
        ("evidence that is no number", |f| {
            f.log_e_rollback = f64::NAN
        }),
        ("a sidecar behind", |f| f.fleet.current = 2),
        ("no sidecar", |f| f.fleet = FleetFacts::default()),
        ("a fleet that never had the split", |f| {
            f.fleet.current_since_ms = None
        }),
        ("one refusal among many", |f| {
            f.fleet = FleetFacts {
                connected: 200,
                current: 199,
                rejected: 1,
                ..f.fleet.clone()
            };
        }),
        ("a guardrail without a word", |f| f.guardrails.truncate(1)),
    ];
    for (what, spoil) in gates {
        let mut world = World::new(plan());
        let mut facts = world.healthy();
        spoil(&mut facts);
        world.wait(2 * MINUTE).see(&facts);
        assert_eq!(
            (world.state().0, world.rollout.step),
            (State::Running, 0),
            "{what}"
        );
        world.see_healthy();
        assert_eq!(world.rollout.step, 1, "after {what}");
    }
}

#[test]
fn a_step_asks_for_its_requests() {
    let mut plan = plan();
    plan.steps[0].min_requests = 500;
    let mut world = World::new(plan);
    let mut facts = world.healthy();
    facts.canary_requests_in_step = 499;
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.rollout.step, 0);
    facts.canary_requests_in_step = 500;
    world.see(&facts);
    assert_eq!(world.rollout.step, 1);
}

#[test]
fn the_clock_of_a_step_starts_when_the_fleet_has_the_split() {
    let mut world = World::new(plan());
    let mut facts = world.healthy();
    facts.fleet.current_since_ms = Some(START_MS + 40 * SECOND);
    world.wait(99 * SECOND).see(&facts);
    assert_eq!(world.rollout.step, 0);
    world.wait(SECOND).see(&facts);
    assert_eq!(world.rollout.step, 1);
}

#[test]
fn a_step_without_a_minimum_still_waits_for_the_fleet() {
    let mut plan = plan();
    plan.steps[0].min_duration = seconds(0);
    let mut world = World::new(plan);
    let mut facts = world.healthy();
    facts.fleet.current_since_ms = None;
    world.wait(MINUTE).see(&facts);
    assert_eq!(world.rollout.step, 0);
    world.see_healthy();
    assert_eq!(world.rollout.step, 1);
}

#[test]
fn requests_are_counted_from_the_epoch_of_the_step() {
    let mut world = World::new(plan());
    assert_eq!(world.rollout.step_epoch, 1);
    world.proceed_to(State::Running, 1);
    assert_eq!((world.rollout.epoch, world.rollout.step_epoch), (2, 2));
    world.wait(SECOND);
    let lower = CommandKind::SetSplit {
        split: split(0.1),
        force: false,
    };
    world.order(lower).unwrap();
    assert_eq!((world.rollout.epoch, world.rollout.step_epoch), (3, 2));
    world.wait(SECOND).order(CommandKind::Resume).unwrap();
    assert_eq!((world.rollout.epoch, world.rollout.step_epoch), (4, 4));
}

#[test]
fn a_warm_up_comes_first_and_asks_for_time_and_some_traffic_only() {
    let mut plan = plan();
    plan.warmup = Some(v1::Warmup {
        duration: seconds(60),
        share: 0.02,
    });
    let mut world = World::new(plan);
    assert_eq!((world.state().0, world.percent()), (State::WarmingUp, 2.0));
    let mut facts = world.with_verdict(0, Verdict::NeedMore);
    world.wait(59 * SECOND).see(&facts);
    assert_eq!(world.state().0, State::WarmingUp);
    facts.canary_requests_in_step = 0;
    world.wait(SECOND).see(&facts);
    assert_eq!(
        world.state().0,
        State::WarmingUp,
        "nobody met it, nothing is warm"
    );
    facts.canary_requests_in_step = 3;
    world.see(&facts);
    assert_eq!(
        (world.state().0, world.rollout.step, world.percent()),
        (State::Running, 0, 5.0)
    );
    assert!(!world.rollout.warmup);
}

#[test]
fn a_canary_that_fails_in_the_warm_up_is_rolled_back() {
    let mut plan = plan();
    plan.warmup = Some(v1::Warmup {
        duration: seconds(60),
        share: 0.02,
    });
    let mut world = World::new(plan);
    let facts = world.with_verdict(0, Verdict::Harmful);
    world.wait(SECOND).see(&facts);
    assert_eq!(world.state(), (State::RolledBack, Cause::Guardrail));
}

#[test]
fn a_plan_that_ends_below_everything_waits_for_a_person() {
    let mut plan = plan();
    plan.steps.truncate(2);
    let mut world = World::new(plan);
    world.proceed_to(State::Held, 1);
    assert_eq!((world.state().1, world.percent()), (Cause::PlanEnd, 25.0));
    assert!(world.wait(100 * MINUTE).see_healthy().is_empty());
    assert!(matches!(
        world.order(CommandKind::Resume),
        Err(Refused::WrongState { .. })
    ));
    let refused = world
        .order(CommandKind::Promote { all: false })
        .unwrap_err();
    assert_eq!(
        refused,
        Refused::NoNextStep {
            share: "25%".to_owned()
        }
    );
    let events = world.order(CommandKind::Promote { all: true }).unwrap();
    assert_eq!(names(&events), ["split changed", "promoted"]);
    assert_eq!((world.state().0, world.percent()), (State::Promoted, 100.0));
}

#[test]
fn without_a_holdback_the_last_step_is_everything_and_its_bake_still_counts() {
    let mut plan = plan();
    plan.bake = Some(v1::Bake {
        duration: seconds(600),
        holdback: Some(0.0),
        ..v1::Bake::default()
    });
    let mut world = World::new(plan);
    world.proceed_to(State::Baking, 3);
    assert_eq!(world.percent(), 100.0);
    assert!(!world.rollout.expects_both());
    let epoch = world.rollout.epoch;
    world.proceed_to(State::Promoted, 3);
    assert_eq!(world.rollout.epoch, epoch, "nobody has to move any more");
}

#[test]
fn a_bake_whose_evidence_fades_goes_on_until_it_is_safe_again() {
    let mut world = World::new(plan());
    world.proceed_to(State::Baking, 3);
    let facts = world.with_verdict(0, Verdict::NeedMore);
    world.wait(20 * MINUTE).see(&facts);
    assert_eq!(world.state().0, State::Baking);
    world.see_healthy();
    assert_eq!(world.state().0, State::Promoted);
}

#[test]
fn a_notice_is_only_a_notice() {
    let mut plan = plan();
    plan.guardrails[1] = v1::Guardrail {
        required: Some(false),
        ..accuracy(Action::Notify)
    };
    let mut world = World::new(plan);
    let facts = world.with_verdict(1, Verdict::Harmful);
    let events = world.wait(MINUTE).see(&facts);
    assert_eq!(names(&events)[..2], ["verdict changed", "verdict changed"]);
    assert_eq!(world.rollout.step, 1, "it goes on");
}
