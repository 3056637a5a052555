//! For each invariant, a trace that breaks it and one that does not.

use super::check;
use super::trace::{Asked, Cell, Change, Fault, Held, Logged, Record, What, read, write};
use std::collections::BTreeMap;

const T0: u64 = 1_000_000;

fn at(ms: u64, what: What) -> Record {
    Record {
        at_ms: T0 + ms,
        what,
    }
}

fn logged(revision: u64, ms: u64, change: Change) -> Record {
    at(
        ms,
        What::Logged(Logged {
            generation: 1,
            revision,
            digest: revision * 7,
            request_id: String::new(),
            part: 0,
            rollout: "r".into(),
            actor: "serinus".into(),
            change,
        }),
    )
}

fn split(epoch: u64, end: u32) -> Change {
    let ranges = if end > 0 { vec![(0, end)] } else { Vec::new() };
    Change::SplitChanged { epoch, ranges }
}

fn step(step: usize) -> Change {
    Change::StepEntered {
        step,
        warmup: false,
    }
}

fn created() -> Change {
    Change::Created {
        stable: "v1".into(),
        canary: "v2".into(),
        salt: "r".into(),
        steps: vec![200_000, 500_000],
        warmup: 0,
    }
}

fn held(ms: u64, fence: [u64; 3], epoch: u64, ppm: u32) -> Record {
    let shares = BTreeMap::from([("v2".to_owned(), ppm)]);
    at(
        ms,
        What::Held(Held {
            sidecar: "s".into(),
            incarnation: 1,
            rollout: "r".into(),
            epoch,
            fence,
            lease: "fresh".into(),
            stable: "v1".into(),
            shares,
            ready: true,
            counted: BTreeMap::from([("v1".to_owned(), 80), ("v2".to_owned(), 20)]),
            ..Held::default()
        }),
    )
}

/// A user of the first fifth of the buckets, and one of the last half.
fn users() -> (String, String) {
    let find = |fits: fn(u32) -> bool| {
        let mut keys = (0..).map(|n| format!("user-{n}"));
        keys.find(|key| fits(serinus_common::bucket::hashed("r", key.as_bytes())))
            .expect("there are enough numbers")
    };
    (find(|of| of < 200_000), find(|of| of > 500_000))
}

fn asked(ms: u64, key: &str, variant: &str, status: Option<u16>) -> Record {
    let asked = Asked {
        sidecar: "s".into(),
        key: Some(key.to_owned()),
        variant: variant.into(),
        status,
        sent_ms: T0 + ms - 5,
    };
    at(ms, What::Asked(asked))
}

fn reported(ms: u64, seq: u64, stable: u64, canary: u64) -> Record {
    let cell = Cell {
        rollout: "r".into(),
        epoch: 1,
        stable,
        canary,
    };
    at(
        ms,
        What::Reported {
            sidecar: "s".into(),
            incarnation: 1,
            seq,
            cells: vec![cell],
            forged: false,
        },
    )
}

fn merged(stable: u64, canary: u64) -> Record {
    at(
        9_900,
        What::Merged {
            rollout: "r".into(),
            stable,
            canary,
            open: true,
        },
    )
}

fn watched(watch: u64, revision: u64, digest: u64) -> Record {
    at(
        5_000 + revision,
        What::Watched {
            watch,
            generation: 1,
            revision,
            digest,
        },
    )
}

/// A rollout in its second step, one sidecar, two users, and everything as it should be.
fn good() -> Vec<Record> {
    let (canary, stable) = users();
    let mut trace = vec![
        logged(1, 0, created()),
        logged(2, 0, step(0)),
        logged(3, 0, split(1, 200_000)),
        at(
            20,
            What::Acknowledged {
                generation: 1,
                rollout: "r".into(),
                revision: 3,
                request_id: "apply".into(),
            },
        ),
        logged(4, 8_000, step(1)),
        logged(5, 8_000, split(2, 500_000)),
        reported(4_000, 1, 40, 10),
        reported(5_000, 2, 40, 10),
        reported(5_100, 2, 40, 10),
        at(
            5_200,
            What::Stored {
                sidecar: "s".into(),
                incarnation: 1,
                seq: 2,
            },
        ),
        watched(0, 1, 7),
        watched(0, 2, 14),
        watched(1, 1, 7),
        merged(80, 20),
        at(
            9_950,
            What::Redecided {
                rollout: "r".into(),
                decisions: 3,
                difference: String::new(),
            },
        ),
        at(
            10_000,
            What::Left {
                rollout: "r".into(),
                state: "RUNNING".into(),
                decided_ms: T0 + 9_000,
            },
        ),
        at(
            10_000,
            What::Follows {
                sidecar: "s".into(),
                connected: true,
                current: true,
            },
        ),
    ];
    for ms in (100..7_900).step_by(100) {
        trace.push(held(ms, [1, 1, 3], 1, 200_000));
    }
    for ms in (8_100..12_000).step_by(100) {
        trace.push(held(ms, [1, 1, 5], 2, 500_000));
    }
    for number in 0..100 {
        let (key, variant) = if number % 5 == 0 {
            (&canary, "v2")
        } else {
            (&stable, "v1")
        };
        trace.push(asked(1_000 + number * 50, key, variant, Some(200)));
    }
    trace
}

