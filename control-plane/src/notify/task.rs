//! The delivery of events to one receiver.

use super::lanes::{Item, Lanes};
use super::load::Webhook;
use super::post::post;
use crate::engine::Handle;
use crate::metrics::{WEBHOOK_DELIVERIES, WEBHOOK_LAG, WEBHOOK_LAG_SECONDS};
use crate::outbound::PostError;
use crate::store::StoreError;
use metrics::{counter, gauge};
use serinus_core::rollout::millis;
use serinus_proto::{stored::v1 as stored, v1};
use serinus_runtime::shutdown::Drain;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::{JoinHandle, JoinSet};

/// Attempts under way at a time.
const AT_ONCE: usize = 4;
/// Events read from the log at a time.
const PAGE: usize = 64;
/// How far it is, is kept at most so often; what was delivered since is delivered again after a crash.
const KEEP: Duration = Duration::from_millis(200);
/// The same where nothing was delivered, only read.
const KEEP_READ: Duration = Duration::from_secs(10);
/// The figures are at most this old; and a read or a write that failed is tried again after it.
const LOOK: Duration = Duration::from_secs(1);
/// How long a stop waits for what is under way to be kept.
const LAST: Duration = Duration::from_secs(2);

/// What came of an attempt.
enum Ended {
    Delivered,
    Failed(PostError),
    /// The log does not have it any more.
    Gone,
    /// The log cannot be read now.
    Unread(StoreError),
}

struct Task {
    webhook: Arc<Webhook>,
    handle: Handle,
    lanes: Lanes,
    read: u64,
    attempts: JoinSet<(String, Item, Ended)>,
    /// What the store has.
    kept: stored::Webhook,
    keeping: Option<JoinHandle<Option<stored::Webhook>>>,
    kept_at: Instant,
    /// Something was delivered that the store does not know.
    delivered: bool,
}

/// Delivers from where `state` says until the drain.
pub(super) async fn run(
    webhook: Webhook,
    state: stored::Webhook,
    handle: Handle,
    mut drain: Drain,
) {
    let mut task = Task {
        webhook: Arc::new(webhook),
        handle,
        lanes: Lanes::default(),
        read: state.read,
        attempts: JoinSet::new(),
        kept: state,
        keeping: None,
        kept_at: Instant::now(),
        delivered: false,
    };
    let mut revision = task.handle.watch_revision();
    tokio::select! {
        () = task.take_up() => {}
        () = drain.wait() => return,
    }
    loop {
        let last = *revision.borrow_and_update();
        if let Err(error) = task.read_on(last).await {
            task.warn(&error);
        }
        task.begin();
        task.keep();
        task.observe(last);
        let wait = task.wait();
        let can_read = task.lanes.has_room();
        tokio::select! {
            Some(ended) = task.attempts.join_next() => task.ended(ended),
            kept = async { task.keeping.as_mut().expect("guarded").await }, if task.keeping.is_some() => {
                task.keeping = None;
                task.is_kept(kept.ok().flatten());
            }
            changed = revision.changed(), if can_read => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
            () = drain.wait() => break,
        }
    }
    task.stop().await;
}

impl Task {
    /// What was outstanding when the process ended.
    async fn take_up(&mut self) {
        for revision in self.kept.outstanding.clone() {
            let event = loop {
                match event(&self.handle, revision).await {
                    Ok(event) => break event,
                    Err(error) => self.warn(&error),
                }
                tokio::time::sleep(LOOK).await;
            };
            match event {
                Some(event) if self.webhook.filter.wants(&event) => self.add(&event),
                // The configuration has changed.
                Some(_) => {}
                None => self.lost(1),
            }
        }
    }

