//! From disk to a running engine.

use super::book::Book;
use super::fleet::Fleet;
use super::handle::Handle;
use super::publish::{Published, Stale};
use super::requests::Requests;
use super::seen::Seen;
use super::stage::Stage;
use super::{Engine, time};
use crate::store::{Loaded, Store, StoreError};
use serinus_core::audit::Head;
use serinus_evidence::ENGINE_VERSION;
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;

/// Entries of the log that are read at a time.
const PAGE: usize = 1000;
/// Before a checkpoint: among so many slices of labels is the last one of each guardrail.
const DOUBTED_LABELS: u64 = 64;

/// Messages that wait for the engine; a full mailbox makes callers wait.
const MAILBOX: usize = 4096;

/// Why the engine cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log does not fit together; it was not written by this version of Serinus, or was changed.
    #[error(
        "the event log does not fit together: {0}; restore a backup, or start with an empty data directory"
    )]
    Log(String),
}

pub(super) fn start(
    store: Arc<dyn Store>,
    version: &str,
    gates: BTreeSet<String>,
) -> Result<(Engine, Handle), StartError> {
    let gates = Arc::new(gates);
    let loaded = store.load()?;
    let (book, requests, audit) = replay(store.as_ref(), &loaded)?;
    let mut fleet = Fleet::default();
    fleet.restore(&loaded.sources, loaded.meta.last_issuer, time::now_ms());
    let (post, mailbox) = mpsc::channel(MAILBOX);
    let published = Published::new();
    let mut engine = Engine {
        mailbox,
        generation: loaded.meta.generation,
        term: loaded.meta.term,
        book,
        fleet,
        requests,
        seen: Seen::default(),
        stage: Stage::new(store.last_revision()),
        audit,
        published,
        stale: Stale::default(),
        shortage: None,
        begun: false,
        gates: gates.clone(),
        restored: loaded.restored.clone(),
        store: store.clone(),
    };
    engine.restore_runs(loaded.pending)?;
    engine.stale = Stale::all(&engine.book);
    engine.publish(time::now_ms(), true);
    let info = v1::Info {
        version: version.to_owned(),
        fence: Some(super::fleet::fence_to_wire(
            engine.fence(store.last_revision()),
        )),
        engine_version: ENGINE_VERSION,
        fence_regressed: None,
    };
    let handle = Handle {
        mailbox: post,
        views: engine.published.views(),
        revision: engine.published.revision(),
        latches: engine.published.latch_sender(),
        shortage: engine.published.shortage(),
        store,
        gates,
        info,
    };
    Ok((engine, handle))
}

/// Follows the log page by page: however long it is, little of it is in memory at a time.
fn replay(store: &dyn Store, loaded: &Loaded) -> Result<(Book, Requests, Head), StartError> {
    let mut book = Book::default();
    let mut requests = Requests::default();
    for done in &loaded.requests {
        requests.remember(done.clone());
    }
    let base = store.audit_base()?;
    let mut audit = Head::default();
    let mut at = 0;
    loop {
        let records = store.records(at, PAGE)?;
        // Nothing was heard from sidecars yet: a rollout begins with what its record holds, or with nothing.
        for record in &records {
            if let Some(event) = &record.event {
                at = event.revision;
                book.apply(event, record.stable_history.as_ref())
                    .map_err(|error| StartError::Log(error.to_string()))?;
            }
            requests.follow(record);
            audit.follow(record, &base).map_err(|broken| {
                StartError::Log(format!("the audit log at event {at}: {broken}"))
            })?;
        }
        if records.len() < PAGE {
            // Of entries that are gone altogether the base knows the last one.
            if audit.number < base.number {
                audit = base;
            }
            return Ok((book, requests, audit));
        }
    }
}

impl Engine {
    /// Folds every stored slice of the active rollouts, and takes back what was pending.
    fn restore_runs(&mut self, pending: Vec<(String, stored::Pending)>) -> Result<(), StartError> {
        let pending: BTreeMap<String, stored::Pending> = pending.into_iter().collect();
        for (id, run) in &mut self.book.runs {
            run.resume(&self.store.checkpoints(id)?);
            let (mut at, labels) = (run.slices, run.label_slices);
            let last = at.saturating_sub(1);
            for (_, slice) in self.store.slices(id, last, (at - last) as usize)? {
                run.doubts.follow(&slice);
            }
            let last = labels.saturating_sub(DOUBTED_LABELS);
            for (_, slice) in self
                .store
                .label_slices(id, last, (labels - last) as usize)?
            {
                run.doubts.follow_labels(&slice);
            }
            loop {
                let slices = self.store.slices(id, at, PAGE)?;
                for (seq, slice) in &slices {
                    at = *seq;
                    run.refold(slice);
                }
                if slices.len() < PAGE {
                    break;
                }
            }
            for (_, slice) in self.store.label_slices(id, labels, usize::MAX)? {
                run.refold_labels(&slice);
            }
            if let Some(pending) = pending.get(id) {
                run.restore(pending);
            }
            run.restore_sources(&pending);
            run.prove();
        }
        for (id, finished) in &mut self.book.finished {
            finished.unsaved = None;
            if let Some(pending) = pending.get(id) {
                finished.restore(pending);
            }
        }
        Ok(())
    }

    /// The store's counters as they are now.
    pub(super) fn meta(&self) -> stored::Meta {
        stored::Meta {
            generation: self.generation,
            term: self.term,
            last_issuer: self.fleet.last_issuer.into(),
            schema: crate::store::SCHEMA,
        }
    }
}
