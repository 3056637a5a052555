//! What can be seen from outside: rebuilt after each commit, shared by reference.

use super::book::Book;
use super::fleet::{Sidecar, fence_to_wire};
use super::handle::{Assignments, Views};
use super::run::Run;
use super::{Engine, assign};
use crate::metrics::LATCHES;
use crate::store::Shortage;
use serinus_common::fence::Fence;
use serinus_core::freeze::Freezes;
use serinus_core::rollout;
use serinus_core::selector::selects;
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// The sending ends.
#[derive(Debug)]
pub(super) struct Published {
    views: watch::Sender<Arc<Views>>,
    assignments: watch::Sender<Arc<Assignments>>,
    revision: watch::Sender<u64>,
    latches: broadcast::Sender<v1::Latch>,
    shortage: watch::Sender<Option<Shortage>>,
}

impl Published {
    pub(super) fn new() -> Self {
        Self {
            views: watch::Sender::default(),
            assignments: watch::Sender::default(),
            revision: watch::Sender::default(),
            latches: broadcast::Sender::new(256),
            shortage: watch::Sender::default(),
        }
    }

    pub(super) fn views(&self) -> watch::Receiver<Arc<Views>> {
        self.views.subscribe()
    }

    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn assignments(&self) -> watch::Receiver<Arc<Assignments>> {
        self.assignments.subscribe()
    }

    pub(super) fn latches(&self) -> broadcast::Receiver<v1::Latch> {
        self.latches.subscribe()
    }

    pub(super) fn latch_sender(&self) -> broadcast::Sender<v1::Latch> {
        self.latches.clone()
    }

    pub(super) fn shortage(&self) -> watch::Receiver<Option<Shortage>> {
        self.shortage.subscribe()
    }

    pub(super) fn short_of_room(&self, now: Option<&Shortage>) {
        self.shortage.send_if_modified(|held| {
            let changed = held.as_ref() != now;
            if changed {
                *held = now.cloned();
            }
            changed
        });
    }

    /// Tells every connected sidecar to stop these rollouts' canaries.
    pub(super) fn latch(&self, rollouts: &[String]) {
        metrics::counter!(LATCHES).increment(rollouts.len() as u64);
        for rollout in rollouts {
            // An error means that no sidecar is connected.
            let _ = self.latches.send(v1::Latch {
                rollout: rollout.clone(),
                variant: String::new(),
            });
        }
    }
}

/// What has changed since it was published last. With thousands of rollouts and sidecars, making everything anew at each
/// commit would be all that the engine does.
#[derive(Debug, Default)]
pub(super) struct Stale {
    pub(super) rollouts: BTreeSet<String>,
    models: BTreeSet<String>,
}

impl Stale {
    /// Everything, for a start.
    pub(super) fn all(book: &Book) -> Self {
        let rollouts = book.runs.keys().chain(book.finished.keys());
        let rollouts = rollouts.chain(book.waiting.keys());
        Self {
            rollouts: rollouts.cloned().collect(),
            models: book.models.keys().cloned().collect(),
        }
    }

    /// Follows what a commit holds. Says whether there is anything that must be seen at once.
    pub(super) fn follow(&mut self, records: &[stored::LogRecord]) -> bool {
        for event in records.iter().filter_map(|record| record.event.as_ref()) {
            if !event.rollout.is_empty() {
                self.rollouts.insert(event.rollout.clone());
            }
            self.models.insert(event.model.clone());
        }
        !records.is_empty()
    }
}

impl Engine {
    /// Lets what is on disk be seen; of the sidecars only in `thorough` turns.
    pub(super) fn publish(&mut self, now_ms: u64, thorough: bool) {
        let revision = self.stage.last_revision();
        let mut stale = std::mem::take(&mut self.stale);
        // What happens to one of them changes the places of the others.
        let queues = stale.models.iter().flat_map(|model| self.book.queue(model));
        let waiting: Vec<String> = queues.map(|waiting| waiting.id.clone()).collect();
        stale.rollouts.extend(waiting);
        self.assign(&stale.models);
        let views = Arc::new(self.views(&stale, now_ms, thorough));
        self.published.views.send_replace(views);
        self.published.revision.send_if_modified(|held| {
            let changed = *held != revision;
            *held = revision;
            changed
        });
    }

