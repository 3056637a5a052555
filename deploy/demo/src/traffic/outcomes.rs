//! Truths on their way back: kept until they are due, sent in batches, kept again if a target is away.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::config::Outcomes;
use super::pool::{Answer, CallError, Pool, Post};
use super::stats::OutcomeStats;

/// Small enough for any sensible bound on bodies: an item takes about 150 bytes.
const MAX_BATCH: usize = 256;
/// How many may wait per target.
const MAX_PENDING: usize = 100_000;
/// How long past its due time an outcome is worth another try.
const GIVE_UP: Duration = Duration::from_secs(30);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The truth about one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Truth {
    pub(super) due: Instant,
    pub(super) prediction_id: String,
    pub(super) right: bool,
}

/// Truths in the order in which they are due, and what became of those before.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pending: VecDeque<Truth>,
    /// Taken out and not yet settled or returned.
    under_way: usize,
    delivered: u64,
    refused: u64,
    lost: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    Refused,
    TryAgain,
}

impl Queue {
    fn push(&mut self, truth: Truth) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push_back(truth);
        } else {
            self.lost += 1;
        }
    }

    /// Takes up to [`MAX_BATCH`] that are due; those too old to be of use are dropped.
    fn take_due(&mut self, now: Instant) -> Vec<Truth> {
        while self
            .pending
            .front()
            .is_some_and(|truth| truth.due + GIVE_UP < now)
        {
            self.pending.pop_front();
            self.lost += 1;
        }
        let due = self
            .pending
            .iter()
            .take(MAX_BATCH)
            .take_while(|truth| truth.due <= now)
            .count();
        self.under_way += due;
        self.pending.drain(..due).collect()
    }

    fn settle(&mut self, batch: Vec<Truth>, fate: Fate) {
        self.under_way -= batch.len();
        match fate {
            Fate::Delivered => self.delivered += batch.len() as u64,
            Fate::Refused => self.refused += batch.len() as u64,
            Fate::TryAgain => batch
                .into_iter()
                .rev()
                .for_each(|truth| self.pending.push_front(truth)),
        }
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.under_way == 0
    }
}

/// Sends the outcomes of one target.
#[derive(Debug)]
pub(super) struct Courier {
    pool: Pool,
    queue: Mutex<Queue>,
}

impl Courier {
    pub(super) fn new(admin: std::net::SocketAddr) -> Self {
        Self {
            pool: Pool::new(admin),
            queue: Mutex::default(),
        }
    }

    pub(super) fn push(&self, truth: Truth) {
        self.queue().push(truth);
    }

    /// Adds this target's counts to `stats`.
    pub(super) fn add_to(&self, stats: &mut OutcomeStats) {
        let queue = self.queue();
        stats.pending += (queue.pending.len() + queue.under_way) as u64;
        stats.delivered += queue.delivered;
        stats.refused += queue.refused;
        stats.lost += queue.lost;
    }

    /// Delivers what is due, over and over, until `last` says that no more will be pushed and all is settled.
    pub(super) async fn run(&self, outcomes: &Outcomes, last: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(outcomes.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Read before the queue: what was pushed before `last` was set must be seen.
            let last = *last.borrow();
            while self.deliver(&outcomes.metric).await {}
            if last && self.queue().is_empty() {
                return;
            }
        }
    }

    /// One call; says whether another one at once makes sense.
    async fn deliver(&self, metric: &str) -> bool {
        let batch = self.queue().take_due(Instant::now());
        if batch.is_empty() {
            return false;
        }
        let full = batch.len() == MAX_BATCH;
        let post = Post {
            uri: Uri::from_static("/v1/outcomes"),
            headers: HeaderMap::new(),
            body: body(&batch, metric),
        };
        let answer = tokio::time::timeout(CALL_TIMEOUT, self.pool.call(post)).await;
        let fate = answer.map_or(Fate::TryAgain, |answer| fate(&answer));
        self.queue().settle(batch, fate);
        full && fate != Fate::TryAgain
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sending twice is harmless (the receiver removes duplicates), so every doubt is a reason to try again.
fn fate(answer: &Result<Answer, CallError>) -> Fate {
    match answer {
        Ok(answer) if answer.status.as_u16() < 300 => Fate::Delivered,
        Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => Fate::TryAgain,
        Ok(answer) if answer.status.is_server_error() => Fate::TryAgain,
        Ok(_) => Fate::Refused,
        Err(_) => Fate::TryAgain,
    }
}

#[derive(Serialize)]
struct Batch<'a> {
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    prediction_id: &'a str,
    metric: &'a str,
    value: u8,
}

fn body(batch: &[Truth], metric: &str) -> Bytes {
    let items = batch.iter().map(|truth| Item {
        prediction_id: &truth.prediction_id,
        metric,
        value: truth.right.into(),
    });
    let body = serde_json::to_vec(&Batch {
        items: items.collect(),
    });
    body.expect("strings and small numbers always have a JSON form")
        .into()
}

#[cfg(test)]
mod tests;
