//! Labels of one guardrail, summed by the time of their *prediction* and sealed: both variants of a cell have then
//! waited equally long, so that early labels cannot bias the comparison (decision-engine, section 8).

use super::cells::SLICE_REQUESTS;
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;

/// Cells of a label window: its length over this, at least a second.
const CELLS_PER_WINDOW: u64 = 600;
/// Predictions further in the future than this come from a clock that is wrong: they would wait for ever.
const AHEAD_MS: u64 = 60_000;
/// A cell whose labels have arrived to this share, of both variants, need not wait for the window to end.
const COMPLETE: f64 = 0.95;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Arm {
    labels: u64,
    sum_ppm: u64,
    assigned: u64,
}

impl Arm {
    fn complete(&self) -> bool {
        self.assigned > 0 && self.labels as f64 >= COMPLETE * self.assigned as f64
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    canary: Arm,
    stable: Arm,
}

/// Sealed cells that are not enough for a slice yet.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    end: u64,
    sum: Cell,
}

#[derive(Clone, Debug, Default)]
struct Epoch {
    /// Cells that are not sealed.
    open: BTreeMap<u64, Cell>,
    /// Everything before this second is sealed.
    sealed_before: u64,
    run: Option<Run>,
    ended_ms: Option<u64>,
}

/// What became of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    Joined,
    /// Its window is over, its cell sealed, its epoch unknown or over, or it is from the future.
    Expired,
}

/// The labels of one guardrail.
#[derive(Clone, Debug)]
pub struct Labels {
    guardrail: u32,
    window_ms: u64,
    cell_s: u64,
    epochs: BTreeMap<u64, Epoch>,
    expired: u64,
}

impl Labels {
    /// For the guardrail at a position of the plan, whose labels are waited for `window_ms`.
    #[must_use]
    pub fn new(guardrail: u32, window_ms: u64) -> Self {
        let cell_s = (window_ms / 1000 / CELLS_PER_WINDOW).max(1);
        Self {
            guardrail,
            window_ms,
            cell_s,
            epochs: BTreeMap::new(),
            expired: 0,
        }
    }

    /// Position of the guardrail in the plan.
    #[must_use]
    pub fn guardrail(&self) -> u32 {
        self.guardrail
    }

    /// An epoch began.
    pub fn begin(&mut self, epoch: u64, now_ms: u64) {
        for (_, earlier) in self.epochs.range_mut(..epoch) {
            earlier.ended_ms.get_or_insert(now_ms);
        }
        self.epochs.entry(epoch).or_default();
    }

    /// Requests were assigned in a second, as a report says at `now_ms`.
    pub fn assigned(&mut self, epoch: u64, second: u64, now_ms: u64, canary: u64, stable: u64) {
        if canary == 0 && stable == 0 {
            return;
        }
        if let Some(cell) = self.cell(epoch, second, now_ms) {
            cell.canary.assigned += canary;
            cell.stable.assigned += stable;
        }
    }

    /// A label for a prediction assigned in `second` of `epoch`; `value_ppm` in millionths, 0..=1,000,000.
    pub fn label(
        &mut self,
        epoch: u64,
        second: u64,
        now_ms: u64,
        canary: bool,
        value_ppm: u32,
    ) -> Taken {
        let Some(cell) = self.cell(epoch, second, now_ms) else {
            self.expired += 1;
            return Taken::Expired;
        };
        let arm = if canary {
            &mut cell.canary
        } else {
            &mut cell.stable
        };
        arm.labels += 1;
        arm.sum_ppm += u64::from(value_ppm.min(1_000_000));
        Taken::Joined
    }

    /// The open cell of a second. The window counts also where nothing has sealed the cell yet, because no report of
    /// its second has come.
    fn cell(&mut self, epoch: u64, second: u64, now_ms: u64) -> Option<&mut Cell> {
        let start = second - second % self.cell_s;
        let of = self.epochs.get_mut(&epoch)?;
        let from_the_future = second > now_ms.saturating_add(AHEAD_MS) / 1000;
        // Below the overflow of what is far in the future, which was asked before.
        let over = || (start + self.cell_s) * 1000 + self.window_ms <= now_ms;
        if from_the_future || start < of.sealed_before || over() {
            return None;
        }
        Some(of.open.entry(start).or_default())
    }

    /// Labels that came too late.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Seals what is ripe and joins sealed cells into slices. `closed_before`: reports of every second before it are
    /// in. An epoch whose last cell has waited long enough gives its last slice whatever its size, and is over.
    pub fn seal(&mut self, closed_before: u64, now_ms: u64) -> Vec<stored::LabelSlice> {
        let (guardrail, window, cell_s) = (self.guardrail, self.window_ms, self.cell_s);
        let mut slices = Vec::new();
        self.epochs.retain(|&number, epoch| {
            let over = epoch
                .ended_ms
                .is_some_and(|ended| ended + window + cell_s * 1000 <= now_ms);
            let ripe = |start: u64, cell: &Cell| {
                let end = start + cell_s;
                let waited = end * 1000 + window <= now_ms;
                let complete =
                    closed_before >= end && cell.canary.complete() && cell.stable.complete();
                over || waited || complete
            };
            let mut runs = epoch.seal(ripe, cell_s);
            if over {
                let rest = epoch.run.take().filter(|rest| rest.sum.labels() > 0);
                runs.extend(rest);
            }
            slices.extend(runs.into_iter().map(|run| run.slice(guardrail, number)));
            !over
        });
        slices
    }

