//! What operators may do, and when.

use super::super::*;
use super::fixture::*;
use v1::guardrail::Action;
use v1::{State, Verdict};

/// A rollout in each of the situations that differ.
fn situations() -> Vec<(&'static str, World)> {
    let mut with_approval = plan();
    with_approval.steps[0].approval = Some(v1::Approval {
        timeout: seconds(3600),
        then: v1::Then::Hold.into(),
    });
    let mut with_warmup = plan();
    with_warmup.warmup = Some(v1::Warmup {
        duration: seconds(60),
        share: 0.02,
    });
    let mut with_hold = plan();
    with_hold.guardrails[1] = accuracy(Action::Hold);
    let mut short = plan();
    short.steps.truncate(2);

    let at = |plan: v1::Plan, prepare: &dyn Fn(&mut World)| {
        let mut world = World::new(plan);
        prepare(&mut world);
        world.wait(SECOND);
        world
    };
    vec![
        ("warming up", at(with_warmup, &|_| {})),
        ("running", at(plan(), &|_| {})),
        (
            "awaiting approval",
            at(with_approval.clone(), &|w| {
                w.wait(MINUTE).see_healthy();
            }),
        ),
        (
            "paused",
            at(plan(), &|w| {
                w.order(CommandKind::Pause).unwrap();
            }),
        ),
        (
            "manual",
            at(plan(), &|w| {
                w.wait(SECOND)
                    .order(CommandKind::SetSplit {
                        split: split(0.04),
                        force: false,
                    })
                    .unwrap();
            }),
        ),
        (
            "no traffic",
            at(plan(), &|w| {
                let facts = Facts {
                    expected_canary_since_last: 50.0,
                    ..w.healthy()
                };
                w.see(&facts);
            }),
        ),
        (
            "guardrail",
            at(with_hold, &|w| {
                let facts = w.with_verdict(1, Verdict::Harmful);
                w.see(&facts);
            }),
        ),
        (
            "plan end",
            at(short, &|w| {
                w.proceed_to(State::Held, 1);
            }),
        ),
        (
            "approval",
            at(with_approval, &|w| {
                w.wait(MINUTE).see_healthy();
                w.wait(60 * MINUTE).see_healthy();
            }),
        ),
        (
            "baking",
            at(plan(), &|w| {
                w.proceed_to(State::Baking, 3);
            }),
        ),
        (
            "promoted",
            at(plan(), &|w| {
                w.order(CommandKind::Promote { all: true }).unwrap();
            }),
        ),
        (
            "rolled back",
            at(plan(), &|w| {
                w.order(CommandKind::Rollback).unwrap();
            }),
        ),
    ]
}

fn commands() -> [CommandKind; 9] {
    [
        CommandKind::Pause,
        CommandKind::Resume,
        CommandKind::Approve,
        CommandKind::Reject,
        CommandKind::Promote { all: false },
        CommandKind::Promote { all: true },
        CommandKind::Rollback,
        CommandKind::SetSplit {
            split: split(0.01),
            force: false,
        },
        CommandKind::SetSplit {
            split: split(0.05),
            force: true,
        },
    ]
}

