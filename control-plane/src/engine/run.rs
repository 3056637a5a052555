//! One active rollout as the engine holds it: the state that its events made, and the evidence that its reports made.

use super::evidence;
use serinus_core::ledger::activity::Activity;
use serinus_core::ledger::breakers::Breakers;
use serinus_core::ledger::cells::Cells;
use serinus_core::ledger::keys::Keys;
use serinus_core::ledger::labels::{Labels, Taken};
use serinus_core::ledger::progress::Progress;
use serinus_core::plan::{self, view};
use serinus_core::rollout::{self, Facts, FleetClock, Rollout};
use serinus_evidence::{Engine as Evidence, SettingsError};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeSet;
use std::time::Duration;

/// Reports come once a second; what is slower is not waited for.
const REPORT_MS: u64 = 1000;
/// A second is closed this long after the first sidecar finished it.
const CLOSE_GRACE_MS: u64 = REPORT_MS + 500;

/// A rollout and everything measured about it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) rollout: Rollout,
    pub(super) cells: Cells,
    pub(super) labels: Vec<Labels>,
    pub(super) breakers: Breakers,
    pub(super) activity: Activity,
    pub(super) keys: Keys,
    pub(super) progress: Progress,
    pub(super) evidence: Evidence,
    pub(super) slices: u64,
    pub(super) label_slices: u64,
    /// When the fleet first was on the present epoch.
    pub(super) clock: FleetClock,
    /// What the last look was told, for display.
    pub(super) facts: Option<Facts>,
    pub(super) no_evidence_since_ms: Option<u64>,
    /// Epochs of the warm-up, in which the canary's latency is not judged.
    warm_epochs: BTreeSet<u64>,
    /// Something was taken that is not in a commit yet.
    pub(super) dirty: bool,
    pub(super) refused_cells: u64,
    closed_before: u64,
}

/// What one look at the open cells gave.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub(super) slices: Vec<stored::Slice>,
    pub(super) label_slices: Vec<stored::LabelSlice>,
}

impl Run {
    pub(super) fn new(rollout: Rollout) -> Result<Self, SettingsError> {
        let plan = &rollout.plan;
        let canary = view::canary(plan).map_or("", |canary| canary.name.as_str());
        let cells = Cells::new(view::stable_name(plan), canary);
        let labels = plan
            .guardrails
            .iter()
            .enumerate()
            .filter_map(|(index, guardrail)| {
                let window = view::label_window(guardrail)?;
                Some(Labels::new(
                    u32::try_from(index).unwrap_or(u32::MAX),
                    millis(window),
                ))
            })
            .collect();
        let evidence = Evidence::new(plan::evidence_settings(plan))?;
        Ok(Self {
            cells,
            labels,
            evidence,
            rollout,
            breakers: Breakers::default(),
            activity: Activity::default(),
            keys: Keys::default(),
            progress: Progress::default(),
            slices: 0,
            label_slices: 0,
            clock: FleetClock::default(),
            facts: None,
            no_evidence_since_ms: None,
            warm_epochs: BTreeSet::new(),
            dirty: false,
            refused_cells: 0,
            closed_before: 0,
        })
    }

    /// Follows an event of this rollout: the state, and what a new epoch or step means for the counting.
    pub(super) fn apply(&mut self, event: &v1::Event) {
        rollout::apply(&mut self.rollout, event);
        let at_ms = event.time.as_ref().map_or(0, rollout::millis);
        match &event.kind {
            Some(v1::event::Kind::SplitChanged(changed)) => self.begin(changed.epoch, at_ms),
            Some(v1::event::Kind::StepEntered(_)) => self.no_evidence_since_ms = None,
            _ => {}
        }
    }

    fn begin(&mut self, epoch: u64, at_ms: u64) {
        if self.rollout.warmup {
            self.warm_epochs.insert(epoch);
        }
        self.cells.begin(epoch, at_ms);
        for labels in &mut self.labels {
            labels.begin(epoch, at_ms);
        }
    }

