//! What must be true of every run, whatever happened in it. It believes nothing but the log, the slices on disk and what
//! was acknowledged.

use super::{Label, World};
use anyhow::{Context as _, Result, ensure};
use serinus_common::class::Class;
use serinus_control_plane::store::Store as _;
use serinus_core::ledger::counts::{Counts, sketch_from_wire};
use serinus_core::ledger::history;
use serinus_core::plan::{self, view};
use serinus_core::rollout::{self, Rollout, Waiting, invariants};
use serinus_evidence::{
    Arm, Assigned, CLUSTERS, ClusterSlice, ClusterTotals, Engine as Evidence, LabelSlice, Pair,
    RequestSlice,
};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::{BTreeMap, BTreeSet};
use v1::event::Kind;

/// After its end an epoch takes cells for `failure.timeout` and this.
const REPORTS_MS: u64 = 2000;

/// Judged requests: at least, at most. They differ where an epoch ended so long ago that both answers are right.
#[derive(Clone, Copy, Debug, Default)]
struct Between {
    least: (u64, u64),
    most: (u64, u64),
}

/// Follows a world.
#[derive(Debug, Default)]
pub struct Oracle {
    rollouts: BTreeMap<String, Rollout>,
    /// Those that were queued and have not begun.
    waiting: BTreeMap<String, Waiting>,
    /// When an epoch ended.
    ended: BTreeMap<(String, u64), u64>,
    last_revision: u64,
    /// When the engine looked last.
    looked_ms: u64,
    /// Reports that were on disk: sidecar, incarnation, number.
    counted: BTreeSet<(String, u64, u64)>,
    requests: BTreeMap<String, Between>,
    /// Prediction ids that were counted, by rollout.
    joined: BTreeMap<String, BTreeSet<String>>,
    /// Those that were told to be the first of their kind.
    first: BTreeSet<String>,
}