    /// Reads what is new, as far as there is room.
    async fn read_on(&mut self, last: u64) -> Result<(), StoreError> {
        while self.read < last && self.lanes.has_room() {
            let oldest = self.handle.oldest_revision()?;
            if self.read + 1 < oldest {
                let gone = oldest - 1 - self.read;
                tracing::error!(
                    webhook = self.webhook.service.name,
                    events = gone,
                    "not in the log any more, and not delivered"
                );
                self.lost(gone);
                self.read = oldest - 1;
            }
            let events = self.handle.events(self.read, PAGE).await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                if !self.lanes.has_room() {
                    return Ok(());
                }
                self.read = event.revision;
                if self.webhook.filter.wants(&event) {
                    self.add(&event);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, event: &v1::Event) {
        let item = Item {
            revision: event.revision,
            time_ms: event.time.as_ref().map_or(0, millis),
        };
        // Those of a model are told in their order, and so those of a rollout.
        self.lanes.add(&event.model, item);
    }

    /// Starts what is due.
    fn begin(&mut self) {
        while self.attempts.len() < AT_ONCE {
            let Some((lane, item)) = self.lanes.take(now_ms()) else {
                return;
            };
            let (webhook, handle) = (Arc::clone(&self.webhook), self.handle.clone());
            self.attempts.spawn(async move {
                let ended = match event(&handle, item.revision).await {
                    Err(error) => Ended::Unread(error),
                    Ok(None) => Ended::Gone,
                    Ok(Some(event)) => match post(&webhook, &event).await {
                        Ok(()) => Ended::Delivered,
                        Err(error) => Ended::Failed(error),
                    },
                };
                (lane, item, ended)
            });
        }
    }

    fn ended(&mut self, ended: Result<(String, Item, Ended), tokio::task::JoinError>) {
        // An attempt does not panic, and is aborted only with the task.
        let Ok((lane, item, ended)) = ended else {
            return;
        };
        let now_ms = now_ms();
        let webhook = &self.webhook.service.name;
        let revision = item.revision;
        match ended {
            Ended::Delivered => {
                self.count("delivered", 1);
                self.lanes.done(&lane, now_ms);
                self.delivered = true;
            }
            Ended::Gone => {
                self.lost(1);
                self.lanes.done(&lane, now_ms);
            }
            Ended::Unread(error) => {
                self.warn(&error);
                self.lanes.failed(&lane, now_ms, LOOK);
            }
            Ended::Failed(error) => {
                self.count("failed", 1);
                let age = Duration::from_millis(now_ms.saturating_sub(item.time_ms));
                if age >= self.webhook.give_up {
                    tracing::error!(webhook, revision, %error, "given up: it is not delivered");
                    self.count("given_up", 1);
                    self.lanes.done(&lane, now_ms);
                    self.delivered = true;
                } else {
                    tracing::warn!(webhook, revision, %error, "not delivered yet");
                    self.lanes.failed(&lane, now_ms, error.retry_after());
                }
            }
        }
    }

    fn state(&self) -> stored::Webhook {
        stored::Webhook {
            name: self.webhook.service.name.clone(),
            read: self.read,
            outstanding: self.lanes.outstanding(),
        }
    }

    /// Has it kept how far it is, if that is due.
    fn keep(&mut self) {
        let every = if self.delivered { KEEP } else { KEEP_READ };
        if self.keeping.is_some() || self.kept_at.elapsed() < every {
            return;
        }
        let state = self.state();
        if state == self.kept {
            self.delivered = false;
            return;
        }
        self.kept_at = Instant::now();
        self.delivered = false;
        let handle = self.handle.clone();
        self.keeping = Some(tokio::spawn(async move {
            handle.notified(state.clone()).await.then_some(state)
        }));
    }

    fn is_kept(&mut self, state: Option<stored::Webhook>) {
        match state {
            Some(state) => self.kept = state,
            None => self.delivered = true,
        }
    }

    /// Until when there is nothing to do, unless something happens.
    fn wait(&self) -> Duration {
        let due = self
            .lanes
            .next_due_ms()
            .filter(|_| self.attempts.len() < AT_ONCE);
        let due = due.map(|due| Duration::from_millis(due.saturating_sub(now_ms()).max(1)));
        let keep = self.delivered && self.keeping.is_none();
        let keep = keep.then(|| KEEP.saturating_sub(self.kept_at.elapsed()));
        [due, keep].into_iter().flatten().fold(LOOK, Duration::min)
    }

    /// What is under way may end and be kept; for what does not, it is as if it never began.
    async fn stop(mut self) {
        let settled = async {
            while let Some(ended) = self.attempts.join_next().await {
                self.ended(ended);
            }
        };
        // Whether or not it did.
        let _ = tokio::time::timeout(LAST, settled).await;
        self.attempts.abort_all();
        if let Some(keeping) = self.keeping.take() {
            let kept = keeping.await;
            self.is_kept(kept.ok().flatten());
        }
        let state = self.state();
        if state != self.kept {
            // An error means that it waits for room on the disk: it is delivered again then.
            let _ = tokio::time::timeout(LAST, self.handle.notified(state)).await;
        }
    }

    fn observe(&self, last: u64) {
        let unread = last.saturating_sub(self.read);
        let lag = unread.saturating_add(self.lanes.len() as u64);
        let age_ms = self
            .lanes
            .oldest_ms()
            .map_or(0, |oldest| now_ms().saturating_sub(oldest));
        let webhook = self.webhook.service.name.clone();
        gauge!(WEBHOOK_LAG, "webhook" => webhook.clone()).set(lag as f64);
        gauge!(WEBHOOK_LAG_SECONDS, "webhook" => webhook).set(age_ms as f64 / 1000.0);
    }

    fn count(&self, result: &'static str, events: u64) {
        let webhook = self.webhook.service.name.clone();
        counter!(WEBHOOK_DELIVERIES, "webhook" => webhook, "result" => result).increment(events);
    }

    fn lost(&mut self, events: u64) {
        self.count("lost", events);
        self.delivered = true;
    }

    fn warn(&self, error: &StoreError) {
        tracing::warn!(webhook = self.webhook.service.name, %error, "read the log");
    }
}

async fn event(handle: &Handle, revision: u64) -> Result<Option<v1::Event>, StoreError> {
    let events = handle.events(revision.saturating_sub(1), 1).await?;
    Ok(events.into_iter().find(|event| event.revision == revision))
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
