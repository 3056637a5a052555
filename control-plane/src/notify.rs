//! Webhooks: whoever is named in the configuration is told of events.
//!
//! The log is the outbox. An event is posted only after it is on disk, again until the receiver answers 2xx, and those of
//! one model in their order; how far each receiver is goes into the store with the engine's own commits. So an event is
//! delivered at least once whatever crashes, and never before it is certain; a receiver tells repetitions by the id. What a
//! receiver that is slow or gone costs is a list of revisions.

mod describe;
mod filter;
mod lanes;
mod load;
mod post;
mod task;

pub(crate) use load::{Webhook, load};
pub(crate) use post::test_message;

use crate::engine::Handle;
use crate::store::{Batch, Store, StoreError, Urgency};
use serinus_proto::stored::v1 as stored;
use serinus_runtime::shutdown::Drain;
use std::collections::BTreeMap;
use tokio::task::JoinSet;

/// Where each webhook goes on, on disk before anything can happen: one that is new begins with the next event.
///
/// # Errors
/// If the store cannot be read or written.
pub(crate) fn begin(
    store: &dyn Store,
    webhooks: Vec<Webhook>,
) -> Result<Vec<(Webhook, stored::Webhook)>, StoreError> {
    let mut known: BTreeMap<String, stored::Webhook> = BTreeMap::new();
    if !webhooks.is_empty() {
        let stored = store.webhooks()?.into_iter();
        known.extend(stored.map(|of| (of.name.clone(), of)));
    }
    let last = store.last_revision();
    let mut batch = Batch {
        urgency: Urgency::Small,
        ..Batch::default()
    };
    let mut begun = Vec::with_capacity(webhooks.len());
    for webhook in webhooks {
        let before = known.remove(&webhook.service.name);
        let new = || stored::Webhook {
            name: webhook.service.name.clone(),
            read: last,
            ..stored::Webhook::default()
        };
        let mut state = before.clone().unwrap_or_else(new);
        // A repaired store has lost the end of its log: what comes now under those revisions is something else.
        state.read = state.read.min(last);
        state.outstanding.retain(|revision| *revision <= last);
        if before.as_ref() != Some(&state) {
            batch.webhooks.push(state.clone());
        }
        begun.push((webhook, state));
    }
    match store.commit(&batch) {
        // Kept as soon as there is room; until then a crash would make new ones begin later.
        Err(StoreError::Full(shortage)) => tracing::warn!("webhooks: {shortage}"),
        written => written?,
    }
    Ok(begun)
}

/// Delivers until the drain; then the tasks end soon.
pub(crate) fn start(
    webhooks: Vec<(Webhook, stored::Webhook)>,
    handle: &Handle,
    drain: &Drain,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (webhook, state) in webhooks {
        tasks.spawn(task::run(webhook, state, handle.clone(), drain.clone()));
    }
    tasks
}

#[cfg(test)]
mod tests;