impl Oracle {
    /// Reads what was added to the log, and checks it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn follow(&mut self, world: &World) -> Result<()> {
        let events = world.store.events(self.last_revision, usize::MAX)?;
        for group in events
            .chunk_by(|a, b| (&a.rollout, &a.time, &a.actor) == (&b.rollout, &b.time, &b.actor))
        {
            self.transition(group)
                .with_context(|| format!("{group:#?}"))?;
        }
        self.looked_ms = world.turned_ms;
        self.served(world)
    }

    fn transition(&mut self, events: &[v1::Event]) -> Result<()> {
        for event in events {
            ensure!(
                event.revision == self.last_revision + 1,
                "revision {} after {}",
                event.revision,
                self.last_revision
            );
            self.last_revision = event.revision;
        }
        let mut events = events;
        if let [first, rest @ ..] = events
            && let Some(rollout) = Rollout::from_created(first)
        {
            let id = first.rollout.clone();
            let waited = self.waiting.remove(&id);
            ensure!(
                waited.is_none_or(|of| of.is_queued()),
                "cancelled, and begun"
            );
            ensure!(self.rollouts.insert(id, rollout).is_none(), "created twice");
            events = rest;
        }
        let Some(first) = events.first().filter(|first| !first.rollout.is_empty()) else {
            return Ok(());
        };
        if let Some(waiting) = Waiting::from_queued(first) {
            self.waiting.insert(waiting.id.clone(), waiting);
            return Ok(());
        }
        if let Some(waiting) = self.waiting.get_mut(&first.rollout) {
            ensure!(waiting.is_queued(), "cancelled twice");
            waiting.apply(first);
            return Ok(());
        }
        let id = &first.rollout;
        let before = self.rollouts.get(id).context("no such rollout")?.clone();
        let mut after = before.clone();
        for event in events {
            rollout::apply(&mut after, event);
            if let Some(Kind::SplitChanged(changed)) = &event.kind {
                let at_ms = event.time.as_ref().map_or(0, rollout::millis);
                for epoch in 0..changed.epoch {
                    self.ended.entry((id.clone(), epoch)).or_insert(at_ms);
                }
            }
        }
        invariants::check(&before, events, &after).map_err(anyhow::Error::msg)?;
        self.rollouts.insert(id.clone(), after);
        Ok(())
    }

    /// Sidecars hold only what is on disk, and one that has got everything serves no canary of a rollout that has ended
    /// rolled back.
    fn served(&self, world: &World) -> Result<()> {
        for held in world.sidecars.iter().filter_map(super::Sidecar::held) {
            let revision = held.fence.unwrap_or_default().revision;
            ensure!(
                revision <= self.last_revision,
                "{revision} is served, {} on disk",
                self.last_revision
            );
        }
        let up_to_date = world.sidecars.iter().filter(|sidecar| {
            let session = sidecar.session.as_ref();
            let table = session.map(|session| session.assignments.borrow().clone());
            let wanted = table.and_then(|table| table.by_model.values().next().cloned());
            wanted.is_some_and(|wanted| Some(&*wanted) == sidecar.held())
        });
        for held in up_to_date.filter_map(super::Sidecar::held) {
            let back = self.rollouts.get(&held.rollout);
            let back = back.is_some_and(|rollout| rollout.state == v1::State::RolledBack);
            let ppm: u32 = held.shares.iter().map(|share| share.ppm).sum();
            ensure!(
                !back || ppm == 0,
                "{} is rolled back and has {ppm}",
                held.rollout
            );
        }
        Ok(())
    }

    /// A report is on disk, perhaps once more. Call it before [`Oracle::follow`].
    pub fn reported(&mut self, report: &v1::ReportRequest, now_ms: u64) {
        let name = (report.sidecar.clone(), report.incarnation, report.seq);
        if !self.counted.insert(name) {
            return;
        }
        for cell in &report.cells {
            let Some(rollout) = self.rollouts.get(&cell.rollout) else {
                continue;
            };
            if rollout.is_terminal() || cell.epoch > rollout.epoch {
                continue;
            }
            let keep_ms = millis(view::timeout(&rollout.plan)) + REPORTS_MS;
            let ended = self.ended.get(&(cell.rollout.clone(), cell.epoch));
            let over_ms = ended.map_or(u64::MAX, |ended| ended + keep_ms);
            let n = judged(cell, &rollout.plan);
            let between = self.requests.entry(cell.rollout.clone()).or_default();
            if over_ms > now_ms {
                add(&mut between.least, n);
            }
            if over_ms > self.looked_ms {
                add(&mut between.most, n);
            }
        }
    }

    /// A sidecar was told to forget its reports up to a number.
    ///
    /// # Errors
    /// If one of them is not on disk.
    pub fn forgotten(&self, report: &v1::ReportRequest, committed_seq: u64) -> Result<()> {
        for seq in 1..=committed_seq {
            let name = (report.sidecar.clone(), report.incarnation, seq);
            ensure!(self.counted.contains(&name), "{name:?} is lost");
        }
        Ok(())
    }

    /// A label was answered.
    ///
    /// # Errors
    /// If it was counted before.
    pub fn labelled(&mut self, label: &Label, status: v1::OutcomeStatus) -> Result<()> {
        let id = label.outcome.prediction_id.clone();
        if status == v1::OutcomeStatus::Joined {
            ensure!(self.first.insert(id.clone()), "{id} joined twice");
        }
        // Where the first answer was lost, the second one is that it is known.
        if let v1::OutcomeStatus::Joined | v1::OutcomeStatus::Duplicate = status {
            let joined = self.joined.entry(label.rollout.clone());
            joined.or_default().insert(id);
        }
        Ok(())
    }

    /// Compares what is shown with what is known.
    ///
    /// # Errors
    /// Where they differ.
    pub fn check(&self, world: &World) -> Result<()> {
        let views = world.handle.views();
        ensure!(
            views.rollouts.len() == self.rollouts.len() + self.waiting.len(),
            "shown: {:?}",
            views.rollouts.keys()
        );
        for (id, waiting) in &self.waiting {
            let shown = views.rollouts.get(id).context("not shown")?;
            ensure!(
                shown.state() == waiting.state(),
                "{id} is shown as {:?}",
                shown.state()
            );
        }
        for (id, rollout) in &self.rollouts {
            let shown = views.rollouts.get(id).context("not shown")?;
            let state = (shown.state(), shown.cause(), shown.step, shown.epoch);
            let step = u32::try_from(rollout.step)?;
            ensure!(
                state == (rollout.state, rollout.cause, step, rollout.epoch)
                    && shown.revision == rollout.revision,
                "{id} is shown as {state:?}, the log says {rollout:?}"
            );
            self.counts(id, shown)
                .with_context(|| format!("counts of {id}"))?;
        }
        Ok(())
    }

    fn counts(&self, id: &str, shown: &v1::Rollout) -> Result<()> {
        let traffic = shown.traffic.unwrap_or_default();
        let between = self.requests.get(id).copied().unwrap_or_default();
        for (n, least, most) in [
            (traffic.stable_requests, between.least.0, between.most.0),
            (traffic.canary_requests, between.least.1, between.most.1),
        ] {
            ensure!((least..=most).contains(&n), "{n} not in {least}..={most}");
        }
        Ok(())
    }

    /// Folds the slices on disk anew, and compares with what is shown and with what was counted.
    ///
    /// # Errors
    /// Where they differ.
    pub fn replay(&self, world: &World) -> Result<()> {
        let loaded = world.store.load()?;
        let records = world.store.records(0, usize::MAX)?;
        let pending: BTreeMap<String, stored::Pending> = loaded.pending.into_iter().collect();
        let active = self.rollouts.iter().filter(|(_, of)| !of.is_terminal());
        for (id, rollout) in active {
            let views = world.handle.views();
            let shown = views.rollouts.get(id).context("not shown")?;
            let pending = pending.get(id).cloned().unwrap_or_default();
            let created = |record: &&stored::LogRecord| {
                let event = record.event.as_ref();
                event.is_some_and(|e| e.rollout == *id && matches!(e.kind, Some(Kind::Created(_))))
            };
            let created = records.iter().find(created);
            let known = created.and_then(|record| record.stable_history.as_ref());
            self.replay_one(world, rollout, known, shown, &pending)
                .with_context(|| format!("replay of {id}"))?;
        }
        let mut parts = BTreeSet::new();
        for record in records.iter().filter(|r| !r.request_id.is_empty()) {
            ensure!(
                parts.insert((&record.request_id, record.part)),
                "{} was done twice",
                record.request_id
            );
        }
        Ok(())
    }

    fn replay_one(
        &self,
        world: &World,
        rollout: &Rollout,
        known: Option<&stored::StableHistory>,
        shown: &v1::Rollout,
        pending: &stored::Pending,
    ) -> Result<()> {
        let settings = history::begin_with(plan::evidence_settings(&rollout.plan), known);
        let mut evidence = Evidence::new(settings)?;
        let (mut requests, mut labels) = ((0, 0), 0);
        let slices = world.store.slices(&rollout.id, 0, usize::MAX)?;
        ensure!(
            slices
                .iter()
                .map(|(seq, _)| *seq)
                .eq(1..=slices.len() as u64),
            "slices have holes"
        );
        for (_, slice) in &slices {
            let folded = request_slice(slice);
            add(
                &mut requests,
                (folded.stable.requests, folded.canary.requests),
            );
            evidence.fold_requests(&folded);
            if slice.canary_ppm > 0 {
                let assigned = Assigned {
                    canary: slice.canary_assigned,
                    stable: slice.stable_assigned,
                };
                let share = f64::from(slice.canary_ppm) / 1e6;
                evidence.fold_assignments(slice.epoch, share, assigned);
            }
            for totals in &slice.clusters {
                evidence.fold_clusters(&cluster_slice(totals));
            }
        }
        for (_, slice) in world.store.label_slices(&rollout.id, 0, usize::MAX)? {
            labels += slice.stable_labels + slice.canary_labels;
            evidence.fold_labels(slice.guardrail as usize, &label_slice(&slice));
        }
        for cell in &pending.cells {
            let cell = v1::Cell {
                variants: cell.variants.clone(),
                ..v1::Cell::default()
            };
            add(&mut requests, judged(&cell, &rollout.plan));
        }
        labels += pending
            .labels
            .iter()
            .map(|of| of.stable_labels + of.canary_labels)
            .sum::<u64>();
        let traffic = shown.traffic.unwrap_or_default();
        ensure!(
            requests == (traffic.stable_requests, traffic.canary_requests),
            "{requests:?} on disk, shown {traffic:?}"
        );
        let joined = self.joined.get(&rollout.id).map_or(0, BTreeSet::len);
        ensure!(
            labels == joined as u64,
            "{labels} labels on disk, {joined} joined"
        );
        let decision = shown.decision.as_ref().context("no decision")?;
        let assessment =
            evidence.assess(rollout.tolerance(), rollout.epoch, rollout.expects_both());
        ensure!(decision.slices == slices.len() as u64, "slices");
        let mismatch = decision.sample_ratio.is_some_and(|of| of.mismatch);
        ensure!(assessment.sample_ratio.mismatch == mismatch, "sample ratio");
        for (one, row) in assessment.guardrails.iter().zip(&decision.guardrails) {
            let folded = [one.log_e_rollback, one.log_e_promote].map(f64::to_bits);
            let live = [row.log_e_rollback, row.log_e_promote].map(f64::to_bits);
            ensure!(folded == live, "{one:?} folded, {row:?} live");
        }
        Ok(())
    }

    /// The rollouts as the log says.
    #[must_use]
    pub fn rollouts(&self) -> &BTreeMap<String, Rollout> {
        &self.rollouts
    }
}