    /// Only events change what sidecars should hold.
    fn assign(&self, models: &BTreeSet<String>) {
        let held = self.published.assignments.borrow().clone();
        let mut assignments = Assignments::clone(&held);
        let mut changed = false;
        for name in models {
            let Some(new) = assign::of(&self.book, name, self.generation, self.term) else {
                continue;
            };
            let narrowed = assign::narrowed(&self.book, name, self.generation, self.term);
            if held.narrowed.get(name) != narrowed.as_ref() {
                assignments.narrowed.remove(name);
                let narrowed = narrowed.map(|of| (name.clone(), of));
                assignments.narrowed.extend(narrowed);
                changed = true;
            }
            let old = held.by_model.get(name);
            if old.is_none_or(|old| **old != new) {
                assignments.by_model.insert(name.clone(), Arc::new(new));
                changed = true;
            }
        }
        if changed {
            self.published
                .assignments
                .send_replace(Arc::new(assignments));
        }
    }

    fn views(&self, stale: &Stale, now_ms: u64, thorough: bool) -> Views {
        let before = self.published.views.borrow().clone();
        let mut views = Views::clone(&before);
        for id in &stale.rollouts {
            let view = self.rollout_view(id, now_ms);
            match view {
                Some(view) => views.rollouts.insert(id.clone(), Arc::new(view)),
                None => views.rollouts.remove(id),
            };
        }
        for name in &stale.models {
            let view = self.model_view(name);
            let view = view.map(|view| (name.clone(), Arc::new(view)));
            views.models.extend(view);
        }
        views.revision = self.stage.last_revision();
        views.shown_ms = now_ms;
        views.fence_regressed = self.book.regression(self.generation).cloned();
        if thorough {
            let sidecars = self.fleet.sidecars.iter();
            views.sidecars = sidecars
                .map(|(name, of)| (name.clone(), Arc::new(self.sidecar_view(name, of))))
                .collect();
        }
        views
    }

    /// A rollout as everybody sees it.
    pub(super) fn rollout_view(&self, id: &str, now_ms: u64) -> Option<v1::Rollout> {
        if let Some(run) = self.book.runs.get(id) {
            return Some(self.active_view(run, now_ms));
        }
        if let Some(waiting) = self.book.waiting.get(id) {
            let queue = self.book.queue(&waiting.model);
            let position = queue.iter().position(|of| of.id == waiting.id);
            let position = position.map_or(0, |at| at + 1);
            let mut view = waiting.view(u32::try_from(position).unwrap_or(u32::MAX));
            if position == 1 {
                let frozen = Freezes::of(&waiting.plan).at(now_ms);
                view.frozen_until = frozen.until_ms.map(rollout::timestamp);
            }
            return Some(view);
        }
        let finished = self.book.finished.get(id)?;
        let mut view = rollout::view(&finished.rollout);
        view.fence = Some(fence_to_wire(self.fence(finished.rollout.revision)));
        view.traffic = Some(finished.traffic);
        view.decision.clone_from(&finished.decision);
        Some(view)
    }

    fn active_view(&self, run: &Run, now_ms: u64) -> v1::Rollout {
        let mut view = rollout::view(&run.rollout);
        let model = &run.rollout.model;
        let assigned = self
            .book
            .models
            .get(model)
            .map_or(0, |model| model.assigned_at);
        let fence = self.fence(assigned);
        view.fence = Some(fence_to_wire(fence));
        view.fleet = match &run.fleet {
            Some(known) if known.of == (self.fleet.version(), fence) => Some(known.view.clone()),
            _ => {
                let selector = run.rollout.selector.as_ref();
                let of = (model.as_str(), run.cells.names().1);
                let quarantine = &self.book.quarantine;
                Some(self.fleet.view(of, fence, selector, quarantine))
            }
        };
        view.traffic = Some(run.activity.traffic(run.keys.exposed()));
        view.decision = run
            .facts
            .as_ref()
            .map(|facts| rollout::decision(&run.rollout, now_ms, facts));
        let here = run.activity.since_epoch(run.rollout.epoch);
        let n = here.canary.judged + here.stable.judged;
        view.achieved_share = (n > 0).then(|| here.canary.judged as f64 / n as f64);
        view
    }

