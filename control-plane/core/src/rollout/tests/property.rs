//! Whatever comes in, in whatever order: no invariant breaks, and a restart finds the state that was left.

use super::super::*;
use super::fixture::*;
use proptest::prelude::*;
use v1::Verdict;
use v1::guardrail::Action;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Turn {
    Wait(u64),
    /// A minute of a canary that is as good as stable.
    Good,
    Look(Box<Facts>),
    Order {
        kind: CommandKind,
        revision: Seen,
        reason: &'static str,
    },
}

/// Which revision a caller sends.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Present,
    None,
    Stale,
}

fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
    let verdict = prop_oneof![
        60 => Just(Verdict::Safe),
        4 => Just(Verdict::NeedMore),
        2 => Just(Verdict::NoEvidence),
        1 => Just(Verdict::Harmful),
    ];
    prop::collection::vec(verdict, 3)
}

fn fleets() -> impl Strategy<Value = FleetFacts> {
    let since = prop_oneof![5 => Just(Some(START_MS)), 1 => Just(None)];
    (
        0..4u32,
        prop_oneof![9 => Just(0u32), 1 => Just(2u32)],
        since,
    )
        .prop_map(|(behind, rejected, since)| FleetFacts {
            connected: 40,
            current: 40 - behind,
            current_since_ms: since,
            rejected,
            serving: 41,
            none_selected_since_ms: (behind == 3).then_some(START_MS),
            ..FleetFacts::default()
        })
}

/// None, one that is recent for a while, or a dead canary.
fn bad_cells() -> impl Strategy<Value = Vec<u64>> {
    let first = START_MS / 1000;
    prop_oneof![
        30 => Just(vec![]),
        4 => (0..1_000u64).prop_map(move |after| vec![first + after]),
        1 => Just(vec![first, first + 30, first + 60]),
    ]
}

prop_compose! {
    fn facts()(
        verdicts in verdicts(),
        fleet in fleets(),
        log_e in prop_oneof![8 => Just(-1.0), 1 => Just(2.0), 1 => Just(f64::NAN)],
        requests in prop_oneof![1 => Just(0u64), 8 => Just(1_000u64)],
        overdue in prop_oneof![10 => Just(0.0), 1 => Just(30.0)],
        bad_cells in bad_cells(),
        exposed_keys in 0..2_000u64,
        safe_at_full in any::<bool>(),
        silent in prop::option::weighted(0.1, Just(START_MS)),
        frozen in prop::option::weighted(0.1, Just(START_MS + 60 * MINUTE)),
        ends in prop_oneof![
            60 => Just((false, false)),
            1 => Just((true, false)),
            1 => Just((false, true)),
        ],
    ) -> Facts {
        let plan = busy_plan();
        let rows = plan.guardrails.iter().zip(&verdicts).enumerate();
        Facts {
            guardrails: rows.map(|(index, (of, &verdict))| row(index, of, verdict)).collect(),
            log_e_rollback: log_e,
            log_threshold: 3.0,
            canary_requests_in_step: requests,
            expected_canary_since_last: overdue,
            bad_cells,
            exposed_keys,
            safe_at_full,
            no_evidence_since_ms: silent,
            frozen_until_ms: frozen,
            none_finished: ends.0,
            budget_spent: ends.1,
            fleet,
            ..Facts::default()
        }
    }
}

fn orders() -> impl Strategy<Value = CommandKind> {
    let share = prop_oneof![
        Just(0.0),
        Just(0.03),
        Just(0.2),
        Just(0.5),
        Just(0.97),
        Just(1.0),
        Just(1.5)
    ];
    prop_oneof![
        6 => Just(CommandKind::Pause),
        12 => Just(CommandKind::Resume),
        6 => Just(CommandKind::Approve),
        1 => Just(CommandKind::Reject),
        8 => Just(CommandKind::Promote { all: false }),
        1 => Just(CommandKind::Promote { all: true }),
        1 => Just(CommandKind::Rollback),
        10 => (share, any::<bool>())
            .prop_map(|(share, force)| CommandKind::SetSplit { split: split(share), force }),
    ]
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let seen = prop_oneof![6 => Just(Seen::Present), 1 => Just(Seen::None), 1 => Just(Seen::Stale)];
    let reason = prop_oneof![Just(""), Just("because")];
    let turn = prop_oneof![
        4 => prop_oneof![Just(SECOND), Just(MINUTE), Just(20 * MINUTE)].prop_map(Turn::Wait),
        6 => Just(Turn::Good),
        4 => facts().prop_map(|facts| Turn::Look(Box::new(facts))),
        3 => (orders(), seen, reason)
            .prop_map(|(kind, revision, reason)| Turn::Order { kind, revision, reason }),
    ];
    prop::collection::vec(turn, 1..60)
}

