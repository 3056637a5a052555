use super::*;

fn assignment(model: &str, revision: u64, digest: u64) -> v1::Assignment {
    v1::Assignment {
        model: model.into(),
        rollout: format!("rollout of {model}"),
        fence: Some(v1::Fence {
            generation: 1,
            term: 1,
            revision,
        }),
        lease: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        digest,
        ..v1::Assignment::default()
    }
}

fn table(assignments: &[v1::Assignment]) -> Assignments {
    let by_model = assignments
        .iter()
        .map(|a| (a.model.clone(), Arc::new(a.clone())));
    Assignments {
        by_model: by_model.collect(),
        ..Assignments::default()
    }
}

fn hello(models: &[&str], held: &[&str]) -> v1::Hello {
    let held = held.iter().map(|model| v1::HeldAssignment {
        model: (*model).into(),
        ..v1::HeldAssignment::default()
    });
    v1::Hello {
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        held: held.collect(),
        ..v1::Hello::default()
    }
}

fn ack(nonce: u64, results: &[(&str, Outcome)]) -> v1::Ack {
    let results = results.iter().map(|(model, outcome)| v1::AckResult {
        model: (*model).into(),
        outcome: (*outcome).into(),
        ..v1::AckResult::default()
    });
    v1::Ack {
        nonce,
        results: results.collect(),
    }
}

fn models(push: &v1::Push) -> Vec<&str> {
    push.assignments
        .iter()
        .map(|assignment| assignment.model.as_str())
        .collect()
}

#[test]
fn the_first_push_is_everything_and_takes_away_what_is_gone() {
    let mut pusher = Pusher::new(&hello(&["a", "b"], &["b", "old"]));
    let table = table(&[
        assignment("a", 1, 1),
        assignment("b", 2, 2),
        assignment("other", 3, 3),
    ]);
    let push = pusher.next(&table, Instant::now()).unwrap();
    assert_eq!((push.nonce, push.snapshot_complete), (1, true));
    assert_eq!(models(&push), ["a", "b"]);
    assert_eq!(push.removed, ["old"]);
}

#[test]
fn an_empty_first_push_completes_the_snapshot_too() {
    let mut pusher = Pusher::new(&hello(&["a"], &[]));
    let push = pusher
        .next(&Assignments::default(), Instant::now())
        .unwrap();
    assert!(push.snapshot_complete && push.assignments.is_empty() && push.removed.is_empty());
    assert_eq!(
        pusher.acknowledge(&ack(1, &[])),
        Answer::Current {
            applied: 0,
            rejected: 0,
            stale: 0,
        }
    );
    assert_eq!(pusher.next(&Assignments::default(), Instant::now()), None);
}

#[test]
fn one_push_is_in_flight_and_changes_collapse() {
    let now = Instant::now();
    let mut pusher = Pusher::new(&hello(&["a"], &[]));
    pusher.next(&table(&[assignment("a", 1, 1)]), now).unwrap();
    assert_eq!(pusher.deadline(), Some(now + ACK_WITHIN));
    for revision in 2..9 {
        assert_eq!(
            pusher.next(&table(&[assignment("a", revision, revision)]), now),
            None
        );
    }
    let last = table(&[assignment("a", 9, 9)]);
    assert_eq!(
        pusher.acknowledge(&ack(7, &[("a", Outcome::Applied)])),
        Answer::Old
    );
    assert_eq!(pusher.next(&last, now), None);
    pusher.acknowledge(&ack(1, &[("a", Outcome::Applied)]));
    assert_eq!(pusher.deadline(), None);
    let push = pusher.next(&last, now).unwrap();
    assert_eq!(
        (
            push.nonce,
            push.assignments[0].digest,
            push.snapshot_complete
        ),
        (2, 9, false)
    );
    pusher.acknowledge(&ack(2, &[("a", Outcome::Applied)]));
    assert_eq!(pusher.next(&last, now), None);
    assert_eq!(pusher.acknowledge(&ack(2, &[])), Answer::Old);
}

