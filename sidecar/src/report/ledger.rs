//! Which counts are where: with a worker, waiting to be sent, sent, stored for good. Pure.
//!
//! A report gets its number when it is first sent, and never changes from then on; so whatever is sent twice is
//! recognised, and whatever was never sent can still be summed when there is too much of it.

mod keys;
mod seconds;

use super::merge;
use keys::Keys;
use seconds::Seconds;
use serinus_proto::v1;
use std::collections::VecDeque;
use thiserror::Error;

/// Reports that wait unsent, and those that are sent but not stored, are at most this many each; with one a second,
/// 120 s.
pub const BOUND: usize = 120;

/// What one worker finished.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// Number of the worker, from 0.
    pub worker: usize,
    /// Every cell before this unix second is finished there.
    pub finished_before: u64,
    /// Its finished cells.
    pub cells: Vec<v1::Cell>,
    /// Its key statistics, cumulative.
    pub keys: Vec<v1::KeyStatistics>,
}

/// The control plane has stored less than what was forgotten here on its word: it was restored from a backup.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "the control plane has reports up to {theirs}, but said before that it had stored {ours}: it lost history"
)]
pub struct LostHistory {
    /// What it says now.
    pub theirs: u64,
    /// What it said before.
    pub ours: u64,
}

/// Content of a report.
#[derive(Clone, Debug, Default)]
struct Content {
    finished_before: u64,
    cells: Vec<v1::Cell>,
    keys: Vec<v1::KeyStatistics>,
}

/// The counts of one incarnation.
#[derive(Debug)]
pub struct Ledger {
    seconds: Seconds,
    keys: Keys,
    /// Finished, not yet a report.
    ready: Content,
    rounds: u64,
    interval: u64,
    unsent: VecDeque<Content>,
    /// Numbers `committed + 1 ..= committed + sent.len()`.
    sent: VecDeque<Content>,
    committed: u64,
    /// Highest number that was sent on the present stream.
    cursor: u64,
    asked: Option<u64>,
}

