//! Gates: outside programs that are asked before a canary gets more.
//!
//! The engine writes down that a gate is asked, and what it said; in between it waits for nothing. Here the question is put,
//! again until there is an answer, also after a restart: the question has an id, its revision, by which an answer that comes
//! late or twice is told. Only what says yes or no is an answer; silence, errors and nonsense are none.

mod answer;
mod load;
mod question;

pub(crate) use load::load;

use crate::engine::{GateAnswer, Handle, Views};
use crate::metrics::{GATE_ANSWERS, GATES_WAITING};
use crate::outbound::{PostError, Service};
use answer::{Word, read};
use metrics::{counter, gauge};
use serinus_proto::v1;
use serinus_runtime::backoff::Backoff;
use serinus_runtime::shutdown::Drain;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

/// Questions under way at a time.
const AT_ONCE: usize = 16;
/// It is asked again after up to a second, later after up to a quarter of a minute ...
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];
/// ... unless it asks for more, which it may up to this ...
const LONGEST: Duration = Duration::from_secs(300);
/// ... and never sooner than this.
const PAUSE: Duration = Duration::from_millis(200);
/// A word that is not in the log by then is handed over again: there may have been no room on the disk.
const AGAIN: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const READ: usize = 16 * 1024;

/// The gates of the configuration, by name.
pub(crate) type Gates = BTreeMap<String, Service>;

/// Rollout, and revision of the question.
type Key = (String, u64);

/// Why there is no answer yet.
#[derive(Debug, Error)]
enum AskError {
    #[error(transparent)]
    Post(#[from] PostError),
    #[error("{0}")]
    Nonsense(String),
    #[error("the configuration has no gate of this name any more")]
    Unknown,
}

/// Asks whoever a rollout waits for, until the drain.
pub(crate) async fn run(gates: Gates, handle: Handle, mut drain: Drain) {
    let gates = Arc::new(gates);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut views = handle.watch_views();
    let mut asked: BTreeMap<Key, AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let waiting = waiting(&views.borrow_and_update());
        gauge!(GATES_WAITING).set(waiting.len() as f64);
        // What is answered, or wanted no more.
        asked.retain(|key, task| {
            let wanted = waiting.contains_key(key);
            if !wanted {
                task.abort();
            }
            wanted
        });
        for (key, gate) in waiting {
            let Entry::Vacant(new) = asked.entry(key) else {
                continue;
            };
            let asker = Asker {
                service: gates.get(&gate).cloned(),
                gate,
                key: new.key().clone(),
                handle: handle.clone(),
                slots: slots.clone(),
            };
            new.insert(tasks.spawn(asker.run()));
        }
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return },
            // They end only by being stopped; this takes them off the list.
            Some(_) = tasks.join_next() => {}
            () = drain.wait() => return,
        }
    }
}

/// The questions that there are, and the gates that they are for.
fn waiting(views: &Views) -> BTreeMap<Key, String> {
    let rollouts = views.rollouts.values();
    let waiting = rollouts.filter(|rollout| rollout.gate_asked != 0);
    let of = |rollout: &Arc<v1::Rollout>| {
        let key = (rollout.id.clone(), rollout.gate_asked);
        (key, rollout.gate.clone())
    };
    waiting.map(of).collect()
}

/// One question.
struct Asker {
    gate: String,
    /// Absent: the configuration has changed since.
    service: Option<Service>,
    key: Key,
    handle: Handle,
    slots: Arc<Semaphore>,
}

impl Asker {
    /// Asks until there is an answer, hands it over, and is stopped then.
    async fn run(self) {
        let mut backoff = Backoff::new(WAITS[0], WAITS[1]);
        loop {
            let mut at_least = PAUSE;
            match self.ask().await {
                Ok(Word::Wait) => self.count("wait"),
                Ok(Word::Approve(reason)) => return self.hand_over(true, reason).await,
                Ok(Word::Deny(reason)) => return self.hand_over(false, reason).await,
                Err(error) => {
                    self.count("failed");
                    let (gate, rollout) = (&self.gate, &self.key.0);
                    tracing::warn!(gate, rollout, %error, "the gate has not answered");
                    if let AskError::Post(error) = &error {
                        at_least = at_least.max(error.retry_after().min(LONGEST));
                    }
                }
            }
            tokio::time::sleep(backoff.next_delay().max(at_least)).await;
        }
    }

    async fn ask(&self) -> Result<Word, AskError> {
        let service = self.service.as_ref().ok_or(AskError::Unknown)?;
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        // As it is now: it may have waited.
        let views = self.handle.views();
        let Some(rollout) = views.rollouts.get(&self.key.0) else {
            return Ok(Word::Wait);
        };
        let id = format!("{}-{}", self.key.1, self.key.0);
        let question = question::of(&self.gate, rollout);
        let answer = service.post(&id, &question, READ).await?;
        read(&answer).map_err(AskError::Nonsense)
    }

    async fn hand_over(&self, approved: bool, reason: String) {
        self.count(if approved { "approve" } else { "deny" });
        loop {
            let answer = GateAnswer {
                rollout: self.key.0.clone(),
                asked: self.key.1,
                gate: self.gate.clone(),
                approved,
                reason: reason.clone(),
            };
            self.handle.gate_answered(answer).await;
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn count(&self, result: &'static str) {
        let gate = self.gate.clone();
        counter!(GATE_ANSWERS, "gate" => gate, "result" => result).increment(1);
    }
}