/// The good trace and this, in the order of time; which invariants it breaks.
fn broken(more: Vec<Record>) -> Vec<&'static str> {
    let mut trace = good();
    trace.extend(more);
    of(trace)
}

fn of(mut trace: Vec<Record>) -> Vec<&'static str> {
    trace.sort_by_key(|record| record.at_ms);
    let violations = check(&trace);
    for violation in &violations {
        assert!(!violation.records.is_empty(), "{violation}");
    }
    let mut names: Vec<&str> = violations.iter().map(|of| of.invariant).collect();
    names.dedup();
    names
}

/// The good trace with one record changed.
fn changed(change: impl Fn(&mut What)) -> Vec<&'static str> {
    let mut trace = good();
    trace.iter_mut().for_each(|record| change(&mut record.what));
    of(trace)
}

#[test]
fn a_good_trace_passes_and_survives_its_file() {
    let mut trace = good();
    trace.sort_by_key(|record| record.at_ms);
    assert_eq!(check(&trace), []);
    let mut bytes = Vec::new();
    write(&trace, &mut bytes).unwrap();
    assert_eq!(read(&bytes[..]).unwrap(), trace);
    let cut = read(&bytes[..bytes.len() - 10]).unwrap_err();
    assert!(cut.to_string().starts_with("line "), "{cut}");
}

#[test]
fn i1_a_command_that_is_lost_or_done_twice_is_found() {
    let lost = |revision| {
        at(
            9_000,
            What::Acknowledged {
                generation: 1,
                rollout: "r".into(),
                revision,
                request_id: "pause".into(),
            },
        )
    };
    assert_eq!(broken(vec![lost(6)]), ["I1"]);
    // Its place was taken by something later.
    let mut taken = good();
    taken.push(Record {
        at_ms: T0 + 6_000,
        ..lost(5)
    });
    assert_eq!(of(taken), ["I1"]);
    let twice = changed(|what| {
        if let What::Logged(of) = what {
            of.request_id = "apply".into();
            of.part = u32::from(of.revision == 2);
        }
    });
    assert_eq!(twice, ["I1"]);
}

#[test]
fn i2_a_gap_a_fork_and_a_changed_entry_are_found() {
    let mut gap = good();
    gap.retain(|record| !matches!(&record.what, What::Logged(of) if of.revision == 4));
    assert!(of(gap).contains(&"I2"));
    assert_eq!(broken(vec![logged(5, 8_500, split(3, 0))])[0], "I2");
    let rewritten = changed(|what| {
        if let What::Logged(of) = what
            && of.revision == 2
        {
            of.digest = 1;
        }
    });
    assert_eq!(rewritten, ["I2"]);
    assert_eq!(broken(vec![watched(0, 3, 22)]), ["I2"]);
    let unreadable = What::Damaged {
        detail: "checksum".into(),
    };
    assert_eq!(broken(vec![at(9_000, unreadable)]), ["I2"]);
}

#[test]
fn i3_an_older_instruction_and_another_content_are_found() {
    assert_eq!(broken(vec![held(12_100, [1, 1, 4], 2, 0)]), ["I3"]);
    assert_eq!(broken(vec![held(12_100, [1, 1, 5], 1, 0)]), ["I3"]);
}