#[test]
fn what_was_refused_is_never_sent_again() {
    let now = Instant::now();
    let mut pusher = Pusher::new(&hello(&["a", "b"], &[]));
    let bad = table(&[assignment("a", 1, 66), assignment("b", 1, 1)]);
    pusher.next(&bad, now).unwrap();
    let answer = pusher.acknowledge(&ack(
        1,
        &[("a", Outcome::Rejected), ("b", Outcome::Applied)],
    ));
    assert_eq!(
        answer,
        Answer::Current {
            applied: 1,
            rejected: 1,
            stale: 0,
        }
    );
    assert_eq!(pusher.next(&bad, now), None);
    // The same content under a newer fence is still what it refused.
    assert_eq!(
        pusher.next(
            &table(&[assignment("a", 2, 66), assignment("b", 1, 1)]),
            now
        ),
        None
    );
    let push = pusher
        .next(
            &table(&[assignment("a", 3, 67), assignment("b", 1, 1)]),
            now,
        )
        .unwrap();
    assert_eq!(models(&push), ["a"]);
    pusher.acknowledge(&ack(2, &[("a", Outcome::Applied)]));
    assert_eq!(pusher.next(&bad, now), None);
}

#[test]
fn a_model_that_goes_is_removed_once() {
    let now = Instant::now();
    let mut pusher = Pusher::new(&hello(&["a"], &[]));
    let there = table(&[assignment("a", 1, 1)]);
    pusher.next(&there, now).unwrap();
    pusher.acknowledge(&ack(1, &[("a", Outcome::Applied)]));
    let push = pusher.next(&Assignments::default(), now).unwrap();
    assert_eq!(
        (push.removed.as_slice(), push.assignments.len()),
        (&["a".to_owned()][..], 0)
    );
    pusher.acknowledge(&ack(2, &[]));
    assert_eq!(pusher.next(&Assignments::default(), now), None);
    assert_eq!(models(&pusher.next(&there, now).unwrap()), ["a"]);
}

#[test]
fn heartbeats_name_what_is_held_and_still_wanted() {
    let now = Instant::now();
    let mut pusher = Pusher::new(&hello(&["a", "b", "c"], &[]));
    let unleased = v1::Assignment {
        lease: None,
        ..assignment("c", 1, 3)
    };
    let first = [assignment("a", 1, 1), assignment("b", 1, 2), unleased];
    pusher.next(&table(&first), now).unwrap();
    assert!(pusher.heartbeat(&table(&first)).leases.is_empty());
    let results = [
        ("a", Outcome::Applied),
        ("b", Outcome::Rejected),
        ("c", Outcome::Applied),
    ];
    pusher.acknowledge(&ack(1, &results));
    let leases = pusher.heartbeat(&table(&first)).leases;
    assert_eq!(leases.len(), 1);
    assert_eq!(
        (leases[0].model.as_str(), leases[0].rollout.as_str()),
        ("a", "rollout of a")
    );
    let taken_back = [assignment("a", 2, 9), assignment("b", 1, 2)];
    assert!(pusher.heartbeat(&table(&taken_back)).leases.is_empty());
}

#[test]
fn heartbeats_come_four_times_a_lease() {
    let mut pusher = Pusher::new(&hello(&["a"], &[]));
    assert_eq!(pusher.heartbeat_after(0.0), Duration::from_secs(15));
    assert_eq!(pusher.heartbeat_after(1.0), Duration::from_secs(18));
    assert_eq!(pusher.heartbeat_after(-5.0), Duration::from_secs(12));
    let lease = Some(prost_types::Duration {
        seconds: 2,
        nanos: 0,
    });
    let short = v1::Assignment {
        lease,
        ..assignment("a", 1, 1)
    };
    pusher.next(&table(&[short]), Instant::now()).unwrap();
    pusher.acknowledge(&ack(1, &[("a", Outcome::Applied)]));
    assert_eq!(pusher.heartbeat_after(0.0), Duration::from_millis(500));
}

