//! I1 to I6: the log, and what sidecars hold by it.

use super::*;

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