    /// Takes a cell of a report. Impossible counts are refused for both variants and counted.
    pub(super) fn absorb(&mut self, source: u64, cell: &v1::Cell) {
        let Some(pair) = self.cells.pair(&cell.variants) else {
            self.refused_cells += 1;
            return;
        };
        if !self.cells.absorb(cell.epoch, cell.second, &pair) {
            return;
        }
        self.dirty = true;
        self.activity.absorb(cell.epoch, cell.second, &pair);
        if cell.epoch == self.rollout.epoch {
            self.breakers.absorb(source, cell.second, &pair);
        }
        for labels in &mut self.labels {
            labels.assigned(
                cell.epoch,
                cell.second,
                pair.canary.assigned,
                pair.stable.assigned,
            );
        }
    }

    /// Takes a label of a guardrail.
    pub(super) fn label(
        &mut self,
        guardrail: u32,
        epoch: u64,
        second: u64,
        canary: bool,
        ppm: u32,
    ) -> Taken {
        let labels = self
            .labels
            .iter_mut()
            .find(|labels| labels.guardrail() == guardrail);
        let taken = labels.map_or(Taken::Expired, |labels| {
            labels.label(epoch, second, canary, ppm)
        });
        self.dirty |= taken == Taken::Joined;
        taken
    }

    /// Closes what is over and folds it into the evidence.
    pub(super) fn close(&mut self, now_ms: u64) -> Closed {
        let before = self.progress.closed_before(now_ms, CLOSE_GRACE_MS);
        if before > self.closed_before {
            self.closed_before = before;
            self.breakers.close(before);
            self.activity.close(before);
        }
        let keep_ms = millis(view::timeout(&self.rollout.plan)) + 2 * REPORT_MS;
        let closed = Closed {
            slices: self.cells.close(before, now_ms, keep_ms),
            label_slices: self
                .labels
                .iter_mut()
                .flat_map(|labels| labels.seal(before, now_ms))
                .collect(),
        };
        closed.slices.iter().for_each(|slice| self.fold(slice));
        closed
            .label_slices
            .iter()
            .for_each(|slice| self.fold_labels(slice));
        self.dirty |= !closed.slices.is_empty() || !closed.label_slices.is_empty();
        closed
    }

    /// Folds a slice, live or from disk.
    pub(super) fn fold(&mut self, slice: &stored::Slice) {
        self.slices += 1;
        let warm = self.warm_epochs.contains(&slice.epoch);
        self.evidence
            .fold_requests(&evidence::request_slice(slice, warm));
    }

    /// Folds a label slice, live or from disk.
    pub(super) fn fold_labels(&mut self, slice: &stored::LabelSlice) {
        self.label_slices += 1;
        self.evidence
            .fold_labels(slice.guardrail as usize, &evidence::label_slice(slice));
    }

    /// Takes back a slice that was stored before a restart.
    pub(super) fn restore_slice(&mut self, slice: &stored::Slice) {
        let n = |arm: &Option<stored::Arm>| arm.as_ref().map_or(0, |arm| arm.requests);
        self.activity
            .restore_epoch(slice.epoch, n(&slice.canary), n(&slice.stable));
        self.fold(slice);
    }

    /// Takes back what was pending before a restart.
    pub(super) fn restore(&mut self, pending: &stored::Pending, now_ms: u64) {
        for cell in &pending.cells {
            if let Some(pair) = self.cells.pair(&cell.variants) {
                self.activity.absorb(cell.epoch, cell.second, &pair);
            }
        }
        self.cells.restore(&pending.cells, now_ms);
        self.labels
            .iter_mut()
            .for_each(|labels| labels.restore(&pending.labels));
        for keys in &pending.keys {
            self.keys.absorb(keys);
        }
        if let Some(traffic) = pending
            .totals
            .as_ref()
            .and_then(|totals| totals.traffic.as_ref())
        {
            self.activity.restore(traffic);
        }
    }

    /// What is in no slice yet, for the commit.
    pub(super) fn pending(&self) -> stored::Pending {
        let rollout = &self.rollout;
        stored::Pending {
            cells: self.cells.pending(),
            labels: self.labels.iter().flat_map(Labels::pending).collect(),
            totals: Some(stored::Totals {
                traffic: Some(self.activity.totals()),
            }),
            keys: vec![self.keys.to_wire(&rollout.id, self.cells.names().1)],
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
