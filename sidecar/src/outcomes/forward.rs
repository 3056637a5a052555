//! From the spool to the control plane.

use super::spool::Batch;
use super::{Desk, Tally};
use crate::sync::{Contact, Link};
use serinus_proto::v1;
use serinus_proto::v1::outcomes_client::OutcomesClient;
use serinus_runtime::backoff::Backoff;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Code, Status};
use tracing::{debug, error};

/// The control plane takes at most so many at once.
pub(super) const MOST: usize = 10_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks the control plane what became of some outcomes, in order.
pub(super) async fn record(
    link: &Link,
    items: Vec<v1::Outcome>,
) -> Result<Vec<v1::OutcomeStatus>, Status> {
    let count = items.len();
    let mut client = OutcomesClient::new(link.clone());
    let call = client.record_outcomes(v1::RecordOutcomesRequest { items });
    let answer = tokio::time::timeout(ANSWER_WITHIN, call)
        .await
        .map_err(|_| Status::deadline_exceeded("no answer within 10 s"))??;
    let statuses: Vec<_> = answer.into_inner().statuses().collect();
    if statuses.len() != count {
        return Err(Status::internal(format!(
            "{} answers for {count} outcomes",
            statuses.len()
        )));
    }
    Ok(statuses)
}

/// Forwards until `stopping` is set and the spool is empty.
pub(super) async fn run(
    desk: &Desk,
    mut contact: watch::Receiver<Contact>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        let batch = match desk.writer.read(MOST).await {
            Ok(batch) => batch,
            Err(error) => {
                error!(%error, "the outcome spool cannot be read");
                tokio::time::sleep(backoff.next_delay()).await;
                continue;
            }
        };
        if batch.is_nothing() {
            let stop = *stopping.borrow();
            if stop || !more(desk, &mut stopping).await {
                return;
            }
            continue;
        }
        let session = contact.borrow_and_update().session.clone();
        let Some(session) = session else {
            if contact.changed().await.is_err() {
                return;
            }
            continue;
        };
        if hand_over(desk, &session.link, &batch).await {
            backoff.reset();
            release(desk, batch).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                _ = contact.changed() => {}
            }
        }
    }
}

/// Whether the control plane has answered, so that the outcomes need not be kept.
async fn hand_over(desk: &Desk, link: &Link, batch: &Batch) -> bool {
    if batch.items.is_empty() {
        return true;
    }
    match record(link, batch.items.clone()).await {
        Ok(statuses) => {
            desk.tally.answered(&statuses);
            true
        }
        Err(status) if status.code() == Code::InvalidArgument => {
            // They would be refused for ever, and block whatever comes after them.
            error!(
                outcomes = batch.items.len(),
                why = status.message(),
                "the control plane refuses these outcomes; they are dropped"
            );
            Tally::add(&desk.tally.dropped, batch.items.len());
            true
        }
        Err(status) => {
            debug!(code = ?status.code(), why = status.message(), "outcomes wait for the control plane");
            Tally::add(&desk.tally.failed_calls, 1);
            false
        }
    }
}

/// Waits for outcomes, or for the stop; `false` when nobody can say stop any more.
async fn more(desk: &Desk, stopping: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = desk.writer.arrival() => true,
        changed = stopping.changed() => changed.is_ok(),
    }
}

async fn release(desk: &Desk, batch: Batch) {
    if let Err(error) = desk.writer.release(batch).await {
        error!(%error, "outcomes that were answered cannot be removed; they may be sent again");
    }
}
