//! What keeps the store in shape while it is served: exports beside it, and the removal of what is old.

use crate::engine::Handle;
use crate::metrics::{EXPORT_AGE, EXPORT_FAILURES};
use crate::store::prune::REQUESTS_MS;
use crate::store::{Exported, Prune, Store, StoreError};
use serinus_core::rollout::millis;
use serinus_runtime::shutdown::Drain;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Pauses between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// An export is written after so many events ...
const EXPORT_EVENTS: u64 = 10_000;
/// ... and after so long, if anything has changed.
const EXPORT_EVERY: Duration = Duration::from_secs(3600);
/// Watchers may go on from any of so many events ...
const WINDOW_EVENTS: u64 = 1_000_000;
/// ... and from any of the last seven days; whichever is less.
const WINDOW_MS: u64 = 7 * 24 * 3_600_000;
/// Labels may come for so long.
const HORIZON_MS: u64 = 7 * 24 * 3_600_000;

/// Looks after the store until the drain.
pub(crate) async fn run(
    store: Arc<dyn Store>,
    handle: Handle,
    retention: Duration,
    mut drain: Drain,
) {
    let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let mut keeper = Keeper {
        store,
        handle,
        retention_ms,
        exported: Instant::now(),
        pruned: BTreeSet::new(),
    };
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = drain.wait() => return,
        }
        if let Err(error) = keeper.look(now_ms()).await {
            tracing::warn!(%error, "looking after the store");
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct Keeper {
    store: Arc<dyn Store>,
    handle: Handle,
    retention_ms: u64,
    /// When the last export was written or found unnecessary.
    exported: Instant,
    /// Rollouts whose evidence is gone.
    pruned: BTreeSet<String>,
}

impl Keeper {
    async fn look(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let exports = self.handle.read(|store| store.exports()).await?;
        let newest = exports.last().map_or(0, |exported| exported.revision);
        let due = self.exported.elapsed() >= EXPORT_EVERY || exports.is_empty();
        if due || self.store.last_revision() >= newest + EXPORT_EVENTS {
            self.export(exports.last()).await?;
        }
        metrics::gauge!(EXPORT_AGE).set(self.exported.elapsed().as_secs_f64());
        self.prune(&exports, now_ms).await
    }

    async fn export(&mut self, newest: Option<&Exported>) -> Result<(), StoreError> {
        let newest = newest.map(|exported| exported.commit);
        let written = self.handle.read(move |store| {
            if newest == Some(store.last_commit()) {
                return Ok(());
            }
            let exported = store.export()?;
            tracing::info!(
                revision = exported.revision,
                bytes = exported.bytes,
                "store exported"
            );
            Ok(())
        });
        let written = written.await;
        if written.is_err() {
            metrics::counter!(EXPORT_FAILURES).increment(1);
        }
        self.exported = Instant::now();
        written
    }

    async fn prune(&mut self, exports: &[Exported], now_ms: u64) -> Result<(), StoreError> {
        let (Some(oldest), Some(newest)) = (exports.first(), exports.last()) else {
            return Ok(());
        };
        let horizon = now_ms.saturating_sub(WINDOW_MS);
        let last = self.store.last_revision();
        let aged = self
            .handle
            .read(move |store| last_before(store, horizon))
            .await?;
        let through = aged
            .max(last.saturating_sub(WINDOW_EVENTS))
            .min(oldest.revision);
        let prune = self.plan(through, newest.revision, now_ms);
        let forgotten: Vec<String> = prune.forgotten.keys().cloned().collect();
        self.pruned.extend(prune.seen.iter().cloned());
        if !prune.is_empty() {
            let prune = Arc::new(prune);
            loop {
                let step = prune.clone();
                if !self.handle.read(move |store| store.prune(&step)).await? {
                    break;
                }
            }
        }
        for id in &forgotten {
            self.pruned.remove(id);
        }
        let silent_since_ms = now_ms.saturating_sub(self.retention_ms.max(HORIZON_MS));
        self.handle.forget(forgotten, silent_since_ms).await;
        Ok(())
    }

    /// What is old enough, and in an export.
    fn plan(&self, through: u64, exported: u64, now_ms: u64) -> Prune {
        let views = self.handle.views();
        let mut prune = Prune {
            through,
            requests_before_ms: now_ms.saturating_sub(REQUESTS_MS),
            ..Prune::default()
        };
        let latest: BTreeSet<&String> = views
            .models
            .values()
            .map(|model| &model.latest_rollout)
            .collect();
        for (id, rollout) in &views.rollouts {
            let Some(finished) = &rollout.finished else {
                continue;
            };
            let age_ms = now_ms.saturating_sub(millis(finished));
            if age_ms < self.retention_ms || rollout.revision > exported {
                continue;
            }
            let labels_over = age_ms >= HORIZON_MS;
            // What the model's sidecars hold follows from its latest one.
            if rollout.revision <= through && labels_over && !latest.contains(id) {
                prune.forgotten.insert(id.clone(), rollout.revision);
                continue;
            }
            if !self.pruned.contains(id) {
                prune.evidence.insert(id.clone());
                if labels_over {
                    prune.seen.insert(id.clone());
                }
            }
        }
        prune
    }
}

/// Revision of the last event from before a time, unix milliseconds; 0 if there is none.
fn last_before(store: &dyn Store, time_ms: u64) -> Result<u64, StoreError> {
    let (mut low, mut high) = (
        store.oldest_revision()?.saturating_sub(1),
        store.last_revision(),
    );
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let events = store.events(middle - 1, 1)?;
        let time = events.first().and_then(|event| event.time.as_ref());
        if time.is_some_and(|time| millis(time) < time_ms) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests;