impl Ledger {
    /// For so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            seconds: Seconds::new(workers),
            keys: Keys::new(workers),
            ready: Content::default(),
            rounds: 0,
            interval: 1,
            unsent: VecDeque::new(),
            sent: VecDeque::new(),
            committed: 0,
            cursor: 0,
            asked: None,
        }
    }

    /// Every how many seconds a report is made, at least 1.
    pub fn set_interval(&mut self, seconds: u64) {
        self.interval = seconds.max(1);
    }

    /// Takes what a worker finished. Once every worker has, the second becomes part of a report, an empty one too.
    pub fn seal(&mut self, share: Share) {
        self.keys.update(share.worker, share.keys);
        let Some((finished_before, cells)) =
            self.seconds
                .seal(share.worker, share.finished_before, share.cells)
        else {
            return;
        };
        self.ready.finished_before = self.ready.finished_before.max(finished_before);
        self.ready.cells.extend(cells);
        let keys = self.keys.take();
        if !keys.is_empty() {
            self.ready.keys = keys;
        }
        self.asked = None;
        self.rounds += 1;
        if self.rounds >= self.interval {
            self.cut();
        }
    }

    /// The workers are gone: what they left is the last report.
    pub fn close(&mut self) {
        self.ready.cells.extend(self.seconds.drain());
        let keys = self.keys.take();
        if !keys.is_empty() {
            self.ready.keys = keys;
        }
        self.cut();
    }

    fn cut(&mut self) {
        self.rounds = 0;
        let finished_before = self.ready.finished_before;
        self.unsent.push_back(std::mem::take(&mut self.ready));
        self.ready.finished_before = finished_before;
        while self.unsent.len() > BOUND {
            self.sum_oldest();
        }
    }

    /// Makes one of the two oldest unsent reports, with one cell per rollout and epoch. What was counted outside of
    /// rollouts is wanted second by second, or not at all: of the older report it is left out.
    fn sum_oldest(&mut self) {
        let (Some(oldest), Some(next)) = (self.unsent.pop_front(), self.unsent.front_mut()) else {
            return;
        };
        let mut cells: Vec<v1::Cell> = Vec::new();
        let summed = oldest.cells.into_iter().filter(is_of_a_rollout);
        for cell in summed.chain(std::mem::take(&mut next.cells)) {
            let same = |c: &&mut v1::Cell| {
                is_of_a_rollout(c) && c.rollout == cell.rollout && c.epoch == cell.epoch
            };
            match cells.iter_mut().find(same) {
                Some(sum) => merge::add_cell(sum, cell),
                None => cells.push(cell),
            }
        }
        next.cells = cells;
        if next.keys.is_empty() {
            next.keys = oldest.keys;
        }
    }

    /// The next report for the present stream, without the sidecar's name and incarnation; `None` when there is
    /// nothing, or too much is under way.
    pub fn next_report(&mut self) -> Option<v1::ReportRequest> {
        let last = self.committed + self.sent.len() as u64;
        if self.cursor >= last {
            if self.sent.len() >= BOUND {
                return None;
            }
            self.sent.push_back(self.unsent.pop_front()?);
        }
        self.cursor = self.cursor.max(self.committed) + 1;
        let position = usize::try_from(self.cursor - self.committed - 1).ok()?;
        let content = self.sent.get(position)?;
        Some(v1::ReportRequest {
            seq: self.cursor,
            finished_before: content.finished_before,
            cells: content.cells.clone(),
            keys: content.keys.clone(),
            ..v1::ReportRequest::default()
        })
    }

    /// A new stream: everything that is not stored is sent on it.
    pub fn rewind(&mut self) {
        self.cursor = self.committed;
        self.asked = None;
    }

    /// What the control plane says it has stored, at the start of a connection.
    ///
    /// # Errors
    /// [`LostHistory`]: nothing changed; call [`Ledger::restart`] and take a new incarnation.
    pub fn welcome(&mut self, committed: u64) -> Result<(), LostHistory> {
        if committed < self.committed {
            return Err(LostHistory {
                theirs: committed,
                ours: self.committed,
            });
        }
        self.forget(committed);
        self.rewind();
        Ok(())
    }

    /// An answer on the stream.
    ///
    /// # Errors
    /// [`LostHistory`] if it asks for what was forgotten on its word.
    pub fn ack(&mut self, ack: &v1::ReportAck) -> Result<(), LostHistory> {
        self.forget(ack.committed_seq);
        if !ack.resend || self.asked == Some(ack.resend_after) {
            return Ok(());
        }
        if ack.resend_after < self.committed {
            return Err(LostHistory {
                theirs: ack.resend_after,
                ours: self.committed,
            });
        }
        // Reports that were under way ask for the same once more each; once is enough.
        self.asked = Some(ack.resend_after);
        self.cursor = self.cursor.min(ack.resend_after);
        Ok(())
    }

    fn forget(&mut self, committed: u64) {
        // A number that was never given cannot be stored.
        let known = self.committed + self.sent.len() as u64;
        let gone = committed.min(known).saturating_sub(self.committed);
        for _ in 0..gone {
            self.sent.pop_front();
        }
        self.committed += gone;
        self.cursor = self.cursor.max(self.committed);
    }

    /// Numbers start again from 1, under a new incarnation: whatever is not stored for good is sent again.
    pub fn restart(&mut self) {
        while let Some(content) = self.sent.pop_back() {
            self.unsent.push_front(content);
        }
        while self.unsent.len() > BOUND {
            self.sum_oldest();
        }
        self.committed = 0;
        self.rewind();
    }

    /// Whether everything that was finished is stored for good.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.unsent.is_empty()
    }

    /// Whether everything that was finished was sent on the present stream.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.unsent.is_empty() && self.cursor >= self.committed + self.sent.len() as u64
    }

    /// Reports that are not stored for good, and the highest number that is.
    #[must_use]
    pub fn backlog(&self) -> (usize, u64) {
        (self.sent.len() + self.unsent.len(), self.committed)
    }
}

fn is_of_a_rollout(cell: &v1::Cell) -> bool {
    !cell.rollout.is_empty()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(super) mod tests;
