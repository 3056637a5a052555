//! Stories that are recorded and made again.

mod other_plans;
mod story;

use super::*;
use crate::rollout::CommandKind;
use proptest::prelude::*;
use serinus_proto::v1;
use story::{Second, Story, plan};

fn seconds() -> impl Strategy<Value = Vec<Second>> {
    let command = prop_oneof![
        30 => Just(None),
        1 => Just(Some(CommandKind::Pause)),
        2 => Just(Some(CommandKind::Resume)),
    ];
    let fleet = prop_oneof![12 => Just(3u32), 1 => Just(2u32)];
    let second = (0..120u64, 0.0..0.3f64, 0.0..0.4f64, command, fleet);
    let second = second.prop_map(|(requests, errors, wrong, command, current)| Second {
        requests,
        errors,
        wrong,
        command,
        current,
    });
    prop::collection::vec(second, 5..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_is_made_again_bit_for_bit(seconds in seconds()) {
        let recording = Story::of(&seconds).recording();
        let replayed = replay(&recording).unwrap();
        for decision in &replayed.decisions {
            prop_assert_eq!(&decision.outcome, &Outcome::Same);
        }
        let looks = recording.events.iter().filter(|entry| entry.look.is_some()).count();
        prop_assert_eq!(replayed.decisions.len(), looks);
    }

    #[test]
    fn a_flipped_bit_in_a_slice_is_found(seconds in seconds(), at in any::<prop::sample::Index>()) {
        let mut recording = Story::of(&seconds).recording();
        let folded = folded_by_the_last_decision(&recording);
        prop_assume!(folded > 0);
        let slice = &mut recording.slices[at.index(folded)];
        let stable = slice.stable.as_mut().unwrap();
        stable.requests ^= 1 << 8;
        let replayed = replay(&recording).unwrap();
        prop_assert!(replayed.broken() > 0, "{:?}", replayed);
    }
}

/// Slices of which a decision with all its counts is in the log; a change of a verdict shows one guardrail only.
fn folded_by_the_last_decision(recording: &Recording) -> usize {
    let decides = |entry: &&v1::RecordedEvent| {
        let kind = entry.event.as_ref().and_then(|event| event.kind.as_ref());
        match kind {
            Some(v1::event::Kind::DecisionMade(made)) => made.decision.is_some(),
            Some(v1::event::Kind::RolledBack(back)) => back.decision.is_some(),
            _ => false,
        }
    };
    let decision = recording.events.iter().rfind(decides);
    let revision = decision
        .and_then(|entry| entry.event.as_ref())
        .map_or(0, |event| event.revision);
    let looks = recording.events.iter().filter(|entry| {
        entry
            .event
            .as_ref()
            .is_some_and(|event| event.revision <= revision)
    });
    let last = looks.filter_map(|entry| entry.look.as_ref()).next_back();
    last.map_or(0, |look| look.slices as usize)
}

fn steady(errors: f64, wrong: f64) -> Vec<Second> {
    let second = Second {
        requests: 200,
        errors,
        wrong,
        command: None,
        current: 3,
    };
    vec![second; 80]
}

#[test]
fn a_harmful_canary_is_rolled_back_again() {
    let recording = Story::of(&steady(0.3, 0.1)).recording();
    let replayed = replay(&recording).unwrap();
    assert_eq!(replayed.reproduced(), replayed.decisions.len());
    let last = &replayed.decisions.last().unwrap().events;
    assert!(
        matches!(
            last.last().unwrap().kind,
            Some(v1::event::Kind::RolledBack(_))
        ),
        "{last:#?}"
    );
}

#[test]
fn what_differs_is_named() {
    let mut recording = Story::of(&steady(0.3, 0.1)).recording();
    let entry = recording.events.last_mut().unwrap();
    let Some(v1::event::Kind::RolledBack(back)) = &mut entry.event.as_mut().unwrap().kind else {
        panic!("{entry:#?}");
    };
    let decision = back.decision.as_mut().unwrap();
    let row = &mut decision.guardrails[0];
    row.log_e_rollback = f64::from_bits(row.log_e_rollback.to_bits() ^ 1);
    let replayed = replay(&recording).unwrap();
    assert_eq!((replayed.broken(), replayed.beyond()), (1, 0));
    let Outcome::Differs(differences) = &replayed.decisions.last().unwrap().outcome else {
        panic!("{replayed:#?}");
    };
    assert_eq!(differences.len(), 1, "{differences:#?}");
    assert!(
        differences[0]
            .field
            .ends_with("decision.guardrails[0].log_e_rollback")
    );
    assert_ne!(differences[0].recorded, differences[0].recomputed);
}

#[test]
fn another_engines_decision_is_not_held_against_this_one() {
    let mut recording = Story::of(&steady(0.3, 0.1)).recording();
    for entry in &mut recording.events {
        if let Some(look) = &mut entry.look {
            look.engine_version = 1;
        }
    }
    let replayed = replay(&recording).unwrap();
    // A decision says by which version it was made, so it is another one now; a change of a verdict alone does not.
    assert_eq!(replayed.broken(), 0);
    assert!(replayed.beyond() > 0);
}

#[test]
fn slices_that_are_missing_are_told() {
    let mut recording = Story::of(&steady(0.3, 0.1)).recording();
    recording.slices.truncate(1);
    let replayed = replay(&recording).unwrap();
    assert!(replayed.broken() > 0);
    let Outcome::Differs(differences) = &replayed.decisions.last().unwrap().outcome else {
        panic!("{replayed:#?}");
    };
    assert_eq!(differences[0].field, "slices");
    assert_eq!(differences[0].recomputed, "the recording holds 1");
}

#[test]
fn what_is_no_recording_is_refused() {
    assert!(matches!(
        replay(&Recording::default()),
        Err(ReplayError::NoBeginning)
    ));
    assert!(matches!(
        Recording::read(&[0xff; 4]),
        Err(ReplayError::NoRecording(_))
    ));
    let chunk = v1::RecordingChunk {
        slices: vec![vec![0xff; 4]],
        ..v1::RecordingChunk::default()
    };
    let error = Recording::default().absorb(chunk).unwrap_err();
    assert!(error.to_string().starts_with("slice 1 of"), "{error}");
    assert!(Story::of(&[]).recording().plan().is_ok());
    assert_eq!(Story::of(&[]).recording().plan().unwrap(), &plan());
}
