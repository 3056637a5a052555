//! For each invariant, a trace that breaks it and one that does not.

mod orders;
mod users;

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
