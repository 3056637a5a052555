//! Later truths about predictions: taken at once, kept on disk until the control plane has them.
//!
//! Nothing is joined here: whoever sends gets `accepted` when its outcomes are on disk, or with `?wait` the control
//! plane's own answers.

mod body;
mod forward;
mod record;
pub mod spool;
pub mod writer;

use crate::sync::Contact;
use serinus_proto::v1;
use spool::SpoolError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use writer::Writer;

/// Takes outcomes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    writer: Writer,
    tally: Arc<Tally>,
    contact: watch::Receiver<Contact>,
}

/// What became of outcomes, since the start.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    failed_calls: AtomicU64,
    /// By number of the final status.
    statuses: [AtomicU64; 8],
}

impl Tally {
    fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn answered(&self, statuses: &[v1::OutcomeStatus]) {
        for &status in statuses {
            if let Some(counter) = self.statuses.get(status as usize) {
                Self::add(counter, 1);
            }
        }
    }

    /// Outcomes by final status, with the names of the answers.
    pub fn by_status(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let numbered = self.statuses.iter().enumerate().skip(1);
        numbered.filter_map(|(number, counter)| {
            let status = v1::OutcomeStatus::try_from(i32::try_from(number).ok()?).ok()?;
            Some((name(status), counter.load(Ordering::Relaxed)))
        })
    }

    /// Outcomes that were put on disk.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Outcomes that were sent away because the spool was full or could not be written.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Outcomes that the control plane refused to look at.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Calls to the control plane that failed and are made again.
    #[must_use]
    pub fn failed_calls(&self) -> u64 {
        self.failed_calls.load(Ordering::Relaxed)
    }
}

/// A status as it stands in an answer.
#[must_use]
pub fn name(status: v1::OutcomeStatus) -> &'static str {
    match status {
        v1::OutcomeStatus::Unspecified => ACCEPTED,
        v1::OutcomeStatus::Joined => "joined",
        v1::OutcomeStatus::Duplicate => "duplicate",
        v1::OutcomeStatus::Expired => "expired",
        v1::OutcomeStatus::BadId => "bad_id",
        v1::OutcomeStatus::UnknownMetric => "unknown_metric",
        v1::OutcomeStatus::BadValue => "bad_value",
        v1::OutcomeStatus::NoPrediction => "no_prediction",
    }
}

const ACCEPTED: &str = "accepted";

/// The answer to one `POST /v1/outcomes`.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// It was one object, and so is its answer.
    pub single: bool,
    /// In the order of the body.
    pub statuses: Vec<&'static str>,
}

impl Answer {
    /// Whether any of them is on disk here but not yet answered by the control plane.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.statuses.contains(&ACCEPTED)
    }
}

/// Why a body is not taken at all.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Everything that is wrong with its shape.
    #[error("{}", .0.join("; "))]
    Shape(Vec<String>),
    /// Not now.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl Desk {
    /// With the spool's thread and the connection to the control plane.
    #[must_use]
    pub fn new(writer: Writer, contact: watch::Receiver<Contact>) -> Self {
        Self {
            writer,
            tally: Arc::default(),
            contact,
        }
    }

    /// Counts for metrics.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Bytes on disk that the control plane has not answered.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.writer.waiting_bytes()
    }

    /// Takes a body; `lines` says that it is one object a line, `wait` that final answers are wanted. Without contact
    /// to the control plane those who wait get `accepted` too.
    ///
    /// # Errors
    /// See [`Refused`]: nothing of the body is kept then.
    pub async fn take(&self, bytes: &[u8], lines: bool, wait: bool) -> Result<Answer, Refused> {
        let body = body::parse(bytes, lines).map_err(Refused::Shape)?;
        let mut statuses = Vec::with_capacity(body.items.len());
        let mut outcomes = Vec::new();
        for item in body.items {
            match item {
                body::Item::Answered(status) => {
                    self.tally.answered(&[status]);
                    statuses.push(Some(status));
                }
                body::Item::Forward(outcome) => {
                    outcomes.push(outcome);
                    statuses.push(None);
                }
            }
        }
        let mut answers = self.give(outcomes, wait).await?.into_iter();
        let statuses = statuses.into_iter().map(|status| {
            let status = status.or_else(|| answers.next());
            status.map_or(ACCEPTED, name)
        });
        Ok(Answer {
            single: body.single,
            statuses: statuses.collect(),
        })
    }

    /// Final answers where they are wanted and to be had; none where the outcomes are on disk here.
    async fn give(
        &self,
        outcomes: Vec<v1::Outcome>,
        wait: bool,
    ) -> Result<Vec<v1::OutcomeStatus>, SpoolError> {
        let mut final_answers = Vec::new();
        let mut rest = outcomes.as_slice();
        let session = self.contact.borrow().session.clone();
        if let (true, Some(session)) = (wait, session) {
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(forward::MOST));
                let Ok(statuses) = forward::record(&session.link, now.to_vec()).await else {
                    Tally::add(&self.tally.failed_calls, 1);
                    break;
                };
                self.tally.answered(&statuses);
                final_answers.extend(statuses);
                rest = later;
            }
        }
        if rest.is_empty() {
            return Ok(final_answers);
        }
        let count = rest.len();
        let kept = self.writer.append(rest.to_vec()).await;
        match &kept {
            Ok(()) => Tally::add(&self.tally.accepted, count),
            Err(_) => Tally::add(&self.tally.refused, count),
        }
        kept.map(|()| final_answers)
    }

    /// Ends the spool's thread: another process may open the spool. What comes later is refused.
    pub async fn close(&self) {
        self.writer.close().await;
    }

    /// Forwards what is on disk until `stopping` is set and everything was answered.
    pub async fn forward(&self, stopping: watch::Receiver<bool>) {
        forward::run(self, self.contact.clone(), stopping).await;
    }
}

#[cfg(test)]
mod tests;
