use super::*;
use serinus_core::replay::{Difference, Outcome};

fn decided(revision: u64, outcome: Outcome, engine_version: u32) -> Redecided {
    let decision = v1::Decision {
        kind: v1::DecisionKind::Advance.into(),
        sentence: "ADVANCE to 50%: all\u{1b} is SAFE".into(),
        ..v1::Decision::default()
    };
    let made = v1::DecisionMade {
        decision: Some(decision),
    };
    Redecided {
        events: vec![v1::Event {
            revision,
            time: Some(prost_types::Timestamp {
                seconds: 12,
                nanos: 300_000_000,
            }),
            kind: Some(Kind::DecisionMade(made)),
            ..v1::Event::default()
        }],
        engine_version,
        outcome,
    }
}

fn text(decisions: Vec<Redecided>) -> String {
    let all = Replayed {
        decisions,
        slices: 1234,
        label_slices: 5,
    };
    replayed(&Recording::default(), &all)
}

#[test]
fn all_the_same_is_said_in_one_line() {
    let shown = text(vec![decided(7, Outcome::Same, ENGINE_VERSION)]);
    assert!(
        shown.contains("1,234 of 0 slices and 5 of 0 label slices folded"),
        "{shown}"
    );
    assert!(
        shown.contains("     7     +12.3s  same        ADVANCE to 50%: all  is SAFE\n"),
        "{shown}"
    );
    assert!(
        shown.ends_with("\n1 decision, all reproduced bit for bit\n"),
        "{shown}"
    );
}

#[test]
fn what_differs_stands_below_its_decision() {
    let differs = Outcome::Differs(vec![Difference {
        field: "events[0].decision.log_e_rollback".into(),
        recorded: "1.5".into(),
        recomputed: "1.25".into(),
    }]);
    let shown = text(vec![
        decided(7, Outcome::Same, ENGINE_VERSION),
        decided(8, differs, ENGINE_VERSION),
    ]);
    assert!(shown.contains("DIFFERS     ADVANCE"), "{shown}");
    assert!(
        shown.contains(" events[0].decision.log_e_rollback: recorded 1.5, made again 1.25\n"),
        "{shown}"
    );
    assert!(
        shown.contains("2 decisions, 1 reproduced bit for bit; 1 DIFFER"),
        "{shown}"
    );
}

#[test]
fn another_version_is_named() {
    let shown = text(vec![decided(7, Outcome::NotStored, 1)]);
    let told = format!(
        "decided by engine version 1; this is {ENGINE_VERSION}: the record is readable, a recomputation may differ\n"
    );
    assert!(shown.contains(&told), "{shown}");
    assert!(shown.contains("not stored: what"), "{shown}");
}
