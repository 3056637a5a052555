//! Whether a report can be true. Everything that can be told from the report itself, from the clock, and from what the
//! same sidecar said before is told here, before any of it is merged.

use super::counts::{Counts, CountsError};
use serinus_proto::v1;
use std::collections::BTreeSet;
use thiserror::Error;

/// Cells of one report: 120 seconds of a hundred models.
const CELLS: usize = 12_000;
/// Key statistics of one report.
const KEYS: usize = 4_096;
/// Clusters of keys.
const CLUSTERS: usize = 64;
/// What one source can have counted of one cluster.
const CLUSTER_LIMIT: u64 = 1 << 48;
/// Registers of a sketch of distinct keys.
const REGISTERS: usize = 4_096;
/// How far a sidecar's clock may be off, in seconds. Cells are held together by arrival, so this need not be tight; it
/// keeps out what no clock shows.
const CLOCK_S: u64 = 7 * 86_400;
/// Requests per second that any sidecar is believed.
const BELIEVED: f64 = 50_000.0;
/// Beyond that, so many times as many as it was believed before.
const RISE: f64 = 4.0;
/// The first report of an incarnation may sum up a long time without contact, in seconds.
const FIRST_S: f64 = 3_600.0;
/// Weight of a new report in the rate.
const FRESH: f64 = 0.2;

/// Why a report cannot be true.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Impossible {
    /// Counts contradict themselves.
    #[error("{0}")]
    Counts(#[from] CountsError),
    /// A variant has two entries in one cell.
    #[error("variant {0} is in one cell twice")]
    Twice(String),
    /// No clock shows this.
    #[error("second {second} is {days} days from now: set the clock of the host")]
    Clock {
        /// What the report says, unix seconds.
        second: u64,
        /// How far off that is.
        days: u64,
    },
    /// More requests than a sidecar carries.
    #[error("{requests} requests in {seconds} s is more than {ceiling} a second")]
    Rate {
        /// What the report says.
        requests: u64,
        /// The time it is about.
        seconds: u64,
        /// What the sidecar is believed.
        ceiling: u64,
    },
    /// Key statistics of the wrong form, or with more errors than requests.
    #[error("the key statistics of {0} cannot be true")]
    Keys(String),
    /// More than a report can have.
    #[error("{0} entries are more than a report can have")]
    Size(usize),
    /// It is about an epoch that never began. That is no lie where the history of the control plane was lost.
    #[error("epoch {epoch} of rollout {rollout} never began here")]
    Epoch {
        /// Which rollout.
        rollout: String,
        /// What the report says.
        epoch: u64,
    },
}

impl Impossible {
    /// A short name for counting.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Counts(_) => "counts",
            Self::Twice(_) => "twice",
            Self::Clock { .. } => "clock",
            Self::Rate { .. } => "rate",
            Self::Keys(_) => "keys",
            Self::Size(_) => "size",
            Self::Epoch { .. } => "epoch",
        }
    }

    /// Whether nothing more is to be believed of who sent it.
    #[must_use]
    pub fn is_lie(&self) -> bool {
        !matches!(self, Self::Epoch { .. })
    }
}

/// How much one incarnation of a sidecar has reported, and so how much more it is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    finished_before: u64,
    highest: f64,
    rate: f64,
}

impl Pace {
    /// Requests per second lately; 0 before the second report.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    fn seconds(&self, finished_before: u64) -> f64 {
        match self.finished_before {
            0 => FIRST_S,
            // A clock that was set back tells no time.
            before => finished_before.saturating_sub(before).max(1) as f64,
        }
    }

    fn check(&self, requests: u64, finished_before: u64) -> Result<(), Impossible> {
        let seconds = self.seconds(finished_before);
        let ceiling = (self.highest * RISE).max(BELIEVED);
        if requests as f64 <= ceiling * seconds {
            return Ok(());
        }
        // Both are far below 2^64.
        Err(Impossible::Rate {
            requests,
            seconds: seconds as u64,
            ceiling: ceiling as u64,
        })
    }

    fn take(&mut self, requests: u64, finished_before: u64) {
        if self.finished_before > 0 {
            let rate = requests as f64 / self.seconds(finished_before);
            self.highest = self.highest.max(rate);
            self.rate = if self.rate == 0.0 {
                rate
            } else {
                self.rate + FRESH * (rate - self.rate)
            };
        }
        self.finished_before = self.finished_before.max(finished_before);
    }
}

/// A cell and its counts, read and found possible.
#[derive(Debug)]
pub struct Read<'a> {
    /// The cell.
    pub cell: &'a v1::Cell,
    /// Of each variant.
    pub counts: Vec<(&'a str, Counts)>,
}

/// Reads a whole report; `epoch` is the present epoch of a rollout, if that is active. The pace is changed only by a
/// report that can be true.
///
/// # Errors
/// The first thing that cannot be.
pub fn read<'a>(
    report: &'a v1::ReportRequest,
    pace: &mut Pace,
    now_s: u64,
    epoch: impl Fn(&str) -> Option<u64>,
) -> Result<Vec<Read<'a>>, Impossible> {
    if report.cells.len() > CELLS || report.keys.len() > KEYS {
        return Err(Impossible::Size(report.cells.len().max(report.keys.len())));
    }
    let began = |rollout: &str, of: u64| match epoch(rollout) {
        Some(present) if of > present => Err(Impossible::Epoch {
            rollout: rollout.to_owned(),
            epoch: of,
        }),
        _ => Ok(()),
    };
    if report.finished_before > 0 {
        clock(report.finished_before, now_s)?;
    }
    let mut read = Vec::with_capacity(report.cells.len());
    let mut requests = 0u64;
    for cell in &report.cells {
        clock(cell.second, now_s)?;
        let counts = counts(cell)?;
        let sum = counts
            .iter()
            .map(|(_, of)| of.requests().max(of.assigned + of.diverted));
        requests = requests.saturating_add(sum.sum());
        read.push(Read { cell, counts });
    }
    report.keys.iter().try_for_each(keys)?;
    pace.check(requests, report.finished_before)?;
    // Last, so that what is a lie is called one.
    for cell in &report.cells {
        began(&cell.rollout, cell.epoch)?;
    }
    for of in &report.keys {
        began(&of.rollout, of.epoch)?;
    }
    pace.take(requests, report.finished_before);
    Ok(read)
}

fn counts(cell: &v1::Cell) -> Result<Vec<(&str, Counts)>, Impossible> {
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(cell.variants.len());
    for variant in &cell.variants {
        if !names.insert(variant.variant.as_str()) {
            return Err(Impossible::Twice(variant.variant.clone()));
        }
        all.push((variant.variant.as_str(), Counts::from_wire(variant)?));
    }
    Ok(all)
}

fn clock(second: u64, now_s: u64) -> Result<(), Impossible> {
    let off = second.abs_diff(now_s);
    if off <= CLOCK_S {
        return Ok(());
    }
    Err(Impossible::Clock {
        second,
        days: off / 86_400,
    })
}

fn keys(of: &v1::KeyStatistics) -> Result<(), Impossible> {
    let (requests, errors) = (&of.cluster_requests, &of.cluster_errors);
    let sized = |n: usize, full: usize| n == 0 || n == full;
    let possible = sized(of.registers.len(), REGISTERS)
        && sized(requests.len(), CLUSTERS)
        && errors.len() == requests.len()
        && requests
            .iter()
            .zip(errors)
            .all(|(&n, &x)| x <= n && n < CLUSTER_LIMIT);
    if possible {
        return Ok(());
    }
    Err(Impossible::Keys(of.variant.clone()))
}

#[cfg(test)]
mod tests;
