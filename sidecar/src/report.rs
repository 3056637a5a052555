//! What was counted, on its way to the control plane.

pub mod ledger;
mod merge;
mod stream;

use crate::sync::Contact;
use crate::worker::Sealed;
use ledger::{Ledger, LostHistory, Share};
use rand::RngExt as _;
use serinus_proto::v1;
use serinus_proto::v1::report_ack::Refusal;
use serinus_runtime::backoff::Backoff;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{debug, error, warn};

/// Longest interval that the control plane may ask for; above it, evidence would come too late.
const LONGEST_INTERVAL: u64 = 10;

/// The counts of this sidecar. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reports(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    books: Mutex<Books>,
    changed: Notify,
}

#[derive(Debug)]
struct Books {
    incarnation: u64,
    ledger: Ledger,
    /// The workers are gone; nothing comes any more.
    closed: bool,
    /// Why the last report was refused.
    refused: Option<String>,
}

impl Reports {
    /// For so many workers, under the sidecar's name, with a fresh incarnation.
    #[must_use]
    pub fn new(name: String, workers: usize) -> Self {
        Self(Arc::new(Inner {
            name,
            books: Mutex::new(Books {
                incarnation: incarnation(),
                ledger: Ledger::new(workers),
                closed: false,
                refused: None,
            }),
            changed: Notify::new(),
        }))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // The ledger has no state that a panic could leave half done and that a later call would trust.
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Random, not 0, new at every start.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.books().incarnation
    }

    /// Reports that are not stored for good by the control plane, and the highest number that is.
    #[must_use]
    pub fn backlog(&self) -> (usize, u64) {
        self.books().ledger.backlog()
    }

    /// The control plane says what it has.
    ///
    /// # Errors
    /// [`LostHistory`]: then [`Reports::restart`] and greet again.
    pub fn welcome(&self, welcome: &v1::Welcome) -> Result<(), LostHistory> {
        let mut books = self.books();
        books
            .ledger
            .set_interval(seconds(welcome.report_interval).unwrap_or(1));
        books.ledger.welcome(welcome.committed_seq)
    }

    /// The control plane answers a report.
    ///
    /// # Errors
    /// As [`Reports::welcome`].
    fn acknowledged(&self, ack: &v1::ReportAck) -> Result<(), LostHistory> {
        let mut books = self.books();
        if let Some(seconds) = seconds(ack.report_interval) {
            books.ledger.set_interval(seconds);
        }
        let refused = (ack.refusal() != Refusal::None).then(|| ack.detail.clone());
        if refused.is_some() && refused != books.refused {
            error!(why = ack.detail, refusal = ?ack.refusal(), "the control plane does not count what is reported here");
        }
        books.refused = refused;
        books.ledger.ack(ack)
    }

    /// Why the control plane does not count what is reported; `None` while it does.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        self.books().refused.clone()
    }

    /// A new incarnation, whose reports start from number 1.
    pub fn restart(&self) {
        let mut books = self.books();
        books.incarnation = incarnation();
        books.refused = None;
        books.ledger.restart();
        warn!(
            incarnation = books.incarnation,
            "the control plane lost history: reporting under a new incarnation"
        );
    }

    fn next(&self) -> Option<v1::ReportRequest> {
        let mut books = self.books();
        let report = books.ledger.next_report()?;
        Some(v1::ReportRequest {
            sidecar: self.0.name.clone(),
            incarnation: books.incarnation,
            ..report
        })
    }

    fn seal(&self, sealed: Sealed) {
        self.books().ledger.seal(Share {
            worker: sealed.worker,
            finished_before: sealed.finished_before,
            cells: sealed.cells,
            keys: sealed.keys,
        });
        self.0.changed.notify_one();
    }

    fn close(&self) {
        let mut books = self.books();
        books.ledger.close();
        books.closed = true;
        drop(books);
        self.0.changed.notify_one();
    }

    /// Whether the last report was made and sent on the present stream.
    fn is_sent(&self) -> bool {
        let books = self.books();
        books.closed && books.ledger.is_sent()
    }

    /// Whether the last report was made and stored for good.
    fn is_done(&self) -> bool {
        let books = self.books();
        books.closed && books.ledger.is_empty()
    }
}

/// Whole seconds of an interval, within what makes sense.
fn seconds(interval: Option<prost_types::Duration>) -> Option<u64> {
    let interval = Duration::try_from(interval?).ok()?;
    Some((interval.as_secs_f64().round() as u64).clamp(1, LONGEST_INTERVAL))
}

fn incarnation() -> u64 {
    rand::rng().random_range(1..=u64::MAX)
}

/// Reports until the workers are gone and everything is stored, or was at least heard to the end.
pub async fn run(
    reports: Reports,
    mut sealed: mpsc::UnboundedReceiver<Sealed>,
    contact: watch::Receiver<Contact>,
    reconnect: Arc<Notify>,
) {
    let intake = async {
        while let Some(share) = sealed.recv().await {
            reports.seal(share);
        }
        reports.close();
    };
    tokio::join!(intake, deliver(&reports, contact, &reconnect));
}

async fn deliver(reports: &Reports, mut contact: watch::Receiver<Contact>, reconnect: &Notify) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        let session = contact.borrow_and_update().session.clone();
        let Some(session) = session else {
            if wait_for_contact(reports, &mut contact).await {
                continue;
            }
            return;
        };
        match stream::run(reports, &session, &mut contact).await {
            Ok(stream::Ended::Done) => return,
            Ok(stream::Ended::Elsewhere) => backoff.reset(),
            Ok(stream::Ended::LostHistory) => {
                reports.restart();
                reconnect.notify_one();
                let _ = contact.changed().await;
            }
            Err(status) => {
                let wait = backoff.next_delay();
                debug!(code = ?status.code(), why = status.message(), ?wait, "the report stream ended; counts are kept");
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    Ok(()) = contact.changed() => {}
                }
            }
        }
    }
}

/// `false` when there will be none, or nothing is left to say.
async fn wait_for_contact(reports: &Reports, contact: &mut watch::Receiver<Contact>) -> bool {
    loop {
        if reports.is_done() {
            return false;
        }
        tokio::select! {
            changed = contact.changed() => return changed.is_ok(),
            () = reports.0.changed.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests;
