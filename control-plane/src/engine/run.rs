//! One active rollout as the engine holds it: the state that its events made, and the evidence that its reports made.

use super::look::Judged;
use super::proven::Proven;
use serinus_common::fence::Fence;
use serinus_core::evidence::{self, Doubts};
use serinus_core::freeze::Freezes;
use serinus_core::ledger::activity::{Activity, EpochTotals};
use serinus_core::ledger::breakers::Breakers;
use serinus_core::ledger::cells::{Cells, Pair};
use serinus_core::ledger::clusters::Clusters;
use serinus_core::ledger::counts::Counts;
use serinus_core::ledger::history;
use serinus_core::ledger::keys::Keys;
use serinus_core::ledger::labels::{Labels, Taken};
use serinus_core::ledger::progress::Progress;
use serinus_core::ledger::sources::Sources;
use serinus_core::plan::{self, view};
use serinus_core::rollout::{self, Facts, FleetClock, FleetFacts, Rollout};
use serinus_evidence::{ENGINE_VERSION, Engine as Evidence, SettingsError};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

/// The state of the evidence is kept after so many slices, so that a start need not fold all of them ...
const CHECKPOINT_EVERY: u64 = 600;
/// ... and so many of these states.
const CHECKPOINTS_KEPT: usize = 2;
/// A second is closed so much longer after the first sidecar finished it than reports are apart.
const CLOSE_GRACE_MS: u64 = 500;

/// A rollout and everything measured about it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) rollout: Rollout,
    pub(super) cells: Cells,
    pub(super) labels: Vec<Labels>,
    pub(super) breakers: Breakers,
    pub(super) activity: Activity,
    pub(super) keys: Keys,
    pub(super) clusters: Clusters,
    pub(super) progress: Progress,
    pub(super) evidence: Evidence,
    pub(super) sources: Sources,
    /// Of the slices folded last.
    pub(super) doubts: Doubts,
    /// What the evidence has proven: guardrails that are HARMFUL, and whether the canary is by all of them together.
    proven: Proven,
    /// What the evidence began with, until it is in a commit.
    pub(super) unsaved_history: Option<stored::StableHistory>,
    pub(super) slices: u64,
    pub(super) label_slices: u64,
    /// Slices at the checkpoints on disk, oldest first.
    checkpoints: Vec<u64>,
    /// When the fleet first was on the present epoch.
    clock: FleetClock,
    /// The epoch and the time that the clock shows, for the disk.
    fleet_since: Option<(u64, u64)>,
    /// Judged requests of the canary in the step, before the clock of its epoch began.
    judged_before: u64,
    /// What the last look was told, for display.
    pub(super) facts: Option<Facts>,
    /// The part of it that is neither in the log nor in the slices.
    pub(super) observed: Option<v1::Look>,
    /// The evidence as of the last slice.
    pub(super) judged: Option<Judged>,
    /// The sidecars that serve the model, as of the fleet's last change.
    pub(super) fleet: Option<Fleet>,
    pub(super) no_evidence_since_ms: Option<u64>,
    /// Since when no sidecar is selected of those that serve the model.
    nobody_since_ms: Option<u64>,
    freezes: Freezes,
    /// Epochs of the warm-up, in which the canary's latency is not judged.
    warm_epochs: BTreeSet<u64>,
    /// Something was taken that is not in a commit yet.
    pub(super) dirty: bool,
    /// Something came in since the last look.
    pub(super) touched: bool,
    closed_before: u64,
}

/// What is known of the sidecars that serve a rollout's model. Asking all of them takes long; the answer stays the
/// same as long as the fleet and the assignment do.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The fleet's version and the assignment of which this is the answer.
    pub(super) of: (u64, Fence),
    pub(super) facts: FleetFacts,
    pub(super) view: v1::Fleet,
}

/// What one look at the open cells gave.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub(super) slices: Vec<stored::Slice>,
    pub(super) label_slices: Vec<stored::LabelSlice>,
}

impl Run {
    /// `known` is what was known of stable at the creation.
    pub(super) fn new(
        rollout: Rollout,
        known: Option<&stored::StableHistory>,
    ) -> Result<Self, SettingsError> {
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
        let settings = history::begin_with(plan::evidence_settings(plan), known);
        let evidence = Evidence::new(settings)?;
        Ok(Self {
            cells,
            labels,
            evidence,
            sources: Sources::new(&rollout.plan),
            doubts: Doubts::default(),
            proven: Proven::default(),
            unsaved_history: None,
            freezes: Freezes::of(&rollout.plan),
            rollout,
            breakers: Breakers::default(),
            activity: Activity::default(),
            keys: Keys::default(),
            clusters: Clusters::default(),
            progress: Progress::default(),
            slices: 0,
            label_slices: 0,
            checkpoints: Vec::new(),
            clock: FleetClock::default(),
            fleet_since: None,
            judged_before: 0,
            facts: None,
            observed: None,
            judged: None,
            fleet: None,
            no_evidence_since_ms: None,
            nobody_since_ms: None,
            warm_epochs: BTreeSet::new(),
            dirty: false,
            touched: true,
            closed_before: 0,
        })
    }

