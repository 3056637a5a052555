//! From accepted instructions to the disk, the routing table and the acknowledgement.
//!
//! Whatever lowers the canary is in force first and on disk next; whatever raises it is on disk first. Either way the
//! acknowledgement comes last.

use super::clock::{Clock, Stamp};
use super::follow::{Follow, InForce};
use super::saved;
use super::status::Readiness;
use super::store::Store;
use crate::kill::Killed;
use crate::shared::Shared;
use crate::table::{Held, Ids, ModelSpec, Table};
use serinus_proto::v1;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Ages of leases are written at least this often while one is held, ms; a restart knows them this well.
const AGES_MS: u64 = 15_000;

/// What is held, for people and for the status that is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// What is in force by order of the control plane.
    pub in_force: Vec<InForce>,
    /// Why the last write of the state file failed; `None` while it is up to date.
    pub unsaved: Option<String>,
    /// Whose canaries an operator of this host has stopped.
    pub killed: Killed,
}

/// Holds what the control plane ordered, and makes it so.
#[derive(Debug)]
pub struct Applier {
    follow: Follow,
    store: Store,
    clock: Clock,
    models: Vec<ModelSpec>,
    shared: Arc<Shared>,
    ids: Option<Ids>,
    holdings: watch::Sender<Holdings>,
    saved_ms: u64,
    unsaved: Option<String>,
    killed: watch::Receiver<Killed>,
    /// Assignments of which no canary has been ready since they came, by model.
    warming: BTreeMap<String, v1::Fence>,
}

impl Applier {
    /// Takes over what is on disk and publishes the first table: the last assignments, else the own file's stable.
    ///
    /// # Errors
    /// Mistakes of the own file that only compiling it shows.
    pub fn start(
        models: Vec<ModelSpec>,
        shared: Arc<Shared>,
        store: Store,
        clock: Clock,
        revert_delay_ms: u64,
        killed: watch::Receiver<Killed>,
    ) -> Result<Self, Vec<String>> {
        let names = models.iter().map(|model| model.name.clone());
        let mut follow = Follow::new(names, revert_delay_ms);
        let now_ms = clock.now_ms();
        if let Some(saved) = store.load() {
            let elapsed_ms = Stamp::now().elapsed_since(&saved);
            follow.restore(&saved, now_ms, elapsed_ms);
            info!(
                models = saved.entries.len(),
                latches = saved.latches.len(),
                elapsed_ms,
                "went on from the state file"
            );
        }
        // The own file alone must always be servable.
        Table::compile(&models, &[], None)?;
        let mut applier = Self {
            follow,
            store,
            clock,
            models,
            shared,
            ids: None,
            holdings: watch::Sender::default(),
            saved_ms: now_ms,
            unsaved: None,
            killed,
            warming: BTreeMap::new(),
        };
        applier.publish();
        Ok(applier)
    }

    /// What is held, whenever it changes.
    #[must_use]
    pub fn holdings(&self) -> watch::Receiver<Holdings> {
        self.holdings.subscribe()
    }

    /// What is held, for the greeting.
    #[must_use]
    pub fn held(&self) -> Vec<v1::HeldAssignment> {
        let mut held = self.follow.held(self.clock.now_ms());
        for of in &mut held {
            of.warming = self.warming.contains_key(&of.model);
        }
        held
    }

