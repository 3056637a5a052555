use super::*;
use crate::store::{Batch, Store as _};
use serinus_core::replay::{Outcome, Recording, replay};
use serinus_proto::stored::v1 as stored;
use tonic::{Code, Status};

/// Reads a recording to its end, and how many chunks it had.
async fn fetch(harness: &Harness, rollout: &str) -> Result<(Recording, usize), Status> {
    let request = v1::GetRecordingRequest {
        rollout: rollout.to_owned(),
    };
    let mut stream = harness
        .rollouts()
        .get_recording(request)
        .await?
        .into_inner();
    let (mut recording, mut chunks) = (Recording::default(), 0);
    while let Some(chunk) = stream.message().await? {
        recording.absorb(chunk).unwrap();
        chunks += 1;
    }
    Ok((recording, chunks))
}

/// Waits until the engine has decided something by itself: that no sidecar is connected.
async fn decided(harness: &Harness, rollout: &v1::Rollout) -> Recording {
    loop {
        let (recording, _) = fetch(harness, &rollout.id).await.unwrap();
        if recording.events.iter().any(|entry| entry.look.is_some()) {
            return recording;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_recording_holds_one_rollout_and_replays() {
    let harness = Harness::start().await;
    let (first, second) = (harness.apply("m").await, harness.apply("n").await);
    let recording = decided(&harness, &second).await;
    assert_eq!(recording.header.rollout, second.id);
    let events = recording
        .events
        .iter()
        .map(|entry| entry.event.as_ref().unwrap());
    for event in events {
        assert_eq!(event.rollout, second.id, "not of {}", first.id);
        assert!(event.revision <= recording.header.revision);
    }
    let replayed = replay(&recording).unwrap();
    assert!(!replayed.decisions.is_empty());
    assert!(
        replayed
            .decisions
            .iter()
            .all(|of| of.outcome == Outcome::Same),
        "{replayed:#?}"
    );
    // By its model too, and after its end.
    let rollback = command(&second, "rollback");
    harness.rollouts().rollback(rollback).await.unwrap();
    let (ended, _) = fetch(&harness, "n").await.unwrap();
    assert!(ended.events.len() > recording.events.len());
    let unknown = fetch(&harness, "nobody").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    harness.stop().await;
}

fn slices(rollout: &str, numbers: impl Iterator<Item = u64>) -> Batch {
    let slice = |number| stored::Slice {
        first_second: number,
        ..stored::Slice::default()
    };
    Batch {
        slices: numbers
            .map(|number| (rollout.to_owned(), number, slice(number)))
            .collect(),
        ..Batch::default()
    }
}

#[tokio::test]
async fn slices_come_in_chunks_in_order_and_a_hole_is_told() {
    let harness = Harness::start().await;
    let rollout = harness.apply("m").await;
    harness.store.commit(&slices(&rollout.id, 1..=600)).unwrap();
    let (recording, chunks) = fetch(&harness, &rollout.id).await.unwrap();
    let numbers: Vec<u64> = recording
        .slices
        .iter()
        .map(|slice| slice.first_second)
        .collect();
    assert_eq!(numbers, (1..=600).collect::<Vec<_>>());
    assert!(chunks >= 5, "{chunks} chunks");
    harness
        .store
        .commit(&slices(&rollout.id, 602..=602))
        .unwrap();
    let status = fetch(&harness, &rollout.id).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    assert!(status.message().contains("slice 601 of"), "{status:?}");
    harness.stop().await;
}
