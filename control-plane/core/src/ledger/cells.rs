//! Cells of one rollout: summed over sidecars, closed, joined into slices.

use super::counts::{Counts, CountsError, sketch_to_wire};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeMap;

/// A slice is the shortest run of closed cells with this many requests.
pub const SLICE_REQUESTS: u64 = 20;

/// Counts of the two variants that are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The variant under test.
    pub canary: Counts,
    /// The one that serves today.
    pub stable: Counts,
}

impl Pair {
    fn merge(&mut self, other: &Self) {
        self.canary.merge(&other.canary);
        self.stable.merge(&other.stable);
    }

    fn requests(&self) -> u64 {
        self.canary.requests() + self.stable.requests()
    }
}

#[derive(Clone, Debug, Default)]
struct Epoch {
    open: BTreeMap<u64, Pair>,
    /// Cells before this second have gone into slices, or wait in `open` for enough requests.
    closed_before: u64,
    ended_ms: Option<u64>,
}

/// The open cells of one rollout.
#[derive(Clone, Debug)]
pub struct Cells {
    stable: String,
    canary: String,
    epochs: BTreeMap<u64, Epoch>,
    current: u64,
    dropped: u64,
}

impl Cells {
    /// For the rollout of `canary` against `stable`.
    #[must_use]
    pub fn new(stable: &str, canary: &str) -> Self {
        Self {
            stable: stable.to_owned(),
            canary: canary.to_owned(),
            epochs: BTreeMap::new(),
            current: 0,
            dropped: 0,
        }
    }

    /// An epoch began; earlier ones have ended and take late cells only for a while.
    pub fn begin(&mut self, epoch: u64, now_ms: u64) {
        for (_, earlier) in self.epochs.range_mut(..epoch) {
            earlier.ended_ms.get_or_insert(now_ms);
        }
        self.epochs.entry(epoch).or_default();
        self.current = self.current.max(epoch);
    }

    /// The variant names that are compared: stable, canary.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        (&self.stable, &self.canary)
    }

    /// Adds the counts of one cell. A cell of a second that is closed joins the next open one of its epoch; one of an
    /// epoch that is over is dropped, for both variants, and counted. Returns whether it was taken.
    pub fn absorb(&mut self, epoch: u64, second: u64, pair: &Pair) -> bool {
        let Some(of) = self.epochs.get_mut(&epoch) else {
            self.dropped += 1;
            return false;
        };
        of.open
            .entry(second.max(of.closed_before))
            .or_default()
            .merge(pair);
        true
    }

    /// Cells that came too late.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Joins cells before `closed_before` into slices, in order of epochs and seconds. An epoch that ended more than
    /// `keep_ms` ago gives its last slice whatever its size, and is over.
    pub fn close(&mut self, closed_before: u64, now_ms: u64, keep_ms: u64) -> Vec<stored::Slice> {
        let mut slices = Vec::new();
        let mut over = Vec::new();
        for (&number, epoch) in &mut self.epochs {
            let last = epoch
                .ended_ms
                .is_some_and(|ended| ended + keep_ms <= now_ms);
            let before = if last { u64::MAX } else { closed_before };
            slices.extend(
                epoch
                    .close(before, last)
                    .into_iter()
                    .map(|run| run.slice(number, &self.canary)),
            );
            if last {
                over.push(number);
            }
        }
        for number in over {
            self.epochs.remove(&number);
        }
        slices
    }

    /// What is in no slice yet.
    #[must_use]
    pub fn pending(&self) -> Vec<stored::PendingCell> {
        let mut cells = Vec::new();
        for (&epoch, of) in &self.epochs {
            for (&second, pair) in &of.open {
                let variants = vec![
                    pair.stable.to_wire(&self.stable),
                    pair.canary.to_wire(&self.canary),
                ];
                cells.push(stored::PendingCell {
                    epoch,
                    second,
                    variants,
                });
            }
        }
        cells
    }

    /// Takes back what [`Cells::pending`] gave. Cells of unknown epochs are opened as ended at `now_ms`.
    pub fn restore(&mut self, cells: &[stored::PendingCell], now_ms: u64) {
        for cell in cells {
            let pair = self.stored_pair(&cell.variants);
            let current = self.current;
            let epoch = self.epochs.entry(cell.epoch).or_default();
            if cell.epoch < current {
                epoch.ended_ms.get_or_insert(now_ms);
            }
            epoch.open.entry(cell.second).or_default().merge(&pair);
        }
    }

    /// The counts of the two compared variants among those of a cell.
    #[must_use]
    pub fn pair(&self, counts: &[(&str, Counts)]) -> Pair {
        let mut pair = Pair::default();
        for (variant, counts) in counts {
            if *variant == self.canary {
                pair.canary.merge(counts);
            } else if *variant == self.stable {
                pair.stable.merge(counts);
            }
        }
        pair
    }

    /// What cannot be read was not written by us; nothing is guessed for it.
    fn stored_pair(&self, variants: &[v1::VariantCell]) -> Pair {
        let read = variants.iter().map(|variant| {
            let counts = Counts::from_disk(variant)?;
            Ok((variant.variant.as_str(), counts))
        });
        let read: Result<Vec<_>, CountsError> = read.collect();
        self.pair(&read.unwrap_or_default())
    }
}

struct Run {
    first: u64,
    last: u64,
    sum: Pair,
}

impl Epoch {
    fn close(&mut self, before: u64, last: bool) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut run: Option<Run> = None;
        for (&second, pair) in self.open.range(..before) {
            let open = run.get_or_insert_with(|| Run {
                first: second,
                last: second,
                sum: Pair::default(),
            });
            open.last = second;
            open.sum.merge(pair);
            if open.sum.requests() >= SLICE_REQUESTS {
                runs.extend(run.take());
            }
        }
        if last {
            runs.extend(run.take().filter(|rest| rest.sum.requests() > 0));
            self.open.clear();
        }
        if let Some(done) = runs.last() {
            self.open = self.open.split_off(&(done.last + 1));
        }
        if before != u64::MAX {
            self.closed_before = self.closed_before.max(before);
            // Nothing that finished: it adds nothing to any slice, and would wait here for ever.
            let closed = self.closed_before;
            self.open
                .retain(|&second, pair| second >= closed || pair.requests() > 0);
        }
        runs
    }
}

impl Run {
    fn slice(self, epoch: u64, canary: &str) -> stored::Slice {
        let arm = |counts: &Counts| stored::Arm {
            requests: counts.requests(),
            errors: counts.errors(),
            latency: Some(sketch_to_wire(&counts.latency)),
        };
        stored::Slice {
            epoch,
            first_second: self.first,
            last_second: self.last,
            canary: Some(arm(&self.sum.canary)),
            stable: Some(arm(&self.sum.stable)),
            variant: canary.to_owned(),
            // The wall time that the run spans.
            seconds: (self.last - self.first + 1) as f64,
            breaker: None,
            canary_assigned: self.sum.canary.split(),
            stable_assigned: self.sum.stable.split(),
            // What the rollout was doing and what time it is are its caller's to know.
            warm: false,
            folded_ms: 0,
            canary_ppm: 0,
            clusters: Vec::new(),
            doubted: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
