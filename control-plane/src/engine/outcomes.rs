//! Outcomes: verified, counted once, joined with the second of their prediction.

use super::book::Book;
use super::fleet::Fleet;
use super::seen::Seen;
use crate::store::{Store, StoreError};
use serinus_common::prediction_id::PredictionId;
use serinus_core::evidence::outcome_name;
use serinus_core::ledger::labels::Taken;
use serinus_proto::v1;
use uuid::Uuid;
use v1::OutcomeStatus as Status;

/// Answers that no variant is judged by (rescued, diverted, chosen by header) carry this bit in their variant.
const NOT_JUDGED: u8 = 0x80;

/// Takes one outcome.
pub(super) fn take(
    book: &mut Book,
    fleet: &Fleet,
    seen: &mut Seen,
    store: &dyn Store,
    outcome: &v1::Outcome,
    now_ms: u64,
) -> Result<Status, StoreError> {
    let Some(id) = verified(fleet, &outcome.prediction_id) else {
        return Ok(Status::BadId);
    };
    if !(0.0..=1.0).contains(&outcome.value) {
        return Ok(Status::BadValue);
    }
    let rollout = Uuid::from_bytes(id.rollout).to_string();
    if book.finished.contains_key(&rollout) || id.rollout == [0; 16] {
        return Ok(Status::Expired);
    }
    let Some(run) = book.runs.get_mut(&rollout) else {
        return Ok(Status::BadId);
    };
    let guardrails = &run.rollout.plan.guardrails;
    let index = guardrails
        .iter()
        .position(|g| outcome_name(g) == Some(outcome.metric.as_str()));
    let Some(index) = index.and_then(|index| u32::try_from(index).ok()) else {
        return Ok(Status::UnknownMetric);
    };
    let bit = seen.bit(&id, index, outcome.row, store)?;
    if bit.is_set() {
        return Ok(Status::Duplicate);
    }
    if id.variant & NOT_JUDGED == 0 {
        // In 0..=1 by the check above.
        let ppm = (outcome.value * 1e6).round() as u32;
        let taken = run.label(
            id.issuer.into(),
            index,
            id.epoch.into(),
            id.second.into(),
            now_ms,
            id.variant > 0,
            ppm,
        );
        if taken == Taken::Expired {
            return Ok(Status::Expired);
        }
    }
    bit.set();
    Ok(Status::Joined)
}

fn verified(fleet: &Fleet, text: &str) -> Option<PredictionId> {
    let unverified = PredictionId::parse(text).ok()?;
    let source = fleet.issuer(unverified.issuer())?;
    unverified.verify(&source.key).ok()
}