/// What became of a command: the state and step it leads to, "=" for nothing to do, or the refusal.
fn outcome(mut world: World, kind: CommandKind) -> String {
    let before = world.clone();
    match world.order(kind) {
        Ok(events) if events.is_empty() => "=".to_owned(),
        Ok(_) => {
            let of = match world.rollout.state {
                State::WarmingUp => "warm",
                State::Running => "run",
                State::Paused => "pause",
                State::Held => "held",
                State::Baking => "bake",
                State::Promoted => "done",
                State::RolledBack => "back",
                State::Unspecified | State::Queued | State::Cancelled => "?",
            };
            format!("{of}{}", world.rollout.step)
        }
        Err(refused) => {
            assert_eq!(
                world.rollout, before.rollout,
                "a refused command changes nothing"
            );
            assert_eq!(world.log, before.log);
            match refused {
                Refused::WrongState { .. } => "state".to_owned(),
                Refused::NothingToApprove(_) => "none".to_owned(),
                Refused::NoNextStep { .. } => "end".to_owned(),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn every_command_at_every_state() {
    #[rustfmt::skip]
    let expected: [(&str, [&str; 9]); 12] = [
        //                     pause     resume   approve  reject   promote  all      rollback lower     5 %
        ("warming up",        ["pause0", "state", "none",  "none",  "run0",  "done0", "back0", "pause0", "pause0"]),
        ("running",           ["pause0", "state", "none",  "none",  "run1",  "done0", "back0", "pause0", "pause0"]),
        ("awaiting approval", ["pause0", "state", "run0",  "back0", "run1",  "done0", "back0", "pause0", "pause0"]),
        ("paused",            ["=",      "run0",  "none",  "none",  "run1",  "done0", "back0", "pause0", "pause0"]),
        ("manual",            ["=",      "run0",  "none",  "none",  "run0",  "done0", "back0", "pause0", "pause0"]),
        ("no traffic",        ["pause0", "run0",  "none",  "none",  "run1",  "done0", "back0", "pause0", "pause0"]),
        ("guardrail",         ["pause0", "run0",  "none",  "none",  "run1",  "done0", "back0", "pause0", "pause0"]),
        ("plan end",          ["pause1", "state", "none",  "none",  "end",   "done1", "back1", "pause1", "pause1"]),
        ("approval",          ["pause0", "run0",  "run0",  "back0", "run1",  "done0", "back0", "pause0", "pause0"]),
        ("baking",            ["pause3", "state", "none",  "none",  "done3", "done3", "back3", "pause3", "pause3"]),
        ("promoted",          ["state",  "state", "state", "state", "state", "state", "state", "state",  "state"]),
        ("rolled back",       ["state",  "state", "state", "state", "state", "state", "=",     "state",  "state"]),
    ];
    for ((name, world), (row, outcomes)) in situations().into_iter().zip(expected) {
        assert_eq!(name, row);
        let verbs = verbs(&world.rollout);
        for (kind, expected) in commands().into_iter().zip(outcomes) {
            let verb = kind.verb();
            let found = outcome(world.clone(), kind.clone());
            assert_eq!(found, expected, "{name}: {kind:?}");
            let refused = ["state", "none", "end", "="].contains(&expected);
            let offered = verbs.contains(&verb);
            // At the end of a plan promote is offered for its --all.
            assert!(
                offered != refused || expected == "end",
                "{name}: {verb} in {verbs:?}"
            );
        }
    }
}

#[test]
fn what_can_raise_needs_the_revision_that_was_seen() {
    let mut waiting = plan();
    waiting.steps[0].approval = Some(v1::Approval {
        timeout: seconds(3600),
        then: v1::Then::Hold.into(),
    });
    let mut paused = World::new(waiting);
    paused.order(CommandKind::Pause).unwrap();
    let actual = paused.rollout.revision;
    let raise = CommandKind::SetSplit {
        split: split(0.25),
        force: true,
    };
    for kind in [
        CommandKind::Resume,
        CommandKind::Approve,
        CommandKind::Promote { all: true },
        raise,
    ] {
        let verb = kind.verb();
        let mut world = paused.clone();
        assert_eq!(
            world.order_at(kind.clone(), 0),
            Err(Refused::RevisionRequired { verb, actual })
        );
        let expected = actual - 1;
        assert_eq!(
            world.order_at(kind.clone(), expected),
            Err(Refused::RevisionMismatch { expected, actual })
        );
        assert_eq!(world.rollout, paused.rollout);
        world.order_at(kind, actual).unwrap();
    }
}

#[test]
fn what_only_lowers_is_done_whatever_the_revision() {
    for kind in [
        CommandKind::Rollback,
        CommandKind::SetSplit {
            split: split(0.01),
            force: false,
        },
    ] {
        World::new(plan()).order_at(kind.clone(), 0).unwrap();
        World::new(plan()).order_at(kind, 7).unwrap();
    }
    let mut world = World::new(plan());
    let refused = world.order_at(CommandKind::Pause, 7).unwrap_err();
    assert_eq!(
        refused,
        Refused::RevisionMismatch {
            expected: 7,
            actual: 102
        }
    );
}

#[test]
fn a_promoted_rollout_cannot_be_rolled_back_and_says_what_to_do() {
    let mut world = World::new(plan());
    world.order(CommandKind::Promote { all: true }).unwrap();
    let text = world.order(CommandKind::Rollback).unwrap_err().to_string();
    assert!(
        text.contains("PROMOTED") && text.contains("undo takes that back"),
        "{text}"
    );
}

#[test]
fn a_refusal_names_what_is_possible() {
    let mut world = World::new(plan());
    let text = world.order(CommandKind::Resume).unwrap_err().to_string();
    assert_eq!(
        text,
        "resume is not possible while the rollout is RUNNING; possible now: pause, promote, rollback, split set"
    );
}

#[test]
fn an_operator_can_walk_it_to_the_end() {
    let mut world = World::new(plan());
    let mut seen = Vec::new();
    for _ in 0..5 {
        world
            .wait(SECOND)
            .order(CommandKind::Promote { all: false })
            .unwrap();
        seen.push((world.state().0, world.percent()));
    }
    let expected = [
        (State::Running, 25.0),
        (State::Running, 50.0),
        (State::Running, 95.0),
        (State::Baking, 95.0),
        (State::Promoted, 100.0),
    ];
    assert_eq!(seen, expected);
    assert_eq!(world.rollout.reason, "because");
}
