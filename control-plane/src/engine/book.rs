//! Models and rollouts as the log made them.

use super::histories::Histories;
use super::quarantine::Quarantine;
use super::run::Run;
use serinus_core::ledger::keys::Keys;
use serinus_core::rollout::{self, Rollout, Waiting};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeMap;
use v1::event::Kind;

/// A model: its stable variant and its rollouts.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) stable: v1::Variant,
    /// Of the last change of the model itself.
    pub(super) revision: u64,
    /// Of the last event that changed what sidecars get.
    pub(super) assigned_at: u64,
    pub(super) active: Option<String>,
    pub(super) latest: Option<String>,
}

/// Everything that the log says. Active rollouts are runs, finished ones plain states.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) models: BTreeMap<String, Model>,
    pub(super) runs: BTreeMap<String, Run>,
    pub(super) finished: BTreeMap<String, Finished>,
    /// Rollouts that have not started: those that wait, and those that were taken out of the queue.
    pub(super) waiting: BTreeMap<String, Waiting>,
    pub(super) quarantine: Quarantine,
    /// The last proof that somebody else gives orders, or that history was lost.
    fence_regressed: Option<v1::FenceRegressed>,
    /// Not the log's to say: heard from sidecars since the start of this process.
    pub(super) histories: Histories,
}

/// A rollout that has ended, with what was measured of it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) rollout: Rollout,
    pub(super) traffic: v1::Traffic,
    pub(super) decision: Option<v1::Decision>,
    /// What is kept of its counts, until it is on disk.
    pub(super) unsaved: Option<stored::Pending>,
    /// Names of records that nobody needs any more, until they are gone.
    pub(super) ended_records: Vec<String>,
}

impl Finished {
    /// Takes back the totals that were stored at its end.
    pub(super) fn restore(&mut self, pending: &stored::Pending) {
        let mut keys = Keys::default();
        for of in &pending.keys {
            keys.absorb(of);
        }
        let totals = pending
            .totals
            .as_ref()
            .and_then(|totals| totals.traffic)
            .unwrap_or_default();
        self.traffic = v1::Traffic {
            exposed_users: keys.exposed(),
            ..totals
        };
    }
}

/// An event that does not fit what came before it.
#[derive(Debug, thiserror::Error)]
pub(super) enum BookError {
    #[error("revision {0}: a rollout was created that cannot be: {1}")]
    Created(u64, String),
    #[error("revision {0}: the event belongs to rollout {1}, which was never created")]
    Unknown(u64, String),
}

impl Book {
    /// Follows one event of the log. Of a rollout's creation that was stored, `known` is what was stored of stable.
    pub(super) fn apply(
        &mut self,
        event: &v1::Event,
        known: Option<&stored::StableHistory>,
    ) -> Result<(), BookError> {
        match &event.kind {
            Some(Kind::ModelChanged(changed)) => self.model_changed(event, changed),
            Some(Kind::Created(_)) => self.created(event, known.cloned())?,
            Some(Kind::Queued(_)) => self.queued(event)?,
            Some(Kind::Cancelled(_)) => self.cancelled(event)?,
            // What follows from it are events of the rollouts.
            Some(Kind::Restored(_)) => {}
            // About no rollout: of the fleet, or of a later version.
            Some(kind) if event.rollout.is_empty() => self.fleet_event(kind),
            None if event.rollout.is_empty() => {}
            _ => self.rollout_event(event)?,
        }
        Ok(())
    }

    fn fleet_event(&mut self, kind: &Kind) {
        if let Kind::FenceRegressed(of) = kind {
            self.fence_regressed = Some(of.clone());
        }
        self.quarantine.follow(kind);
    }

    /// What showed, in this generation, that a sidecar has a later instruction than any of ours. A new generation is
    /// later than whatever that was.
    pub(super) fn regression(&self, generation: u64) -> Option<&v1::FenceRegressed> {
        let shown = self.fence_regressed.as_ref();
        shown.filter(|of| {
            of.newest
                .is_some_and(|newest| newest.generation == generation)
        })
    }

    fn model_changed(&mut self, event: &v1::Event, changed: &v1::ModelChanged) {
        let stable = changed.stable.clone().unwrap_or_default();
        let known = self.stable_name(&event.model);
        if known.is_some_and(|name| name != stable.name) {
            self.histories.begin_anew(&event.model);
        }
        let model = self.models.entry(event.model.clone()).or_default();
        model.stable = stable;
        model.revision = event.revision;
        model.assigned_at = event.revision;
    }

    /// Name of a model's stable variant, if it has one.
    pub(super) fn stable_name(&self, model: &str) -> Option<&str> {
        let name = self.models.get(model)?.stable.name.as_str();
        Some(name).filter(|name| !name.is_empty())
    }

    /// What is known of a model's stable variant now.
    pub(super) fn known_of_stable(
        &self,
        model: &str,
        now_ms: u64,
    ) -> Option<stored::StableHistory> {
        self.histories.of(model)?.freeze(now_ms / 1000)
    }

    /// A model's requests per second, if they are known.
    pub(super) fn traffic_of(&self, model: &str, now_ms: u64) -> Option<f64> {
        self.histories.of(model)?.rate(now_ms / 1000)
    }

