//! What the next commit will hold, and what may happen only after it.

use super::book::{Book, BookError};
use super::requests::Requests;
use crate::store::Batch;
use serinus_core::plan;
use serinus_core::rollout::timestamp;
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeSet;
use v1::event::Kind;

/// Something to do once the batch is on disk.
pub(super) type After = Box<dyn FnOnce() + Send>;

/// Who asked, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    pub(super) actor: String,
    pub(super) reason: String,
    /// Request id and digest of the command.
    pub(super) request: Option<(String, u64)>,
    /// What the look was told that led to it.
    pub(super) look: Option<v1::Look>,
}

impl Cause {
    /// The control plane's own decision.
    pub(super) fn own() -> Self {
        Self {
            actor: "serinus".to_owned(),
            ..Self::default()
        }
    }
}

/// The reader that an event needs: one that ignores an event of these would have another state.
fn min_reader(kind: &Kind) -> u32 {
    let restored = |held: &v1::Held| held.cause() == v1::Cause::Restored;
    let gated = |plan: Option<&v1::Plan>| plan.is_some_and(plan::has_gates);
    match kind {
        Kind::GateAsked(_) | Kind::GateAnswered(_) => 2,
        Kind::Created(created) if gated(created.plan.as_ref()) => 2,
        Kind::Queued(queued) if gated(queued.plan.as_ref()) => 2,
        Kind::Restored(_) => 1,
        Kind::Held(held) if restored(held) => 1,
        _ => 0,
    }
}

/// The batch being filled.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) batch: Batch,
    pub(super) after: Vec<After>,
    /// Rollouts that this batch rolls back: their latches go out early if the commit is slow.
    pub(super) rolled_back: Vec<String>,
    /// Incarnations whose taken sequence number has changed, by issuer number.
    pub(super) sources: BTreeSet<u32>,
    last_revision: u64,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("batch", &self.batch)
            .field("after", &self.after.len())
            .finish_non_exhaustive()
    }
}

impl Stage {
    /// After the events up to `last_revision`.
    pub(super) fn new(last_revision: u64) -> Self {
        Self {
            last_revision,
            ..Self::default()
        }
    }

    /// Revision of the last event, staged or on disk.
    pub(super) fn last_revision(&self) -> u64 {
        self.last_revision
    }

    /// Takes everything out, for the commit.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.last_revision))
    }

    /// Gives events their revisions, applies them and puts them into the batch.
    pub(super) fn emit(
        &mut self,
        book: &mut Book,
        requests: &mut Requests,
        (rollout, model): (&str, &str),
        cause: &Cause,
        kinds: Vec<Kind>,
        now_ms: u64,
    ) -> Result<(), BookError> {
        let mut look = cause.look.clone();
        for (part, kind) in kinds.into_iter().enumerate() {
            self.last_revision += 1;
            if matches!(kind, Kind::RolledBack(_)) {
                self.rolled_back.push(rollout.to_owned());
            }
            let min_reader = min_reader(&kind);
            let event = v1::Event {
                revision: self.last_revision,
                time: Some(timestamp(now_ms)),
                rollout: rollout.to_owned(),
                model: model.to_owned(),
                actor: cause.actor.clone(),
                reason: cause.reason.clone(),
                kind: Some(kind),
            };
            book.apply(&event, None)?;
            let run = book.runs.get_mut(rollout);
            let stable_history = run.and_then(|run| run.unsaved_history.take());
            let (request_id, request_digest) = cause.request.clone().unwrap_or_default();
            let part = u32::try_from(part).unwrap_or(u32::MAX);
            let record = stored::LogRecord {
                event: Some(event),
                request_id,
                request_digest,
                part,
                stable_history,
                look: look.take(),
                min_reader,
                audit: None,
            };
            requests.follow(&record);
            self.batch.records.push(record);
        }
        Ok(())
    }
}