    /// A model as everybody sees it.
    pub(super) fn model_view(&self, name: &str) -> Option<v1::Model> {
        let model = self.book.models.get(name)?;
        Some(v1::Model {
            name: name.to_owned(),
            stable: Some(model.stable.clone()),
            revision: model.revision,
            active_rollout: model.active.clone().unwrap_or_default(),
            latest_rollout: model.latest.clone().unwrap_or_default(),
            queued_rollouts: self
                .book
                .queue(name)
                .into_iter()
                .map(|waiting| waiting.id.clone())
                .collect(),
        })
    }

    /// One sidecar as everybody sees it, if it is known.
    pub(super) fn sidecar_named(&self, name: &str) -> Option<v1::SidecarInfo> {
        let sidecar = self.fleet.sidecars.get(name)?;
        Some(self.sidecar_view(name, sidecar))
    }

    fn sidecar_view(&self, name: &str, sidecar: &Sidecar) -> v1::SidecarInfo {
        let source = self.fleet.issuer(sidecar.issuer);
        v1::SidecarInfo {
            sidecar: name.to_owned(),
            incarnation: sidecar.incarnation,
            version: sidecar.version.clone(),
            connected: sidecar.session.is_some(),
            last_seen: Some(rollout::timestamp(sidecar.last_seen_ms)),
            models: sidecar
                .models
                .iter()
                .map(|model| self.sidecar_model(sidecar, model))
                .collect(),
            committed_seq: source.map_or(0, |source| source.taken_seq),
            labels: sidecar.labels.clone(),
            quarantined: self
                .book
                .quarantine
                .why(name, sidecar.incarnation)
                .unwrap_or_default()
                .to_owned(),
            ahead: sidecar.ahead,
        }
    }

    fn sidecar_model(&self, sidecar: &Sidecar, model: &str) -> v1::SidecarModel {
        let run = self.book.active(model);
        let wanted = self.fence(
            self.book
                .models
                .get(model)
                .map_or(0, |model| model.assigned_at),
        );
        let holding = sidecar.holding.get(model).cloned().unwrap_or_default();
        let canary = run.map_or("", |run| run.cells.names().1);
        let of = |is_canary: bool| {
            let here = sidecar
                .variants
                .iter()
                .filter(move |variant| variant.model == model);
            here.filter(move |variant| (variant.variant == canary) == is_canary)
        };
        let selector = run.and_then(|run| run.rollout.selector.as_ref());
        v1::SidecarModel {
            not_selected: !selects(selector, &sidecar.labels),
            model: model.to_owned(),
            rollout: run.map_or_else(String::new, |run| run.rollout.id.clone()),
            epoch: run.map_or(0, |run| run.rollout.epoch),
            current: holding.fence == wanted && !holding.warming,
            rejection: holding
                .rejection
                .map_or_else(String::new, |(_, detail)| detail),
            stable_ready: of(false).any(|variant| variant.ready),
            canary_ready: of(true).any(|variant| variant.ready),
            breaker_open: of(true).any(|variant| variant.breaker_open),
            reverted: holding.reverted || of(true).any(|variant| variant.reverted),
            warming: holding.warming,
            killed: of(true).any(|variant| variant.killed),
            stale: of(true).any(|variant| variant.stale),
            latched: of(true).any(|variant| variant.latched),
        }
    }

    /// The fence of what happened at a revision, signed by this term.
    pub(super) fn fence(&self, revision: u64) -> Fence {
        Fence {
            generation: self.generation,
            term: self.term,
            revision,
        }
    }
}
