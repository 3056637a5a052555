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
use serinus_evidence::ENGINE_VERSION;
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;

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

pub(super) fn start(store: Arc<dyn Store>, version: &str) -> Result<(Engine, Handle), StartError> {
    let loaded = store.load()?;
    let (book, requests) = replay(&loaded)?;
    let mut fleet = Fleet::default();
    fleet.restore(&loaded.sources, loaded.meta.last_issuer);
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
        published,
        stale: Stale::default(),
        begun: false,
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
    };
    let handle = Handle {
        mailbox: post,
        views: engine.published.views(),
        revision: engine.published.revision(),
        latches: engine.published.latch_sender(),
        store,
        info,
    };
    Ok((engine, handle))
}

fn replay(loaded: &Loaded) -> Result<(Book, Requests), StartError> {
    let mut book = Book::default();
    let mut requests = Requests::default();
    // Nothing was heard from sidecars yet: a rollout begins with what its record holds, or with nothing.
    for record in &loaded.records {
        if let Some(event) = &record.event {
            book.apply(event, record.stable_history.as_ref())
                .map_err(|error| StartError::Log(error.to_string()))?;
        }
        requests.follow(record);
    }
    Ok((book, requests))
}

impl Engine {
    /// Folds every stored slice of the active rollouts, and takes back what was pending.
    fn restore_runs(&mut self, pending: Vec<(String, stored::Pending)>) -> Result<(), StartError> {
        let pending: BTreeMap<String, stored::Pending> = pending.into_iter().collect();
        for (id, run) in &mut self.book.runs {
            for (_, slice) in self.store.slices(id, 0, usize::MAX)? {
                run.refold(&slice);
            }
            for (_, slice) in self.store.label_slices(id, 0, usize::MAX)? {
                run.fold_labels(&slice);
            }
            if let Some(pending) = pending.get(id) {
                run.restore(pending);
            }
            run.restore_sources(&pending);
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