    /// Follows an event of this rollout: the state, and what a new epoch or step means for the counting.
    pub(super) fn apply(&mut self, event: &v1::Event) {
        rollout::apply(&mut self.rollout, event);
        self.touched = true;
        let at_ms = event.time.as_ref().map_or(0, rollout::millis);
        match &event.kind {
            Some(v1::event::Kind::SplitChanged(changed)) => {
                self.clusters
                    .begin(changed.epoch, self.rollout.canary_ppm());
                self.begin(changed.epoch, at_ms);
            }
            Some(v1::event::Kind::StepEntered(_)) => self.no_evidence_since_ms = None,
            _ => return,
        }
        self.activity
            .begin(self.rollout.step_epoch, self.rollout.epoch);
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

    /// Takes a cell of a report. Nothing is taken for later than now: cells of a clock that is ahead would wait, and
    /// those of one that is days ahead would wait for days. Returns the counts of the two variants, taken or not.
    pub(super) fn absorb(
        &mut self,
        source: u64,
        cell: &v1::Cell,
        counts: &[(&str, Counts)],
        now_ms: u64,
    ) -> Pair {
        let pair = self.cells.pair(counts);
        let now_s = now_ms / 1000;
        let second = cell.second.min(now_s);
        if !self.cells.absorb(cell.epoch, second, &pair) {
            return pair;
        }
        self.dirty = true;
        self.sources.absorb(source, &pair);
        self.activity.absorb(cell.epoch, second, now_s, &pair);
        if cell.epoch == self.rollout.epoch {
            self.breakers.absorb(source, second, &pair);
        }
        for labels in &mut self.labels {
            // By the sidecar's clock, as in the prediction ids.
            labels.assigned(
                cell.epoch,
                cell.second,
                now_ms,
                pair.canary.assigned,
                pair.stable.assigned,
            );
        }
        pair
    }

    /// Takes what a report says of the keys of one variant.
    pub(super) fn absorb_keys(&mut self, source: u64, keys: &v1::KeyStatistics) {
        let (stable, canary) = self.cells.names();
        let is_canary = keys.variant == canary;
        if is_canary || keys.variant == stable {
            self.clusters.absorb(source, is_canary, keys);
        }
        if is_canary {
            self.dirty |= self.keys.absorb(keys);
        }
    }

    /// A source has finished every second before `finished_before`. Only the last one that was waited for brings
    /// something to judge; looking at every report would cost as many looks as there are sidecars.
    pub(super) fn report(
        &mut self,
        source: u64,
        finished_before: u64,
        now_ms: u64,
        report_ms: u64,
    ) {
        self.progress.report(source, finished_before, now_ms);
        let closed_before = self
            .progress
            .closed_before(now_ms, report_ms + CLOSE_GRACE_MS);
        self.touched |= closed_before > self.closed_before;
    }

    /// Takes a label of a guardrail, of a prediction that `source` issued.
    #[expect(
        clippy::too_many_arguments,
        reason = "a label is no more than these numbers"
    )]
    pub(super) fn label(
        &mut self,
        source: u64,
        guardrail: u32,
        epoch: u64,
        second: u64,
        now_ms: u64,
        canary: bool,
        ppm: u32,
    ) -> Taken {
        let labels = self
            .labels
            .iter_mut()
            .find(|labels| labels.guardrail() == guardrail);
        let taken = labels.map_or(Taken::Expired, |labels| {
            labels.label(epoch, second, now_ms, canary, ppm)
        });
        if taken == Taken::Joined {
            self.sources.label(guardrail as usize, source, canary, ppm);
            self.dirty = true;
            self.touched = true;
        }
        taken
    }

    /// Closes what is over and folds it into the evidence. `report_ms`: how far apart reports are; `name`: that of the
    /// sidecar behind a source.
    pub(super) fn close(
        &mut self,
        now_ms: u64,
        report_ms: u64,
        name: &dyn Fn(u64) -> String,
    ) -> Closed {
        let before = self
            .progress
            .closed_before(now_ms, report_ms + CLOSE_GRACE_MS);
        if before > self.closed_before {
            self.closed_before = before;
            self.dirty |= self.breakers.close(before, now_ms / 1000);
            self.dirty |= self.activity.close(before);
        }
        let keep_ms = millis(view::timeout(&self.rollout.plan)) + 2 * report_ms;
        let mut closed = Closed {
            slices: self.cells.close(before, now_ms, keep_ms),
            label_slices: self
                .labels
                .iter_mut()
                .flat_map(|labels| labels.seal(before, now_ms))
                .collect(),
        };
        for slice in &mut closed.slices {
            slice.warm = self.is_warm(slice.epoch);
            slice.folded_ms = now_ms;
            slice.canary_ppm = self.asked_ppm(slice.epoch);
            self.clusters.count(slice);
        }
        if let Some(last) = closed.slices.last_mut() {
            last.clusters = self.clusters.due(now_ms);
        }
        for slice in &mut closed.slices {
            self.fold(slice);
            slice.doubted = self.doubt().map_or_else(String::new, name);
            self.doubts.follow(slice);
        }
        for slice in &mut closed.label_slices {
            slice.folded_ms = now_ms;
            self.fold_labels(slice);
            slice.doubted = self.doubt().map_or_else(String::new, name);
            self.doubts.follow_labels(slice);
        }
        self.dirty |= !closed.slices.is_empty() || !closed.label_slices.is_empty();
        closed
    }

    /// A first step that gives what the warm-up gave goes on in its epoch; from then on the epoch is judged.
    fn is_warm(&self, epoch: u64) -> bool {
        let goes_on = self.rollout.warmup || epoch < self.rollout.epoch;
        goes_on && self.warm_epochs.contains(&epoch)
    }

    /// The share against which the requests of an epoch can be held one by one, ppm: with keys, those of one user go the
    /// same way, and clusters of keys are counted instead.
    fn asked_ppm(&self, epoch: u64) -> u32 {
        if view::has_key(&self.rollout.plan) {
            0
        } else {
            self.clusters.asked_ppm(epoch)
        }
    }

    fn fold(&mut self, slice: &stored::Slice) {
        self.slices += 1;
        evidence::fold_slice(&mut self.evidence, slice);
        self.clusters.folded(slice);
    }

    /// Folds a slice from disk.
    pub(super) fn refold(&mut self, slice: &stored::Slice) {
        self.clusters.count(slice);
        self.fold(slice);
        self.doubts.follow(slice);
    }

    /// The source on which alone hangs what the slice that was just folded has proven, if something was and there is one.
    fn doubt(&mut self) -> Option<u64> {
        let now = Proven::of(&self.evidence, &self.rollout);
        let before = std::mem::replace(&mut self.proven, now);
        let mut sources = self
            .proven
            .beyond(&before)
            .map(|index| self.sources.concentrated(index));
        let first = sources.next()??;
        sources.all(|other| other == Some(first)).then_some(first)
    }

    /// Folds a label slice, live or from disk.
    pub(super) fn fold_labels(&mut self, slice: &stored::LabelSlice) {
        self.label_slices += 1;
        self.evidence
            .fold_labels(slice.guardrail as usize, &evidence::label_slice(slice));
    }

    /// The state of the evidence after the last slices, if it is time for a checkpoint, with what it takes the place of.
    pub(super) fn checkpoint(&mut self) -> Option<(stored::Checkpoint, Option<u64>)> {
        let last = self.checkpoints.last().copied().unwrap_or(0);
        if self.slices < last + CHECKPOINT_EVERY {
            return None;
        }
        let mut checkpoint = stored::Checkpoint {
            engine_version: ENGINE_VERSION,
            slices: self.slices,
            label_slices: self.label_slices,
            evidence: self.evidence.save(),
            ..stored::Checkpoint::default()
        };
        self.clusters.save(&mut checkpoint);
        self.checkpoints.push(self.slices);
        let surplus = self.checkpoints.len() > CHECKPOINTS_KEPT;
        Some((checkpoint, surplus.then(|| self.checkpoints.remove(0))))
    }

    /// Takes the newest checkpoint that this engine can go on with, so that only what came after it is left to fold.
    pub(super) fn resume(&mut self, checkpoints: &[stored::Checkpoint]) {
        self.checkpoints = checkpoints.iter().map(|of| of.slices).collect();
        for checkpoint in checkpoints.iter().rev() {
            let same = checkpoint.engine_version == ENGINE_VERSION;
            if same && self.evidence.resume(&checkpoint.evidence) {
                self.clusters.resume(checkpoint);
                self.slices = checkpoint.slices;
                self.label_slices = checkpoint.label_slices;
                return;
            }
        }
    }

    /// What was counted since the present step was entered.
    pub(super) fn in_step(&self) -> EpochTotals {
        self.activity.since_epoch(self.rollout.step_epoch)
    }

    /// Judged requests of the canary in the step that do not count for it: before the fleet was on its epoch.
    pub(super) fn judged_before(&self) -> u64 {
        self.judged_before
    }

    /// Folds a label slice from disk.
    pub(super) fn refold_labels(&mut self, slice: &stored::LabelSlice) {
        self.fold_labels(slice);
        self.doubts.follow_labels(slice);
    }

    /// What is proven after what came from disk.
    pub(super) fn prove(&mut self) {
        self.proven = Proven::of(&self.evidence, &self.rollout);
    }

    /// What the state machine is told of the fleet. Its clock counts from when the fleet first was on the epoch.
    pub(super) fn observe(&mut self, fleet: &FleetFacts, now_ms: u64) -> FleetFacts {
        let epoch = self.rollout.epoch;
        let since_ms = self.clock.observe(now_ms, epoch, fleet);
        let since = since_ms.map(|since_ms| (epoch, since_ms));
        if since != self.fleet_since {
            self.dirty = true;
            self.fleet_since = since;
            // What the first sidecars counted while others were not there yet is evidence, but not the step's.
            let judged = self.in_step().canary.judged;
            self.judged_before = if since.is_some() { judged } else { 0 };
        }
        let nobody = fleet.serving > 0 && fleet.connected == 0;
        let nobody_since_ms = self.nobody_since_ms.unwrap_or(now_ms);
        self.nobody_since_ms = nobody.then_some(nobody_since_ms);
        FleetFacts {
            none_selected_since_ms: self.nobody_since_ms,
            current_since_ms: since_ms,
            ..fleet.clone()
        }
    }

    /// Until when a freeze of the plan is in force, if one is.
    pub(super) fn frozen_until_ms(&mut self, now_ms: u64) -> Option<u64> {
        self.freezes.until(now_ms)
    }

    /// Takes back what was pending before a restart.
    pub(super) fn restore(&mut self, pending: &stored::Pending) {
        self.cells.restore(&pending.cells, self.rollout.updated_ms);
        self.labels
            .iter_mut()
            .for_each(|labels| labels.restore(&pending.labels));
        for keys in &pending.keys {
            self.keys.absorb(keys);
        }
        self.breakers
            .restore(&pending.bad_cells, pending.with_canary);
        let totals = pending.totals.clone().unwrap_or_default();
        self.activity.restore(&totals);
        if totals.fleet_since_ms > 0 {
            let all = FleetFacts {
                connected: 1,
                current: 1,
                ..FleetFacts::default()
            };
            self.clock
                .observe(totals.fleet_since_ms, totals.fleet_epoch, &all);
            self.fleet_since = Some((totals.fleet_epoch, totals.fleet_since_ms));
            self.judged_before = totals.fleet_judged;
        }
    }

    /// Takes back what each source has said of clusters of keys.
    pub(super) fn restore_sources(&mut self, pending: &BTreeMap<String, stored::Pending>) {
        let prefix = source_record(&self.rollout.id, "");
        let records = pending.range(prefix.clone()..);
        for (name, of) in records.take_while(|(name, _)| name.starts_with(&prefix)) {
            if let Ok(source) = name[prefix.len()..].parse() {
                self.clusters.restore(source, &of.clusters);
            }
        }
    }

    /// What sources have said of clusters of keys since the last commit, each in a record of its own.
    pub(super) fn unsaved_sources(&mut self) -> impl Iterator<Item = (String, stored::Pending)> {
        let id = &self.rollout.id;
        let unsaved = self.clusters.take_unsaved().into_iter();
        unsaved.map(move |(source, clusters)| {
            let pending = stored::Pending {
                clusters,
                ..stored::Pending::default()
            };
            (source_record(id, source), pending)
        })
    }

    /// Names of these records.
    pub(super) fn source_records(&self) -> impl Iterator<Item = String> {
        let id = &self.rollout.id;
        let sources = self.clusters.sources().into_iter();
        sources.map(move |source| source_record(id, source))
    }

    /// What is in no slice yet, for the commit.
    pub(super) fn pending(&self) -> stored::Pending {
        let rollout = &self.rollout;
        let (fleet_epoch, fleet_since_ms) = self.fleet_since.unwrap_or_default();
        let (bad_cells, with_canary) = self.breakers.to_stored();
        stored::Pending {
            cells: self.cells.pending(),
            labels: self.labels.iter().flat_map(Labels::pending).collect(),
            totals: Some(stored::Totals {
                fleet_epoch,
                fleet_since_ms,
                fleet_judged: self.judged_before,
                ..self.activity.to_stored()
            }),
            keys: vec![self.keys.to_wire(&rollout.id, self.cells.names().1)],
            bad_cells,
            with_canary,
            clusters: Vec::new(),
        }
    }
}

/// Name of the record of pending counts of one source. Ids of rollouts are UUIDs, so that none has this form.
fn source_record(rollout: &str, source: impl Display) -> String {
    format!("{rollout}/{source}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
