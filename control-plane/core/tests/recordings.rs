//! Recordings of older engines stay readable.

use serinus_core::replay::{Outcome, Recording, replay, what_if};
use serinus_proto::v1::{self, event::Kind};

/// A rollout that engine version 1 recorded: a step, then a canary whose error rate rose to 30 %.
const VERSION_1: &[u8] = include_bytes!("data/recording-v1.bin");

#[test]
fn version_1_is_readable() {
    let recording = Recording::read(VERSION_1).unwrap();
    assert_eq!(recording.engine_version(), 1);
    assert_eq!(recording.events.len(), 23);
    assert_eq!(
        (recording.slices.len(), recording.label_slices.len()),
        (23, 21)
    );
    let replayed = replay(&recording).unwrap();
    let versions: Vec<u32> = replayed
        .decisions
        .iter()
        .map(|of| of.engine_version)
        .collect();
    assert!(versions.len() > 3 && versions.iter().all(|&version| version == 1));
    // It did not store what its looks knew: nothing is made again, and nothing is called broken.
    let untold = |of: &serinus_core::replay::Redecided| of.outcome == Outcome::NotStored;
    assert!(replayed.decisions.iter().all(untold));
    assert_eq!((replayed.reproduced(), replayed.broken()), (0, 0));
    let last = replayed.decisions.last().and_then(|of| of.events.last());
    let Some(Kind::RolledBack(back)) = last.and_then(|event| event.kind.as_ref()) else {
        panic!("{last:#?}");
    };
    assert_eq!(back.cause(), v1::Cause::Budget);
    assert!(back.decision.as_ref().unwrap().extra_errors_lower >= 50.0);
}

/// Its slices still fold, and the canary's errors still speak against it.
#[test]
fn version_1_can_be_judged_anew() {
    let recording = Recording::read(VERSION_1).unwrap();
    let plan = recording.plan().unwrap().clone();
    let found = what_if(&recording, &plan).unwrap();
    let errors = &found.guardrails[0].last;
    assert!(errors.canary_value > Some(0.1) && errors.stable_value < Some(0.01));
    assert_eq!(errors.verdict(), v1::Verdict::NeedMore);
    assert!(errors.log_e_rollback > 0.0 && errors.log_e_promote < 0.0);
    let told = found.limits.join("\n");
    assert!(told.contains("was not stored"), "{told}");
}