#[test]
fn a_sidecar_that_is_not_selected_gets_stable_and_no_lease() {
    let ring = v1::Selector {
        labels: [(
            "ring".to_owned(),
            v1::OneOf {
                values: vec!["0".into()],
            },
        )]
        .into(),
    };
    let mut table = table(&[assignment("a", 1, 10)]);
    let others = v1::Assignment {
        rollout: String::new(),
        lease: None,
        ..assignment("a", 1, 20)
    };
    let narrowed = crate::engine::Narrowed {
        selector: ring,
        others: Arc::new(others),
    };
    table.narrowed.insert("a".into(), narrowed);
    let mut digests = Vec::new();
    for value in ["0", "1"] {
        let hello = v1::Hello {
            labels: [("ring".to_owned(), value.to_owned())].into(),
            ..hello(&["a"], &[])
        };
        let mut pusher = Pusher::new(&hello);
        let push = pusher.next(&table, Instant::now()).unwrap();
        digests.push(push.assignments[0].digest);
        pusher.acknowledge(&ack(1, &[("a", Outcome::Applied)]));
        let leases = pusher.heartbeat(&table).leases.len();
        assert_eq!(leases, usize::from(value == "0"), "{value}");
    }
    assert_eq!(digests, [10, 20]);
}

#[test]
fn heartbeats_say_what_is_thought_to_be_held() {
    let now = Instant::now();
    let of = |revision, digest| {
        let fence = Fence {
            generation: 1,
            term: 1,
            revision,
        };
        Some(digest::of_held([("a", fence, digest)]))
    };
    let there = table(&[assignment("a", 2, 20)]);
    let mut hello = hello(&["a"], &["a"]);
    hello.held[0].digest = 10;
    hello.held[0].fence = assignment("a", 1, 10).fence;
    let mut pusher = Pusher::new(&hello);
    let said = |pusher: &Pusher| pusher.heartbeat(&there).state_digest;
    assert_eq!(said(&pusher), of(1, 10), "what it brought");
    pusher.next(&there, now).unwrap();
    assert_eq!(
        said(&pusher),
        None,
        "nobody knows while a push is under way"
    );
    pusher.acknowledge(&ack(1, &[("a", Outcome::Rejected)]));
    assert_eq!(said(&pusher), of(1, 10), "it keeps what it had");
    let later = table(&[assignment("a", 3, 30)]);
    pusher.next(&later, now).unwrap();
    pusher.acknowledge(&ack(2, &[("a", Outcome::Warming)]));
    assert_eq!(said(&pusher), of(3, 30));
    pusher.next(&Assignments::default(), now).unwrap();
    pusher.acknowledge(&ack(3, &[]));
    assert_eq!(said(&pusher), Some(digest::of_held([])));
}

#[test]
fn who_holds_something_else_is_sent_everything_but_what_it_refused() {
    let now = Instant::now();
    let mut pusher = Pusher::new(&hello(&["a", "b"], &[]));
    let there = table(&[assignment("a", 1, 1), assignment("b", 1, 66)]);
    pusher.next(&there, now).unwrap();
    let results = [("a", Outcome::Applied), ("b", Outcome::Rejected)];
    pusher.acknowledge(&ack(1, &results));
    let held = v1::HeldAssignment {
        model: "old".into(),
        ..v1::HeldAssignment::default()
    };
    pusher.resync(&[held]);
    let push = pusher.next(&there, now).unwrap();
    assert_eq!((push.nonce, push.snapshot_complete), (2, true));
    assert_eq!(
        (models(&push), push.removed.clone()),
        (vec!["a"], vec!["old".to_owned()])
    );
    assert_eq!(pusher.acknowledge(&ack(1, &results)), Answer::Old);
    pusher.acknowledge(&ack(2, &[("a", Outcome::Applied)]));
    assert_eq!(pusher.next(&there, now), None);
}

#[test]
fn a_sender_that_is_out_of_date_is_told_from_content_that_is_bad() {
    let now = Instant::now();
    let mut pusher = Pusher::new(&hello(&["a"], &[]));
    pusher.next(&table(&[assignment("a", 1, 5)]), now).unwrap();
    let mut stale = ack(1, &[("a", Outcome::Rejected)]);
    stale.results[0].stale_fence = true;
    let expected = Answer::Current {
        applied: 0,
        rejected: 0,
        stale: 1,
    };
    assert_eq!(pusher.acknowledge(&stale), expected);
    // The same content under a later fence may be sent.
    let later = table(&[assignment("a", 2, 5)]);
    assert!(pusher.next(&later, now).is_some());
}