    /// What is in no slice yet.
    #[must_use]
    pub fn pending(&self) -> Vec<stored::PendingLabels> {
        let mut out = Vec::new();
        for (&epoch, of) in &self.epochs {
            out.push(stored::PendingLabels {
                guardrail: self.guardrail,
                epoch,
                first_second: of.sealed_before,
                sealed_mark: true,
                ..stored::PendingLabels::default()
            });
            let run = of.run.iter().map(|run| (run.first, run.sum, true));
            let open = of.open.iter().map(|(&start, &cell)| (start, cell, false));
            out.extend(
                run.chain(open)
                    .map(|(first_second, cell, sealed)| stored::PendingLabels {
                        guardrail: self.guardrail,
                        epoch,
                        first_second,
                        canary_labels: cell.canary.labels,
                        canary_sum_ppm: cell.canary.sum_ppm,
                        stable_labels: cell.stable.labels,
                        stable_sum_ppm: cell.stable.sum_ppm,
                        sealed,
                        canary_assigned: cell.canary.assigned,
                        stable_assigned: cell.stable.assigned,
                        sealed_mark: false,
                    }),
            );
        }
        out
    }

    /// Takes back what [`Labels::pending`] gave; entries of other guardrails are skipped.
    pub fn restore(&mut self, pending: &[stored::PendingLabels]) {
        for entry in pending
            .iter()
            .filter(|entry| entry.guardrail == self.guardrail)
        {
            let epoch = self.epochs.entry(entry.epoch).or_default();
            if entry.sealed_mark {
                epoch.sealed_before = entry.first_second;
                continue;
            }
            let sum = cell_from(entry);
            if entry.sealed {
                // A run ends where the sealed part of its epoch ends.
                epoch.run = Some(Run {
                    first: entry.first_second,
                    end: epoch.sealed_before,
                    sum,
                });
            } else {
                epoch.open.insert(entry.first_second, sum);
            }
        }
    }
}

fn cell_from(entry: &stored::PendingLabels) -> Cell {
    let arm = |labels, sum_ppm, assigned| Arm {
        labels,
        sum_ppm,
        assigned,
    };
    Cell {
        canary: arm(
            entry.canary_labels,
            entry.canary_sum_ppm,
            entry.canary_assigned,
        ),
        stable: arm(
            entry.stable_labels,
            entry.stable_sum_ppm,
            entry.stable_assigned,
        ),
    }
}

impl Epoch {
    /// Seals ripe cells in order, so that everything before the last sealed one is sealed too, and gives the runs that
    /// are long enough for a slice. What is left is one run, however long no label comes.
    fn seal(&mut self, ripe: impl Fn(u64, &Cell) -> bool, cell_s: u64) -> Vec<Run> {
        let mut runs = Vec::new();
        while let Some(entry) = self.open.first_entry() {
            let start = *entry.key();
            if !ripe(start, entry.get()) {
                break;
            }
            let cell = entry.remove();
            self.sealed_before = start + cell_s;
            let run = self.run.get_or_insert_with(|| Run {
                first: start,
                end: start,
                sum: Cell::default(),
            });
            run.end = self.sealed_before;
            run.sum.add(&cell);
            if run.sum.labels() >= SLICE_REQUESTS {
                runs.extend(self.run.take());
            }
        }
        runs
    }
}

impl Cell {
    fn labels(&self) -> u64 {
        self.canary.labels + self.stable.labels
    }

    fn add(&mut self, other: &Self) {
        for (sum, arm) in [
            (&mut self.canary, other.canary),
            (&mut self.stable, other.stable),
        ] {
            sum.labels += arm.labels;
            sum.sum_ppm += arm.sum_ppm;
            sum.assigned += arm.assigned;
        }
    }
}

impl Run {
    fn slice(self, guardrail: u32, epoch: u64) -> stored::LabelSlice {
        stored::LabelSlice {
            guardrail,
            epoch,
            first_second: self.first,
            seconds: (self.end - self.first) as f64,
            canary_labels: self.sum.canary.labels,
            canary_sum_ppm: self.sum.canary.sum_ppm,
            stable_labels: self.sum.stable.labels,
            stable_sum_ppm: self.sum.stable.sum_ppm,
            canary_assigned: Some(self.sum.canary.assigned),
            stable_assigned: Some(self.sum.stable.assigned),
            // What time it is is the caller's to know.
            folded_ms: 0,
            doubted: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
