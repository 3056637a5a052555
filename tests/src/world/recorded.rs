//! What the store holds of a rollout, and every decision of it made again.

use super::World;
use anyhow::{Result, ensure};
use prost::Message as _;
use serinus_control_plane::store::Store;
use serinus_core::replay::{Outcome, Recording, replay};
use serinus_proto::v1::{self, event::Kind};

/// The recording of a rollout.
///
/// # Errors
/// If the store cannot be read.
pub fn recording(world: &World, id: &str) -> Result<Recording> {
    recording_of(&*world.store, id)
}

/// The recording of a rollout in a store.
///
/// # Errors
/// If it cannot be read.
pub fn recording_of(store: &(impl Store + ?Sized), id: &str) -> Result<Recording> {
    let records = store.records(0, usize::MAX)?;
    let events = records.into_iter().map(|record| v1::RecordedEvent {
        event: record.event,
        look: record.look,
        part: record.part,
        stable_history: record
            .stable_history
            .map(|known| known.encode_to_vec())
            .unwrap_or_default(),
    });
    let of_rollout = |entry: &v1::RecordedEvent| {
        let event = entry.event.as_ref();
        event.is_some_and(|event| {
            event.rollout == id && !matches!(event.kind, Some(Kind::Queued(_)))
        })
    };
    let slices = store.slices(id, 0, usize::MAX)?;
    let label_slices = store.label_slices(id, 0, usize::MAX)?;
    Ok(Recording {
        header: v1::RecordingHeader::default(),
        events: events.filter(of_rollout).collect(),
        slices: slices.into_iter().map(|(_, slice)| slice).collect(),
        label_slices: label_slices.into_iter().map(|(_, slice)| slice).collect(),
    })
}

/// Makes every decision again; how many there were.
///
/// # Errors
/// If one is not the same, to the last bit.
pub fn redecide(recording: &Recording) -> Result<usize> {
    let replayed = replay(recording)?;
    for decision in &replayed.decisions {
        ensure!(decision.outcome == Outcome::Same, "{decision:#?}");
    }
    // Whatever the control plane did by itself came from a look that is there.
    let looks = recording.events.iter().filter(|entry| entry.look.is_some());
    ensure!(replayed.decisions.len() == looks.count());
    Ok(replayed.decisions.len())
}
