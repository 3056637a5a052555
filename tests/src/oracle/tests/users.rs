//! I7 to I14: what users got, what was counted, how it ended.

use super::*;

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
fn a_store_that_is_read_twice_is_counted_once() {
    let early = Record {
        at_ms: T0 + 9_000,
        ..merged(70, 15)
    };
    assert_eq!(broken(vec![early]), [] as [&str; 0]);
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