    /// Digest of what is held, for comparing with what the control plane thinks.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.follow.digest()
    }

    /// The shortest lease that is running, ms.
    #[must_use]
    pub fn shortest_lease_ms(&self) -> Option<u64> {
        self.follow.shortest_lease_ms()
    }

    /// From now on prediction ids carry this issuer.
    pub fn set_ids(&mut self, ids: Option<Ids>) {
        if ids != self.ids {
            self.ids = ids;
            self.compile(self.holdings.borrow().in_force.clone());
        }
    }

    /// Takes a push, and says per model what became of it. `ready`: which canaries are.
    pub(super) async fn push(&mut self, push: v1::Push, ready: &Readiness<'_>) -> v1::Ack {
        let nonce = push.nonce;
        if push.assignments.is_empty() && push.removed.is_empty() {
            return v1::Ack {
                nonce,
                ..v1::Ack::default()
            };
        }
        let now_ms = self.clock.now_ms();
        let (lowering, raising): (Vec<_>, Vec<_>) = push
            .assignments
            .into_iter()
            .partition(|assignment| self.follow.only_lowers(assignment, now_ms));
        for model in &push.removed {
            if self.follow.remove(model) {
                info!(
                    model,
                    "the control plane no longer assigns this model: back to the own file"
                );
            }
        }
        let before_all = self.decisions();
        let mut results = self.offer(lowering, now_ms);
        self.publish();
        let before = (!raising.is_empty()).then(|| self.follow.clone());
        results.extend(self.offer(raising, now_ms));
        if let Err(error) = self.save().await {
            if let Some(before) = before {
                self.back_to(before);
            }
            refuse_unsaved(&mut results, &error);
        }
        self.publish();
        for result in &mut results {
            self.warm(result, &before_all, ready);
        }
        log(&results);
        v1::Ack { nonce, results }
    }

    fn decisions(&self) -> BTreeMap<String, (String, u64, u64)> {
        let models = self.models.iter().map(|model| &model.name);
        models
            .filter_map(|model| Some((model.clone(), self.follow.decision(model)?)))
            .collect()
    }

    /// An assignment that is new here is warming until a canary of it is ready; one that was held before is what it was.
    fn warm(
        &mut self,
        result: &mut v1::AckResult,
        before: &BTreeMap<String, (String, u64, u64)>,
        ready: &Readiness<'_>,
    ) {
        let model = &result.model;
        if result.outcome() != v1::ack_result::Outcome::Applied {
            return;
        }
        let same = self.follow.decision(model).as_ref() == before.get(model);
        let was = self.warming.remove(model).is_some();
        if (was || !same) && !self.is_warm(model, ready) {
            let fence = result.fence.unwrap_or_default();
            self.warming.insert(model.clone(), fence);
            result.set_outcome(v1::ack_result::Outcome::Warming);
        }
    }

    /// Every canary with a share here is ready, or there is none.
    fn is_warm(&self, model: &str, ready: &Readiness<'_>) -> bool {
        let Some(held) = self.follow.in_force(model, self.clock.now_ms()) else {
            return true;
        };
        let mut shares = held.assignment.shares.iter();
        shares.all(|share| share.ppm == 0 || ready.of(model, &share.variant))
    }

    /// What has become of assignments that were warming.
    pub(super) fn warmed(&mut self, ready: &Readiness<'_>) -> Vec<v1::AckResult> {
        let warming = std::mem::take(&mut self.warming);
        let (done, warming): (BTreeMap<_, _>, _) = warming
            .into_iter()
            .partition(|(model, _)| self.is_warm(model, ready));
        let results = done.into_iter().map(|(model, fence)| v1::AckResult {
            model,
            fence: Some(fence),
            outcome: v1::ack_result::Outcome::Applied.into(),
            ..v1::AckResult::default()
        });
        let results: Vec<_> = results.collect();
        self.warming = warming;
        log(&results);
        results
    }

    /// Ends when an operator of this host has changed whose canaries are stopped.
    pub(super) async fn local_change(&mut self) {
        if self.killed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn offer(&mut self, assignments: Vec<v1::Assignment>, now_ms: u64) -> Vec<v1::AckResult> {
        let models = &self.models;
        let compiles = |candidate: &InForce| {
            let held = held(candidate);
            let spec = models
                .iter()
                .filter(|spec| spec.name == held.assignment.model);
            let spec: Vec<ModelSpec> = spec.cloned().collect();
            Table::compile(&spec, &[held], None).map(drop)
        };
        let offers = assignments.into_iter();
        offers
            .map(|assignment| self.follow.offer(assignment, now_ms, &compiles))
            .collect()
    }

    /// Gives up what could not be written, but for the latches: they only ever lower.
    fn back_to(&mut self, mut before: Follow) {
        before.latch_like(&self.follow);
        self.follow = before;
    }

    /// Stops a canary, or all of a rollout, for ever: at once in force, then on disk.
    pub async fn latch(&mut self, latch: &v1::Latch) {
        if !self.follow.latch(&latch.rollout, &latch.variant) {
            return;
        }
        warn!(
            rollout = latch.rollout,
            variant = latch.variant,
            "latched: its canary is never served again"
        );
        self.publish();
        if let Err(error) = self.save().await {
            error!(%error, "the latch is in force but not on disk; it will be written again");
        }
    }

    /// A heartbeat: renews the leases that it names.
    pub fn renew(&mut self, heartbeat: &v1::Heartbeat) {
        let now_ms = self.clock.now_ms();
        for lease in &heartbeat.leases {
            self.follow.renew(lease, now_ms);
        }
        self.publish();
    }

    /// Lets leases grow older; writes again what could not be written, and the ages now and then. Says whether
    /// something that had not been written now is.
    pub async fn tick(&mut self) -> bool {
        let now_ms = self.clock.now_ms();
        self.follow.tick(now_ms);
        self.publish();
        let due = self.follow.has_lease() && now_ms.saturating_sub(self.saved_ms) >= AGES_MS;
        let behind = self.unsaved.is_some();
        if !due && !behind {
            return false;
        }
        if let Err(error) = self.save().await {
            warn!(%error, "the state file cannot be written");
            return false;
        }
        self.publish();
        behind
    }

    async fn save(&mut self) -> io::Result<()> {
        let now_ms = self.clock.now_ms();
        let state: saved::State = Stamp::now().sign(self.follow.save(now_ms));
        let result = self.store.save(state).await;
        match &result {
            Ok(()) => {
                self.saved_ms = now_ms;
                self.unsaved = None;
            }
            Err(error) => self.unsaved = Some(error.to_string()),
        }
        result
    }

    /// Puts what is held in force, if that changes anything.
    fn publish(&mut self) {
        let in_force = self.follow.all_in_force(self.clock.now_ms());
        let killed = self.killed.borrow_and_update().clone();
        let (first, changed) = {
            let known = self.holdings.borrow();
            (
                self.shared.table().routes().is_empty(),
                known.in_force != in_force || known.killed != killed,
            )
        };
        if changed {
            for model in &mut self.models {
                model.killed = killed.covers(&model.name);
            }
        }
        if first || changed {
            self.compile(in_force.clone());
        }
        let unsaved = self.unsaved.clone();
        self.holdings.send_if_modified(|holdings| {
            let next = Holdings {
                in_force,
                unsaved,
                killed,
            };
            let changed = *holdings != next;
            *holdings = next;
            changed
        });
    }

    fn compile(&self, in_force: Vec<InForce>) {
        let all: Vec<Held> = in_force.iter().map(held).collect();
        let table = Table::compile(&self.models, &all, self.ids).or_else(|why| {
            // Only what came from disk under another own file can be here: everything else was tried before.
            error!(
                ?why,
                "an assignment cannot be served with this file; its model is back on the own file"
            );
            let good = |held: &Held| {
                Table::compile(&self.models, std::slice::from_ref(held), None).is_ok()
            };
            let rest: Vec<Held> = all.iter().filter(|held| good(held)).cloned().collect();
            Table::compile(&self.models, &rest, self.ids)
        });
        match table {
            Ok(table) => self.shared.publish(table),
            Err(why) => error!(?why, "the table in force stays as it is"),
        }
    }
}

fn held(in_force: &InForce) -> Held {
    use super::follow::Standing;
    Held {
        assignment: in_force.assignment.clone(),
        latched: in_force.latched,
        canary_scale_ppm: in_force.standing.scale_ppm(),
        frozen: !matches!(in_force.standing, Standing::Unleased | Standing::Fresh),
    }
}

/// What is not on disk is not acknowledged as applied.
fn refuse_unsaved(results: &mut [v1::AckResult], error: &io::Error) {
    for result in results {
        if result.outcome() == v1::ack_result::Outcome::Applied {
            result.outcome = v1::ack_result::Outcome::Rejected.into();
            result.detail = format!("the sidecar cannot write its state file: {error}");
        }
    }
}

fn log(results: &[v1::AckResult]) {
    for result in results {
        let fence = result
            .fence
            .as_ref()
            .map(super::follow::fence)
            .unwrap_or_default();
        if result.outcome() == v1::ack_result::Outcome::Applied {
            info!(model = result.model, %fence, "assignment in force");
        } else if result.outcome() == v1::ack_result::Outcome::Warming {
            info!(model = result.model, %fence, "assignment in force; its canary is not ready yet");
        } else {
            warn!(model = result.model, %fence, why = result.detail, "assignment refused");
        }
    }
}