/// A plan with every feature of the state machine.
fn busy_plan() -> v1::Plan {
    let mut plan = plan();
    plan.warmup = Some(v1::Warmup {
        duration: seconds(30),
        share: 0.02,
    });
    plan.steps[1].approval = Some(v1::Approval {
        timeout: seconds(600),
        then: v1::Then::Hold.into(),
    });
    plan.steps[2].approval = Some(v1::Approval {
        timeout: seconds(600),
        then: v1::Then::Advance.into(),
    });
    plan.guardrails.push(v1::Guardrail {
        required: Some(false),
        ..error_rate(Action::Hold)
    });
    plan.budget = Some(v1::Budget {
        extra_errors: 0,
        exposed_keys: 1_500,
    });
    plan.max_duration = seconds(14_400);
    plan
}

fn plans() -> impl Strategy<Value = v1::Plan> {
    let holdback = prop_oneof![Just(0.0), Just(0.05)];
    (holdback, any::<bool>(), 1..=4usize).prop_map(|(holdback, warmup, steps)| {
        let mut plan = busy_plan();
        plan.bake = Some(v1::Bake {
            duration: seconds(300),
            holdback: Some(holdback),
            ..v1::Bake::default()
        });
        plan.warmup = plan.warmup.filter(|_| warmup);
        plan.steps.drain(..4 - steps);
        plan
    })
}

fn happen(world: &mut World, turn: &Turn) {
    match turn {
        Turn::Wait(ms) => {
            world.wait(*ms);
        }
        Turn::Good => {
            world.wait(MINUTE).see_healthy();
        }
        Turn::Look(facts) => {
            world.see(facts);
        }
        Turn::Order {
            kind,
            revision,
            reason,
        } => {
            let expected_revision = match revision {
                Seen::Present => world.rollout.revision,
                Seen::None => 0,
                Seen::Stale => world.rollout.revision - 1,
            };
            let before = world.rollout.clone();
            let order = Command {
                kind: kind.clone(),
                expected_revision,
                reason: (*reason).to_owned(),
                force: !reason.is_empty(),
            };
            if world.send(&order).is_err() {
                assert_eq!(world.rollout, before, "a refused command changes nothing");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The invariants are checked by the world after every turn.
    #[test]
    fn nothing_breaks_and_a_replay_ends_where_the_rollout_is(plan in plans(), turns in turns()) {
        let mut world = World::new(plan);
        for turn in &turns {
            happen(&mut world, turn);
            let decision = decision(&world.rollout, world.now_ms, &world.healthy());
            prop_assert!(!decision.sentence.is_empty());
        }
        prop_assert_eq!(world.replayed(), world.rollout);
    }

    /// A look never raises the share while something that must keep it down is true.
    #[test]
    fn no_look_raises_without_evidence(turns in turns(), facts in facts()) {
        let mut world = World::new(busy_plan());
        for turn in &turns {
            happen(&mut world, turn);
        }
        let mut required = facts.guardrails.iter().filter(|row| row.required);
        let safe = required.all(|row| row.verdict() == Verdict::Safe);
        let fleet = facts.fleet.is_current() && facts.fleet.rejected == 0;
        let fresh = fleet && facts.canary_requests_in_step > 0;
        let calm = facts.log_e_rollback < facts.log_threshold / 2.0
            && facts.bad_cells.iter().all(|&cell| cell + 60 <= world.now_ms / 1000);
        let may = calm
            && fresh
            && (safe || world.rollout.warmup)
            && facts.frozen_until_ms.is_none();
        let stopped = matches!(world.rollout.state, v1::State::Paused | v1::State::Held);
        let before = world.rollout.canary_ppm();
        world.see(&facts);
        prop_assert!(world.rollout.canary_ppm() <= before || (may && !stopped));
    }

    /// Looking twice at the same facts says nothing the second time, once no transition is due.
    #[test]
    fn nothing_is_written_twice(turns in turns(), facts in facts()) {
        let mut world = World::new(busy_plan());
        for turn in &turns {
            happen(&mut world, turn);
        }
        for _ in 0..20 {
            if world.see(&facts).is_empty() {
                break;
            }
        }
        prop_assert!(world.see(&facts).is_empty());
    }
}
