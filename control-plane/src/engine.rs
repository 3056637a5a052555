//! The single writer: one task owns every model, rollout and sidecar. It takes messages, decides, commits, and only
//! then lets anybody see what it decided.

mod answers;
mod assign;
mod audit;
mod book;
mod commands;
mod fleet;
pub mod handle;
mod histories;
mod look;
mod message;
mod origin;
mod outcomes;
mod proven;
mod publish;
mod quarantine;
mod recover;
mod reports;
mod requests;
mod restored;
mod run;
mod seen;
mod shortage;
mod stage;
mod take;
mod time;
mod told;

pub use handle::{Assignments, Command, CommandError, Handle, Narrowed, Verb, Views};
pub use message::{GateAnswer, Session};
pub use origin::Origin;
pub use recover::StartError;

use crate::failpoint::reach;
use crate::metrics::{COMMIT_FAILURES, COMMIT_SECONDS, STAGE_SECONDS};
use crate::store::{Batch, Shortage, Store, StoreError, Urgency};
use book::{Book, BookError};
use fleet::Fleet;
use message::Message;
use publish::{Published, Stale};
use requests::Requests;
use seen::Seen;
use serinus_core::audit::Head;
use serinus_proto::stored::v1 as stored;
use serinus_runtime::shutdown::Drain;
use stage::Stage;
use std::collections::BTreeSet;
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
    /// Where the audit log has come to, with what is staged.
    audit: Head,
    published: Published,
    /// What has changed since it was published last.
    stale: Stale,
    /// Too little room on the disk: only what takes a canary back is done.
    shortage: Option<Shortage>,
    /// Has looked at what came from disk.
    begun: bool,
    /// Names of the gates that plans may ask.
    gates: Arc<BTreeSet<String>>,
    /// The store came back from a copy, and the rollouts that were active are not held yet.
    restored: Option<stored::Restored>,
}

impl Engine {
    /// Recovers everything from the store.
    ///
    /// # Errors
    /// If the store cannot be read or its log does not fit together.
    pub fn start(store: Arc<dyn Store>, version: &str) -> Result<(Self, Handle), StartError> {
        Self::start_with(store, version, BTreeSet::new())
    }

    /// The same, with gates that plans may ask.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_with(
        store: Arc<dyn Store>,
        version: &str,
        gates: BTreeSet<String>,
    ) -> Result<(Self, Handle), StartError> {
        recover::start(store, version, gates)
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
        let turned = self.take_turn(messages, now_ms, thorough).await;
        if turned.is_err() {
            // What was decided and cannot be written any more takes the canary from users all the same.
            self.published.latch(&self.stage.rolled_back);
        }
        turned
    }

    async fn take_turn(
        &mut self,
        messages: &mut Vec<Message>,
        now_ms: u64,
        thorough: bool,
    ) -> Result<(), EngineError> {
        if thorough {
            self.store.soundness()?;
        }
        self.heed_room();
        self.hold_restored(now_ms)?;
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(now_ms)?;
        }
        let started = Instant::now();
        let mut broken = None;
        for message in messages.drain(..) {
            // A rollback may stand behind what fails: it is taken, and latched.
            if let Err(error) = self.take(message, now_ms) {
                broken.get_or_insert(error);
            }
        }
        if let Some(error) = broken {
            return Err(error);
        }
        let started = lap("take", started);
        self.look(now_ms, thorough)?;
        lap("look", started);
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
        let mut stage = self.stage.take();
        let decided = self.stale.follow(&stage.batch.records);
        if !stage.batch.is_empty() {
            if !stage.rolled_back.is_empty() {
                stage.batch.urgency = Urgency::Lowers;
            }
            let batch = Arc::new(std::mem::take(&mut stage.batch));
            let store = self.store.clone();
            reach("decided");
            let written = write(store, &self.published, batch.clone(), &stage.rolled_back).await;
            if let Err(EngineError::Store(StoreError::Full(_))) = written {
                // Nothing was tried and nobody has seen it: it waits for room, and what is decided next comes after it.
                stage.batch = Arc::unwrap_or_clone(batch);
                self.stage = stage;
                return Ok(());
            }
            written?;
            told::tell(&batch.records, &self.book);
        }
        if thorough || decided {
            let started = Instant::now();
            self.publish(now_ms, thorough);
            lap("publish", started);
        }
        reach("published");
        for after in stage.after {
            after();
            reach("answered");
        }
        Ok(())
    }

    /// Adds what follows from the messages taken: pending cells, sources, bits.
    fn fill_batch(&mut self) {
        // Without room nothing is counted, so that there is nothing to acknowledge.
        let wait = self.shortage.is_some();
        for (id, run) in self.book.runs.iter_mut().filter(|_| !wait) {
            if std::mem::take(&mut run.dirty) {
                self.stage.batch.pending.push((id.clone(), run.pending()));
            }
            self.stage.batch.pending.extend(run.unsaved_sources());
        }
        for (id, finished) in &mut self.book.finished {
            let ended = std::mem::take(&mut finished.ended_records);
            if !ended.is_empty() {
                let kept = |(name, _): &(String, _)| !ended.contains(name);
                self.stage.batch.pending.retain(kept);
            }
            self.stage.batch.drop_pending.extend(ended);
            self.stage
                .batch
                .pending
                .extend(finished.unsaved.take().map(|pending| (id.clone(), pending)));
        }
        for issuer in std::mem::take(&mut self.stage.sources) {
            self.stage.batch.sources.extend(self.fleet.stored(issuer));
        }
        self.stage.batch.seen.extend(self.seen.take_changed());
    }
}

/// Puts a batch on disk. Rollbacks whose commit is slow, or fails, reach the sidecars as latches all the same.
async fn write(
    store: Arc<dyn Store>,
    published: &Published,
    batch: Arc<Batch>,
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
        if !matches!(error, StoreError::Full(_)) {
            metrics::counter!(COMMIT_FAILURES).increment(1);
        }
        return Err(error.into());
    }
    metrics::histogram!(COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
    lap("commit", started);
    Ok(())
}

/// Records how long a part of a turn took; when the next one begins.
fn lap(stage: &'static str, started: Instant) -> Instant {
    let now = Instant::now();
    let took = now.saturating_duration_since(started);
    metrics::histogram!(STAGE_SECONDS, "stage" => stage).record(took.as_secs_f64());
    now
}