fn add(sum: &mut (u64, u64), n: (u64, u64)) {
    *sum = (sum.0 + n.0, sum.1 + n.1);
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Judged requests of a cell: stable, canary.
fn judged(cell: &v1::Cell, plan: &v1::Plan) -> (u64, u64) {
    let n = |name: &str| {
        let of = cell.variants.iter().filter(|of| of.variant == name);
        let counts = of.filter_map(|of| Counts::from_disk(of).ok());
        counts
            .map(|c| c.classes.iter().sum::<u64>() - c.classes[Class::Cancelled as usize])
            .sum()
    };
    let canary = view::canary(plan).map_or("", |canary| canary.name.as_str());
    (n(view::stable_name(plan)), n(canary))
}

fn request_slice(slice: &stored::Slice) -> RequestSlice {
    let arm = |arm: Option<&stored::Arm>, timed: bool| {
        let arm = arm.cloned().unwrap_or_default();
        let latency = sketch_from_wire(arm.latency.as_ref().filter(|_| timed)).unwrap_or_default();
        Arm {
            requests: arm.requests,
            errors: arm.errors,
            latency: latency.iter().collect(),
        }
    };
    RequestSlice {
        epoch: slice.epoch,
        seconds: slice.seconds,
        canary: arm(slice.canary.as_ref(), !slice.warm),
        stable: arm(slice.stable.as_ref(), true),
    }
}

fn cluster_slice(of: &stored::ClusterTotals) -> ClusterSlice {
    let mut totals = ClusterTotals::default();
    for h in 0..CLUSTERS {
        totals.canary[h].n = of.canary_requests[h];
        totals.canary[h].x = of.canary_errors[h];
        totals.stable[h].n = of.stable_requests[h];
        totals.stable[h].x = of.stable_errors[h];
    }
    ClusterSlice {
        epoch: of.epoch,
        share: (of.canary_ppm > 0).then(|| f64::from(of.canary_ppm) / 1e6),
        totals,
    }
}

fn label_slice(slice: &stored::LabelSlice) -> LabelSlice {
    let right = |ppm: u64| (ppm + 500_000) / 1_000_000;
    LabelSlice {
        epoch: slice.epoch,
        seconds: slice.seconds,
        pair: Pair::new(
            right(slice.canary_sum_ppm),
            slice.canary_labels,
            right(slice.stable_sum_ppm),
            slice.stable_labels,
        ),
        assigned: slice
            .canary_assigned
            .zip(slice.stable_assigned)
            .map(|(canary, stable)| Assigned { canary, stable }),
    }
}
