//! When what was folded, and what the recorded rollout did meanwhile.

use super::Passage;
use crate::plan::view;
use crate::replay::Recording;
use crate::rollout::millis;
use serinus_proto::v1;
use v1::event::Kind;

/// A second is closed about this long after its end.
const CLOSED_AFTER_MS: u64 = 1500;

/// What was folded up to some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) at_ms: u64,
    pub(super) slices: usize,
    pub(super) label_slices: usize,
}

/// Whether it was stored when each slice was folded.
pub(super) fn are_stored(recording: &Recording) -> bool {
    recording.slices.iter().all(|slice| slice.folded_ms > 0)
        && recording
            .label_slices
            .iter()
            .all(|slice| slice.folded_ms > 0)
}

/// Every time at which something was folded, ascending.
pub(super) fn batches(recording: &Recording, plan: &v1::Plan) -> Vec<Batch> {
    let mut times = Vec::new();
    let mut last = 0;
    for slice in &recording.slices {
        let closed = (slice.last_second + 1) * 1000 + CLOSED_AFTER_MS;
        last = stored_or(slice.folded_ms, closed).max(last);
        times.push((last, false));
    }
    last = 0;
    for slice in &recording.label_slices {
        let guardrail = plan.guardrails.get(slice.guardrail as usize);
        let window = guardrail.and_then(view::label_window).unwrap_or_default();
        let end_ms = slice.first_second * 1000 + (slice.seconds * 1000.0) as u64;
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let sealed = end_ms.saturating_add(window_ms) + CLOSED_AFTER_MS;
        last = stored_or(slice.folded_ms, sealed).max(last);
        times.push((last, true));
    }
    times.sort_by_key(|&(at_ms, labels)| (at_ms, labels));
    gather(&times)
}

fn stored_or(stored_ms: u64, estimate_ms: u64) -> u64 {
    if stored_ms > 0 {
        stored_ms
    } else {
        estimate_ms
    }
}

fn gather(times: &[(u64, bool)]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let (mut slices, mut label_slices) = (0, 0);
    for &(at_ms, labels) in times {
        slices += usize::from(!labels);
        label_slices += usize::from(labels);
        let batch = Batch {
            at_ms,
            slices,
            label_slices,
        };
        match batches.last_mut() {
            Some(last) if last.at_ms == at_ms => *last = batch,
            _ => batches.push(batch),
        }
    }
    batches
}

/// Steps entered, stops and ends of the recorded rollout.
pub(super) fn passages(recording: &Recording) -> Vec<Passage> {
    let events = recording
        .events
        .iter()
        .filter_map(|entry| entry.event.as_ref());
    let matters = |event: &&v1::Event| {
        matches!(
            event.kind,
            Some(
                Kind::StepEntered(_)
                    | Kind::SplitChanged(_)
                    | Kind::Paused(_)
                    | Kind::Resumed(_)
                    | Kind::Held(_)
                    | Kind::BakeStarted(_)
                    | Kind::Promoted(_)
                    | Kind::RolledBack(_)
            )
        )
    };
    let passage = |event: &v1::Event| Passage {
        at_ms: event.time.as_ref().map_or(0, millis),
        event: event.clone(),
    };
    events.filter(matters).map(passage).collect()
}
