//! Labels of one guardrail, summed by the time of their *prediction* and sealed: both variants of a cell have then
//! waited equally long, so that early labels cannot bias the comparison (decision-engine, section 8).

use super::cells::SLICE_REQUESTS;
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;

/// Cells of a label window: its length over this, at least a second.
const CELLS_PER_WINDOW: u64 = 600;
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
    sealed: bool,
}

#[derive(Clone, Debug, Default)]
struct Epoch {
    cells: BTreeMap<u64, Cell>,
    sealed_before: u64,
    ended_ms: Option<u64>,
}

/// What became of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    Joined,
    /// Its cell is sealed, or its epoch unknown.
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

    /// Requests were assigned in a second.
    pub fn assigned(&mut self, epoch: u64, second: u64, canary: u64, stable: u64) {
        let start = second - second % self.cell_s;
        let Some(of) = self.epochs.get_mut(&epoch) else {
            return;
        };
        if (canary > 0 || stable > 0) && start >= of.sealed_before {
            let cell = of.cells.entry(start).or_default();
            cell.canary.assigned += canary;
            cell.stable.assigned += stable;
        }
    }

    /// A label for a prediction assigned in `second` of `epoch`; `value_ppm` in millionths, 0..=1,000,000.
    pub fn label(&mut self, epoch: u64, second: u64, canary: bool, value_ppm: u32) -> Taken {
        let start = second - second % self.cell_s;
        let Some(of) = self
            .epochs
            .get_mut(&epoch)
            .filter(|of| start >= of.sealed_before)
        else {
            self.expired += 1;
            return Taken::Expired;
        };
        let cell = of.cells.entry(start).or_default();
        let arm = if canary {
            &mut cell.canary
        } else {
            &mut cell.stable
        };
        arm.labels += 1;
        arm.sum_ppm += u64::from(value_ppm.min(1_000_000));
        Taken::Joined
    }

    /// Labels that came too late.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Seals what is ripe and joins sealed cells into slices. `closed_before`: reports of every second before it are in.
    pub fn seal(&mut self, closed_before: u64, now_ms: u64) -> Vec<stored::LabelSlice> {
        let (guardrail, window, cell_s) = (self.guardrail, self.window_ms, self.cell_s);
        let mut slices = Vec::new();
        for (&number, epoch) in &mut self.epochs {
            epoch.seal(closed_before, now_ms, window, cell_s);
            let over = epoch
                .ended_ms
                .is_some_and(|ended| ended + window + cell_s * 1000 <= now_ms);
            slices.extend(
                epoch
                    .join(over, cell_s)
                    .into_iter()
                    .map(|run| run.slice(guardrail, number)),
            );
        }
        slices
    }

    /// Cells that are in no slice yet.
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
            for (&first_second, cell) in &of.cells {
                out.push(stored::PendingLabels {
                    guardrail: self.guardrail,
                    epoch,
                    first_second,
                    canary_labels: cell.canary.labels,
                    canary_sum_ppm: cell.canary.sum_ppm,
                    stable_labels: cell.stable.labels,
                    stable_sum_ppm: cell.stable.sum_ppm,
                    sealed: cell.sealed,
                    canary_assigned: cell.canary.assigned,
                    stable_assigned: cell.stable.assigned,
                    sealed_mark: false,
                });
            }
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
                epoch.sealed_before = epoch.sealed_before.max(entry.first_second);
                continue;
            }
            let arm = |labels, sum_ppm, assigned| Arm {
                labels,
                sum_ppm,
                assigned,
            };
            let cell = Cell {
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
                sealed: entry.sealed,
            };
            epoch.cells.insert(entry.first_second, cell);
        }
    }
}

impl Epoch {
    /// Seals ripe cells in order, so that everything before the last sealed one is sealed too.
    fn seal(&mut self, closed_before: u64, now_ms: u64, window_ms: u64, cell_s: u64) {
        for (&start, cell) in self.cells.range_mut(self.sealed_before..) {
            let end = start + cell_s;
            let waited = end * 1000 + window_ms <= now_ms;
            let complete = closed_before >= end && cell.canary.complete() && cell.stable.complete();
            if !waited && !complete {
                break;
            }
            cell.sealed = true;
            self.sealed_before = end;
        }
    }