#[test]
fn i4_a_share_that_was_not_given_is_found() {
    // More than the split, a split that is not there, before it was decided.
    assert_eq!(broken(vec![held(12_100, [1, 1, 5], 2, 500_001)]), ["I4"]);
    assert_eq!(broken(vec![held(12_100, [1, 1, 6], 3, 100)]), ["I4"]);
    let mut early = good();
    early.retain(|record| !matches!(record.what, What::Held(_)));
    early.push(held(7_900, [1, 1, 5], 2, 500_000));
    early.push(held(8_100, [1, 1, 5], 2, 500_000));
    assert_eq!(of(early), ["I4"]);
    // In the log: above the step, and for nothing.
    assert_eq!(broken(vec![logged(6, 9_000, split(3, 600_000))]), ["I4"]);
    let for_nothing = vec![
        logged(6, 9_000, split(3, 100_000)),
        logged(7, 9_500, split(4, 200_000)),
    ];
    assert_eq!(broken(for_nothing), ["I4"]);
    let by_hand = vec![
        logged(6, 9_000, split(3, 100_000)),
        logged(7, 9_500, Change::Paused { manual: true }),
        logged(8, 9_500, split(4, 200_000)),
    ];
    assert_eq!(broken(by_hand), [] as [&str; 0]);
    // A user got a canary without a share.
    let mut none = good();
    for record in &mut none {
        if let What::Held(of) = &mut record.what {
            of.shares.clear();
        }
    }
    assert_eq!(of(none), ["I4"]);
}

#[test]
fn i5_a_rolled_back_canary_that_serves_is_found() {
    let back = |more: Record| {
        let cause = "CAUSE_OPERATOR".to_owned();
        let mut gone = held(12_100, [1, 1, 7], 3, 0);
        if let What::Held(of) = &mut gone.what {
            of.ended = true;
        }
        let mut late = gone.clone();
        late.at_ms += 200;
        let mut later = late.clone();
        later.at_ms += 300;
        broken(vec![
            logged(6, 12_000, split(3, 0)),
            logged(7, 12_000, Change::RolledBack { cause }),
            gone,
            late,
            later,
            more,
        ])
    };
    let (canary, _) = users();
    assert_eq!(
        back(asked(12_200, &canary, "v1", Some(200))),
        [] as [&str; 0]
    );
    assert_eq!(back(asked(12_200, &canary, "v2", Some(200))), ["I5"]);
    assert!(back(held(12_900, [1, 2, 7], 3, 10)).contains(&"I5"));
    let not_gone = Change::RolledBack {
        cause: String::new(),
    };
    assert_eq!(broken(vec![logged(6, 12_000, not_gone)]), ["I5"]);
}

#[test]
fn i6_a_deposed_leader_and_two_histories_are_found() {
    let deposed = vec![
        held(12_100, [1, 2, 5], 2, 500_000),
        held(12_200, [1, 1, 9], 2, 0),
    ];
    assert_eq!(broken(deposed), ["I6"]);
    let applied = |ms, fence| {
        let (sidecar, model) = ("s".into(), "m".into());
        at(
            ms,
            What::Applied {
                sidecar,
                model,
                fence,
            },
        )
    };
    let by_ack = vec![applied(100, [2, 1, 3]), applied(200, [1, 9, 9])];
    assert_eq!(broken(by_ack), ["I6"]);
    let mut forked = good();
    forked.retain(|record| !matches!(record.what, What::Logged(_) | What::Acknowledged { .. }));
    forked.push(watched(2, 1, 8));
    assert!(of(forked).contains(&"I6"));
}

#[test]
fn i7_a_user_of_another_bucket_and_one_that_moves_are_found() {
    let (canary, stable) = users();
    let strange = changed(|what| {
        if let What::Asked(of) = what
            && of.key.as_deref() == Some(&stable)
        {
            of.variant = "v2".into();
        }
    });
    assert_eq!(strange, ["I7"]);
    assert_eq!(broken(vec![asked(1_020, &canary, "v1", Some(200))]), ["I7"]);
    // Not where the sidecar says that something went wrong.
    let mut rescued = good();
    rescued.push(asked(1_020, &canary, "v1", Some(200)));
    for record in &mut rescued {
        if let What::Held(of) = &mut record.what {
            of.astray = u64::from(record.at_ms > T0 + 1_000);
        }
    }
    assert_eq!(of(rescued), [] as [&str; 0]);
}

#[test]
fn i8_what_is_counted_twice_or_made_up_is_found() {
    let with = |stable, canary| {
        changed(|what| {
            if let What::Merged {
                stable: s,
                canary: c,
                ..
            } = what
            {
                (*s, *c) = (stable, canary);
            }
        })
    };
    assert_eq!(with(120, 30), ["I8"]);
    assert_eq!(with(40, 10), ["I8"]);
    // More than users sent, whoever reported it.
    let mut sent = good();
    sent.retain(|record| !matches!(record.what, What::Asked(_)));
    assert_eq!(of(sent), ["I8"]);
    assert_eq!(broken(vec![reported(5_300, 2, 41, 10)]), ["I8"]);
}

