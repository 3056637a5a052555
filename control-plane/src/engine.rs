//! The single writer: one task owns every model, rollout and sidecar. It takes messages, decides, commits, and only
//! then lets anybody see what it decided.

mod assign;
mod book;
mod commands;
mod fleet;
pub mod handle;
mod histories;
mod look;
mod message;
mod outcomes;
mod publish;
mod recover;
mod requests;
mod run;
mod seen;
mod stage;
mod take;
mod time;

pub use handle::{Assignments, Command, CommandError, Handle, Verb, Views};
pub use message::Session;
pub use recover::StartError;

use crate::store::{Batch, Store, StoreError};
use book::{Book, BookError};
use fleet::Fleet;
use message::Message;
use publish::{Published, Stale};
use requests::Requests;
use seen::Seen;
use serinus_runtime::shutdown::Drain;
use stage::Stage;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc;

/// Looks are this far apart when nothing arrives.
const TICK: Duration = Duration::from_millis(200);
/// A rollback whose commit takes longer is pushed as a latch first.
const LATCH_AFTER: Duration = Duration::from_millis(250);
/// Messages taken into one commit.
const BATCH: usize = 1024;
/// A sidecar that is gone this long is reported lost.
const LOST_AFTER_MS: u64 = 10_000;
/// One that is gone this long is forgotten.
const FORGET_AFTER_MS: u64 = 3_600_000;

/// Why the engine ended before it was asked to.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The store refused a commit; what is on disk is told anew at the next start.
    #[error("commit: {0}")]
    Store(#[from] StoreError),
    /// An event does not fit the log.
    #[error("log: {0}")]
    Log(String),
}

impl From<BookError> for EngineError {
    fn from(error: BookError) -> Self {
        Self::Log(error.to_string())
    }
}

/// The task's state.
#[derive(Debug)]
pub struct Engine {
    store: Arc<dyn Store>,
    mailbox: mpsc::Receiver<Message>,
    generation: u64,
    term: u64,
    book: Book,
    fleet: Fleet,
    requests: Requests,
    seen: Seen,
    stage: Stage,
    published: Published,
    /// What has changed since it was published last.
    stale: Stale,
    /// Has looked at what came from disk.
    begun: bool,
}

impl Engine {
    /// Recovers everything from the store.
    ///
    /// # Errors
    /// If the store cannot be read or its log does not fit together.
    pub fn start(store: Arc<dyn Store>, version: &str) -> Result<(Self, Handle), StartError> {
        recover::start(store, version)
    }

    /// Runs until the drain, commits what is left, and ends.
    ///
    /// # Errors
    /// If a commit fails: the process has to end, for memory is then ahead of the disk.
    pub async fn run(mut self, mut drain: Drain) -> Result<(), EngineError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            let (open, thorough) = tokio::select! {
                n = self.mailbox.recv_many(&mut messages, BATCH) => (n > 0, n == 0),
                _ = tick.tick() => (true, true),
                () = drain.wait() => (false, true),
            };
            self.turn(&mut messages, time::now_ms(), thorough).await?;
            if !open {
                return Ok(());
            }
        }
    }

    /// One turn at a time of the caller's choosing: takes what is in the mailbox, looks, commits. For simulations;
    /// [`Engine::run`] does the same by the wall clock.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn turn_at(&mut self, now_ms: u64) -> Result<(), EngineError> {
        let mut messages = Vec::new();
        while let Ok(message) = self.mailbox.try_recv() {
            messages.push(message);
        }
        self.turn(&mut messages, now_ms, true).await
    }

    /// A `thorough` turn looks at every rollout and shows everything; others, of which there may be hundreds a second,
    /// only at what the messages are about.
    async fn turn(
        &mut self,
        messages: &mut Vec<Message>,
        now_ms: u64,
        thorough: bool,
    ) -> Result<(), EngineError> {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(now_ms)?;
        }
        for message in messages.drain(..) {
            self.take(message, now_ms)?;
        }
        self.look(now_ms, thorough)?;
        self.commit(now_ms, thorough).await
    }

    /// The first look, before anything is taken: an epoch that ended while nobody was here takes nothing any more.
    fn begin(&mut self, now_ms: u64) -> Result<(), EngineError> {
        for run in self.book.runs.values_mut() {
            run.activity.listen(now_ms / 1000);
        }
        self.look(now_ms, true)
    }

    /// Writes what is staged, then lets it be seen.
    async fn commit(&mut self, now_ms: u64, thorough: bool) -> Result<(), EngineError> {
        self.fill_batch();
        let stage = self.stage.take();
        let decided = self.stale.follow(&stage.batch.records);
        if !stage.batch.is_empty() {
            write(
                self.store.clone(),
                &self.published,
                stage.batch,
                &stage.rolled_back,
            )
            .await?;
        }
        if thorough || decided {
            self.publish(now_ms, thorough);
        }
        stage.after.into_iter().for_each(|after| after());
        Ok(())
    }

    /// Adds what follows from the messages taken: pending cells, sources, bits.
    fn fill_batch(&mut self) {
        for (id, run) in &mut self.book.runs {
            if std::mem::take(&mut run.dirty) {
                self.stage.batch.pending.push((id.clone(), run.pending()));
            }
            self.stage.batch.pending.extend(run.unsaved_sources());
        }
        for (id, finished) in &mut self.book.finished {
            let ended = std::mem::take(&mut finished.ended_records);
            self.stage.batch.drop_pending.extend(ended);
            self.stage
                .batch
                .pending
                .extend(finished.unsaved.take().map(|pending| (id.clone(), pending)));
        }
        for issuer in std::mem::take(&mut self.stage.sources) {
            self.stage.batch.sources.extend(self.fleet.stored(issuer));
        }
        self.stage.batch.seen = self.seen.take_changed();
    }
}

/// Puts a batch on disk. Rollbacks whose commit is slow, or fails, reach the sidecars as latches all the same.
async fn write(
    store: Arc<dyn Store>,
    published: &Published,
    batch: Batch,
    rolled_back: &[String],
) -> Result<(), EngineError> {
    let started = Instant::now();
    let mut write = tokio::task::spawn_blocking(move || store.commit(&batch));
    let written = tokio::select! {
        written = &mut write => written,
        () = tokio::time::sleep(LATCH_AFTER) => {
            published.latch(rolled_back);
            write.await
        }
    };
    let written = written.unwrap_or_else(|error| {
        // A panic of the store.
        Err(StoreError::Fatal(format!("commit: {error}")))
    });
    if let Err(error) = written {
        published.latch(rolled_back);
        return Err(error.into());
    }
    metrics::histogram!("serinus_commit_seconds").record(started.elapsed().as_secs_f64());
    Ok(())
}