    fn created(
        &mut self,
        event: &v1::Event,
        known: Option<stored::StableHistory>,
    ) -> Result<(), BookError> {
        let bad = |why: String| BookError::Created(event.revision, why);
        let rollout =
            Rollout::from_created(event).ok_or_else(|| bad("it carries no plan".to_owned()))?;
        let is_new = known.is_none();
        let known = known.or_else(|| self.known_of_stable(&event.model, rollout.created_ms));
        let mut run = Run::new(rollout, known.as_ref()).map_err(|error| bad(error.to_string()))?;
        run.unsaved_history = known.filter(|_| is_new);
        self.waiting.remove(&event.rollout);
        let model = self.models.entry(event.model.clone()).or_default();
        model.active = Some(event.rollout.clone());
        model.latest = Some(event.rollout.clone());
        self.runs.insert(event.rollout.clone(), run);
        Ok(())
    }

    fn queued(&mut self, event: &v1::Event) -> Result<(), BookError> {
        let waiting = Waiting::from_queued(event).ok_or_else(|| {
            BookError::Created(event.revision, "what is queued carries no plan".to_owned())
        })?;
        self.waiting.insert(waiting.id.clone(), waiting);
        Ok(())
    }

    fn cancelled(&mut self, event: &v1::Event) -> Result<(), BookError> {
        let id = &event.rollout;
        let waiting = self.waiting.get_mut(id);
        let unknown = || BookError::Unknown(event.revision, id.clone());
        waiting.ok_or_else(unknown)?.apply(event);
        Ok(())
    }

    /// Those that wait for a model, the next one first.
    pub(super) fn queue(&self, model: &str) -> Vec<&Waiting> {
        let of = self.waiting.values();
        let mut queue: Vec<&Waiting> = of
            .filter(|waiting| waiting.model == model && waiting.is_queued())
            .collect();
        queue.sort_by_key(|waiting| waiting.revision);
        queue
    }

    fn rollout_event(&mut self, event: &v1::Event) -> Result<(), BookError> {
        let mut held_back = false;
        if let Some(run) = self.runs.get_mut(&event.rollout) {
            held_back = run.rollout.cause == v1::Cause::Reverted;
            run.apply(event);
        } else if let Some(finished) = self.finished.get_mut(&event.rollout) {
            rollout::apply(&mut finished.rollout, event);
        } else {
            return Err(BookError::Unknown(event.revision, event.rollout.clone()));
        }
        let model = self.models.entry(event.model.clone()).or_default();
        match &event.kind {
            Some(Kind::SplitChanged(_) | Kind::SelectionChanged(_)) => {
                model.assigned_at = event.revision;
            }
            // Sidecars that went back to stable by themselves take nothing but a newer decision.
            Some(Kind::Resumed(_)) if held_back => model.assigned_at = event.revision,
            Some(Kind::Promoted(_) | Kind::RolledBack(_)) => {
                model.assigned_at = event.revision;
                model.active = None;
                self.finish(&event.rollout, event.kind.as_ref());
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, id: &str, kind: Option<&Kind>) {
        let Some(run) = self.runs.remove(id) else {
            return;
        };
        let decision = match kind {
            Some(Kind::Promoted(promoted)) => promoted.decision.clone(),
            Some(Kind::RolledBack(rolled_back)) => rolled_back.decision.clone(),
            _ => None,
        };
        // Without rates: nothing is sent any more.
        let traffic = v1::Traffic {
            exposed_users: run.keys.exposed(),
            ..run.activity.totals()
        };
        let unsaved = Some(stored::Pending {
            cells: Vec::new(),
            labels: Vec::new(),
            bad_cells: Vec::new(),
            ..run.pending()
        });
        let ended_records = run.source_records().collect();
        self.finished.insert(
            id.to_owned(),
            Finished {
                rollout: run.rollout,
                traffic,
                decision,
                unsaved,
                ended_records,
            },
        );
    }

    /// The active rollout of a model.
    pub(super) fn active(&self, model: &str) -> Option<&Run> {
        self.runs.get(self.models.get(model)?.active.as_ref()?)
    }

    /// Id of the rollout that a name means: an id, or a model with a rollout.
    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        let known = self.runs.contains_key(name) || self.finished.contains_key(name);
        if known || self.waiting.contains_key(name) {
            return Some(name.to_owned());
        }
        let model = self.models.get(name)?;
        model.active.clone().or_else(|| model.latest.clone())
    }

    /// The state of a rollout, active or finished.
    pub(super) fn rollout(&self, id: &str) -> Option<&Rollout> {
        let run = self.runs.get(id).map(|run| &run.rollout);
        run.or_else(|| self.finished.get(id).map(|finished| &finished.rollout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_generation_ends_a_regression() {
        let mut book = Book::default();
        let fence = |generation, revision| {
            Some(v1::Fence {
                generation,
                term: 1,
                revision,
            })
        };
        let shown = v1::FenceRegressed {
            sidecar: "a".into(),
            held: fence(1, 900),
            newest: fence(1, 5),
        };
        let event = v1::Event {
            revision: 6,
            kind: Some(Kind::FenceRegressed(shown.clone())),
            ..v1::Event::default()
        };
        book.apply(&event, None).unwrap();
        assert_eq!(book.regression(1), Some(&shown));
        assert_eq!(book.regression(2), None);
        // What a later version has to say about the fleet is nothing to stop at.
        book.apply(&v1::Event::default(), None).unwrap();
    }
}