#[test]
fn i9_half_a_report_is_found() {
    let half = changed(|what| {
        if let What::Merged { canary, .. } = what {
            *canary = 10;
        }
    });
    assert_eq!(half, ["I9"]);
}

#[test]
fn i10_another_decision_is_found() {
    let other = changed(|what| {
        if let What::Redecided { difference, .. } = what {
            *difference = "ROLL_BACK, was ADVANCE".into();
        }
    });
    assert_eq!(other, ["I10"]);
}

#[test]
fn i11_a_hole_in_what_was_watched_is_found() {
    assert_eq!(broken(vec![watched(0, 4, 28)]), ["I11"]);
    assert_eq!(broken(vec![watched(2, 4, 28)]), [] as [&str; 0]);
}

#[test]
fn i12_a_long_queue_is_found() {
    let mut long = held(12_100, [1, 1, 5], 2, 500_000);
    if let What::Held(of) = &mut long.what {
        of.waiting = 241;
    }
    assert_eq!(broken(vec![long]), ["I12"]);
}

#[test]
fn i13_who_is_left_behind_and_what_is_stuck_are_found() {
    let behind = changed(|what| {
        if let What::Follows { current, .. } = what {
            *current = false;
        }
    });
    assert_eq!(behind, ["I13"]);
    let undecided = |state: &str| {
        changed(|what| {
            if let What::Left {
                state: s,
                decided_ms,
                ..
            } = what
            {
                (*s, *decided_ms) = (state.to_owned(), T0 - 60_000);
            }
        })
    };
    assert_eq!(undecided("RUNNING"), ["I13"]);
    assert_eq!(undecided("HELD"), [] as [&str; 0]);
    let mut dead = good();
    dead.push(fault(9_500, Fault::Killed, "s"));
    for record in &mut dead {
        if let What::Follows { connected, .. } = &mut record.what {
            *connected = false;
        }
    }
    assert_eq!(of(dead), [] as [&str; 0]);
}

fn fault(ms: u64, fault: Fault, who: &str) -> Record {
    let who = who.to_owned();
    at(ms, What::Fault { fault, who })
}

#[test]
fn i14_a_failed_call_is_found_unless_the_sidecar_or_stable_is_broken() {
    let failed = || asked(2_020, "user", "v1", Some(502));
    let silent = || asked(2_020, "user", "", None);
    let stopped = || fault(1_900, Fault::Stopped, "control-plane");
    assert_eq!(broken(vec![stopped(), failed()]), ["I14"]);
    assert_eq!(broken(vec![stopped(), silent()]), ["I14"]);
    let killed = || fault(1_900, Fault::Killed, "s");
    assert_eq!(broken(vec![killed(), silent()]), [] as [&str; 0]);
    let back = fault(1_910, Fault::Started, "s");
    assert_eq!(
        broken(vec![
            fault(1_000, Fault::Killed, "s"),
            Record {
                at_ms: T0 + 1_100,
                ..back
            },
            silent()
        ]),
        ["I14"]
    );
    let failing = fault(1_900, Fault::Failing, "v1");
    assert_eq!(broken(vec![failing, failed()]), [] as [&str; 0]);
    let canary = fault(1_900, Fault::Failing, "v2");
    assert_eq!(broken(vec![canary, failed()]), ["I14"]);
}

#[test]
fn a_restore_gives_up_what_came_after_the_copy_and_nothing_else() {
    let restored = |digest| {
        let mut trace = good();
        for revision in 1..=3 {
            let original = trace.iter().find_map(|record| match &record.what {
                What::Logged(of) if of.revision == revision => Some((record.at_ms, of.clone())),
                _ => None,
            });
            let (at_ms, of) = original.expect("it is in the log");
            let of = Logged {
                generation: 2,
                digest: of.digest + digest,
                ..of
            };
            trace.push(Record {
                at_ms,
                what: What::Logged(of),
            });
        }
        let mut back = logged(4, 12_000, Change::Restored { revision: 3 });
        if let What::Logged(of) = &mut back.what {
            (of.generation, of.digest, of.rollout) = (2, 1, String::new());
        }
        trace.push(back);
        // Acknowledged in the old history, after the copy was made.
        trace.push(at(
            9_000,
            What::Acknowledged {
                generation: 1,
                rollout: "r".into(),
                revision: 5,
                request_id: "late".into(),
            },
        ));
        of(trace)
    };
    assert_eq!(restored(0), [] as [&str; 0]);
    assert_eq!(restored(1), ["I2"]);
}
