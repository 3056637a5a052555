//! What must be true of every run of the real programs, whatever was done to them: the invariants I1 to I14, as far as
//! they apply to one machine, told from a trace alone. The trace believes nobody: the log is read from the disk, what
//! sidecars hold is asked of them, what users got is what they got.
//!
//! I1 no acknowledged command is lost or done twice; I2 the log has no gap, fork or changed entry; I3 what a sidecar accepts
//! is ever newer; I4 a share in force is one of the log, and within its step; I5 what was rolled back is never served again;
//! I6 an older history changes nothing once a newer one was seen; I7 the same user gets the same variant; I8 nothing is
//! counted twice or made up; I9 both variants of a report count together; I10 the same log gives the same decisions; I11 a
//! watcher misses nothing; I12 queues are bounded; I13 once faults are over, everybody holds what they should; I14 users
//! never wait for the control plane.

mod answers;
mod counts;
mod ending;
mod fleet;
mod history;
pub mod trace;

use std::fmt;
use trace::{Record, What};

/// Clocks of the same machine, read by different programs, ms.
const CLOCK_MS: u64 = 50;

/// Something that must not be, and the records that show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// `I1` to `I14`.
    pub invariant: &'static str,
    /// What is wrong.
    pub what: String,
    /// The records that show it.
    pub records: Vec<Record>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)?;
        for record in &self.records {
            let line = serde_json::to_string(record).map_err(|_| fmt::Error)?;
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// Collects violations.
#[derive(Debug, Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, invariant: &'static str, records: &[&Record], what: String) {
        let records = records.iter().map(|&record| record.clone()).collect();
        self.0.push(Violation {
            invariant,
            what,
            records,
        });
    }
}

/// Everything in a trace that must not be; empty if nothing is. Records are in the order of time.
#[must_use]
pub fn check(trace: &[Record]) -> Vec<Violation> {
    let mut found = Found::default();
    let history = history::read(trace, &mut found);
    history::acknowledged(trace, &history, &mut found);
    history::watched(trace, &history, &mut found);
    fleet::fences(trace, &mut found);
    fleet::shares(trace, &history, &mut found);
    fleet::bounds(trace, &mut found);
    answers::variants(trace, &history, &mut found);
    answers::moves(trace, &mut found);
    answers::failures(trace, &history, &mut found);
    counts::made_up(trace, &history, &mut found);
    counts::reports(trace, &mut found);
    counts::decisions(trace, &mut found);
    ending::liveness(trace, &mut found);
    found.0
}

/// How much a trace holds of what can be checked: a check of nothing finds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Entries of the log.
    pub events: usize,
    /// Looks at sidecars.
    pub held: usize,
    /// Requests.
    pub asked: usize,
}

/// Counts what a trace holds.
#[must_use]
pub fn size(trace: &[Record]) -> Size {
    let mut size = Size::default();
    for record in trace {
        match &record.what {
            What::Logged(_) => size.events += 1,
            What::Held(_) => size.held += 1,
            What::Asked(_) => size.asked += 1,
            _ => {}
        }
    }
    size
}

#[cfg(test)]
mod tests;