    fn join(&mut self, over: bool, cell_s: u64) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut run: Option<Run> = None;
        for (&start, cell) in self.cells.range(..self.sealed_before) {
            let open = run.get_or_insert_with(|| Run {
                first: start,
                end: start,
                canary: Arm::default(),
                stable: Arm::default(),
            });
            open.end = start + cell_s;
            add(&mut open.canary, &cell.canary);
            add(&mut open.stable, &cell.stable);
            if open.canary.labels + open.stable.labels >= SLICE_REQUESTS {
                runs.extend(run.take());
            }
        }
        if over {
            runs.extend(
                run.take()
                    .filter(|rest| rest.canary.labels + rest.stable.labels > 0),
            );
        }
        if let Some(done) = runs.last() {
            self.cells = self.cells.split_off(&done.end);
        }
        runs
    }
}

struct Run {
    first: u64,
    end: u64,
    canary: Arm,
    stable: Arm,
}

impl Run {
    fn slice(self, guardrail: u32, epoch: u64) -> stored::LabelSlice {
        stored::LabelSlice {
            guardrail,
            epoch,
            first_second: self.first,
            seconds: (self.end - self.first) as f64,
            canary_labels: self.canary.labels,
            canary_sum_ppm: self.canary.sum_ppm,
            stable_labels: self.stable.labels,
            stable_sum_ppm: self.stable.sum_ppm,
        }
    }
}

fn add(sum: &mut Arm, arm: &Arm) {
    sum.labels += arm.labels;
    sum.sum_ppm += arm.sum_ppm;
    sum.assigned += arm.assigned;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(window_ms: u64) -> Labels {
        let mut labels = Labels::new(2, window_ms);
        labels.begin(1, 0);
        labels
    }

    #[test]
    fn complete_cells_are_sealed_before_the_window_ends() {
        let mut labels = labels(60_000);
        labels.assigned(1, 100, 10, 20);
        for _ in 0..10 {
            assert_eq!(labels.label(1, 100, true, 1_000_000), Taken::Joined);
        }
        assert!(
            labels.seal(101, 104_000).is_empty(),
            "stable's labels are missing"
        );
        for _ in 0..19 {
            labels.label(1, 100, false, 0);
        }
        assert!(
            labels.seal(100, 104_000).is_empty(),
            "the second's reports are not in"
        );
        let slices = labels.seal(101, 104_000);
        assert_eq!(slices.len(), 1);
        let slice = slices[0];
        assert_eq!(
            (slice.guardrail, slice.canary_labels, slice.stable_labels),
            (2, 10, 19)
        );
        assert_eq!(
            (slice.canary_sum_ppm, slice.stable_sum_ppm),
            (10_000_000, 0)
        );
        assert_eq!(labels.label(1, 100, false, 0), Taken::Expired);
    }

    #[test]
    fn the_window_seals_what_is_there() {
        let mut labels = labels(5_000);
        labels.assigned(1, 100, 100, 100);
        for _ in 0..30 {
            labels.label(1, 100, true, 500_000);
        }
        assert!(labels.seal(110, 105_999).is_empty());
        assert_eq!(labels.seal(110, 106_000).len(), 1);
        assert_eq!(
            labels.label(9, 100, true, 0),
            Taken::Expired,
            "unknown epoch"
        );
        assert_eq!(labels.expired(), 1);
    }

    #[test]
    fn small_cells_are_joined_and_the_last_run_of_an_epoch_may_be_smaller() {
        let mut labels = labels(5_000);
        for second in 100..103 {
            for _ in 0..8 {
                labels.label(1, second, false, 1_000_000);
            }
        }
        labels.label(1, 103, true, 1_000_000);
        labels.begin(2, 104_000);
        let slices = labels.seal(110, 109_000);
        assert_eq!(slices.len(), 1);
        assert_eq!(
            (
                slices[0].first_second,
                slices[0].seconds,
                slices[0].stable_labels
            ),
            (100, 3.0, 24)
        );
        let rest = labels.seal(110, 110_000);
        assert_eq!((rest.len(), rest[0].canary_labels), (1, 1));
    }

    proptest! {
        #[test]
        fn restoring_changes_nothing(at in prop::collection::vec((1u64..3, 100u64..120, any::<bool>(), 0u32..=1_000_000), 0..80), cut in 100_000u64..130_000) {
            let mut live = Labels::new(0, 5_000);
            live.begin(1, 0);
            live.begin(2, 110_000);
            let mut restored = live.clone();
            for (epoch, second, canary, value) in at {
                prop_assert_eq!(live.label(epoch, second, canary, value), restored.label(epoch, second, canary, value));
                live.seal(0, cut);
                restored.seal(0, cut);
                let mut fresh = Labels::new(0, 5_000);
                fresh.begin(1, 0);
                fresh.begin(2, 110_000);
                fresh.restore(&restored.pending());
                restored = fresh;
            }
            prop_assert_eq!(live.seal(0, 200_000), restored.seal(0, 200_000));
        }
    }
}
