//! The end of a run: what the control plane says last, what is on its disk, and whether all of it was as it must be.

use super::Cluster;
use super::trace::Trace;
use crate::eventually::eventually;
use crate::oracle::Size;
use crate::oracle::trace::{Change, Logged, What};
use anyhow::{Context as _, Result};
use prost::Message as _;
use serinus_common::digest::digest;
use serinus_control_plane::store::Store;
use serinus_control_plane::store::sled::{Options, SledStore};
use serinus_core::plan::view;
use serinus_core::replay::{Outcome, replay};
use serinus_core::rollout::millis;
use serinus_proto::{stored::v1 as stored, v1};
use std::path::{Path, PathBuf};
use std::time::Duration;
use v1::event::Kind;

/// How long everybody has to get what they should hold once faults are over (I13).
const SETTLE: Duration = Duration::from_secs(60);
/// Until an answer that a sidecar counted has reached its user.
const ARRIVE: Duration = Duration::from_secs(10);

impl Cluster {
    /// Ends the run and lets the oracle check everything that was seen in it.
    ///
    /// # Errors
    /// What must not be.
    pub async fn finish(mut self) -> Result<()> {
        if self.control_plane.is_some() {
            self.settle().await?;
        }
        if let Some(control_plane) = self.control_plane.take() {
            control_plane.kill().await?;
        }
        let merged = self.read_log().await?;
        let arrived = eventually("every answer that was counted", ARRIVE, || async {
            Ok((self.trace.requests() >= merged).then_some(()))
        });
        // The oracle says what is wrong about it, unless there was traffic elsewhere.
        let _ = arrived.await;
        for sidecar in self.sidecars.iter().filter(|of| of.process.is_some()) {
            // One that is stopped does not answer.
            let looked = self.trace.look(&sidecar.name, &sidecar.admin);
            let _ = tokio::time::timeout(Duration::from_secs(2), looked).await;
        }
        let Size {
            events,
            held,
            asked,
        } = self.trace.check()?;
        println!("the oracle: {events} events, {held} looks at sidecars, {asked} requests");
        Ok(())
    }

    /// Waits until everybody holds what they should, and writes down how it is.
    async fn settle(&self) -> Result<()> {
        let client = self.client()?;
        let names: Vec<&str> = self
            .sidecars
            .iter()
            .filter(|of| of.process.is_some() && !of.stopped)
            .map(|of| of.name.as_str())
            .collect();
        let look = || async {
            let (mut admin, mut api) = (client.admin(), client.rollouts());
            let request = v1::ListRolloutsRequest {
                page_size: 500,
                ..v1::ListRolloutsRequest::default()
            };
            let listed = admin.list_sidecars(v1::ListSidecarsRequest {}).await.ok()?;
            let rollouts = api.list(request).await.ok()?;
            Some((listed.into_inner().sidecars, rollouts.into_inner().rollouts))
        };
        let settled = eventually("everybody is current", SETTLE, || async {
            Ok(look().await.filter(|(sidecars, rollouts)| {
                let good = |name: &&str| {
                    sidecars
                        .iter()
                        .any(|of| of.sidecar == **name && follows(of))
                };
                rollouts.is_empty() || names.iter().all(good)
            }))
        });
        let (sidecars, rollouts) = match settled.await {
            Ok(found) => found,
            Err(_) => look().await.context("the control plane does not answer")?,
        };
        for rollout in &rollouts {
            let decided = rollout.decision.as_ref().and_then(|of| of.time);
            self.trace.note(What::Left {
                rollout: rollout.id.clone(),
                state: rollout.state().as_str_name().replacen("STATE_", "", 1),
                decided_ms: decided.as_ref().map_or(0, millis),
            });
        }
        for name in names.iter().filter(|_| !rollouts.is_empty()) {
            let of = sidecars.iter().find(|of| of.sidecar == *name);
            self.trace.note(What::Follows {
                sidecar: (*name).to_owned(),
                connected: of.is_some_and(|of| of.connected),
                current: of.is_some_and(follows),
            });
        }
        Ok(())
    }

    /// Reads what is on the control plane's disk, which must not run. How many requests are counted there.
    ///
    /// # Errors
    /// If it is gone.
    pub async fn read_log(&self) -> Result<u64> {
        let (trace, directory) = (self.trace.clone(), self.data_dir());
        let read = tokio::task::spawn_blocking(move || read(&trace, &directory));
        read.await?
    }

    /// Where the control plane keeps its store.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("control-plane")
    }
}

fn follows(of: &v1::SidecarInfo) -> bool {
    let holds = |model: &v1::SidecarModel| model.current || model.warming;
    of.connected && of.models.iter().all(holds)
}

fn read(trace: &Trace, directory: &Path) -> Result<u64> {
    let options = Options {
        reserve_bytes: 4096,
        ..Options::new(directory)
    };
    let store = match SledStore::open(&options) {
        Ok(store) => store,
        Err(error) => {
            let detail = error.to_string();
            trace.note(What::Damaged { detail });
            return Ok(0);
        }
    };
    let loaded = store.load()?;
    let records = store.records(0, usize::MAX)?;
    let mut rollouts: Vec<(String, bool)> = Vec::new();
    for record in &records {
        let Some(event) = &record.event else { continue };
        match &event.kind {
            Some(Kind::Created(_)) => rollouts.push((event.rollout.clone(), true)),
            Some(Kind::Promoted(_) | Kind::RolledBack(_)) => {
                let ended = rollouts.iter_mut().find(|(id, _)| *id == event.rollout);
                if let Some(ended) = ended {
                    ended.1 = false;
                }
            }
            _ => {}
        }
        let at_ms = event.time.as_ref().map_or(0, millis);
        trace.note_at(
            at_ms,
            What::Logged(logged(loaded.meta.generation, record, event)),
        );
    }
    let mut all = 0;
    for (rollout, open) in rollouts {
        let (stable, canary) = merged(&store, &loaded.pending, &rollout)?;
        all += stable + canary;
        trace.note(What::Merged {
            rollout: rollout.clone(),
            stable,
            canary,
            open,
        });
        trace.note(redecided(&store, rollout)?);
    }
    Ok(all)
}

fn logged(generation: u64, record: &stored::LogRecord, event: &v1::Event) -> Logged {
    Logged {
        generation,
        revision: event.revision,
        digest: digest(&event.encode_to_vec()),
        request_id: record.request_id.clone(),
        part: record.part,
        rollout: event.rollout.clone(),
        actor: event.actor.clone(),
        change: change(event),
    }
}

fn change(event: &v1::Event) -> Change {
    let ppm = |share: f64| (share * 1e6).round() as u32;
    match &event.kind {
        Some(Kind::Created(created)) => {
            let plan = created.plan.clone().unwrap_or_default();
            let canary = view::canary(&plan).map_or("", |of| of.name.as_str());
            let bucketing = plan.bucketing.clone().unwrap_or_default();
            let salt = match bucketing.hash() {
                v1::bucketing::Hash::Modulo => String::new(),
                _ if bucketing.salt.is_empty() => event.rollout.clone(),
                _ => bucketing.salt,
            };
            let share = |step: &v1::Step| ppm(step.split.get(canary).copied().unwrap_or(0.0));
            let warmup = plan.warmup.map_or(0.0, |warmup| warmup.share);
            Change::Created {
                stable: view::stable_name(&plan).to_owned(),
                canary: canary.to_owned(),
                salt,
                steps: plan.steps.iter().map(share).collect(),
                warmup: ppm(warmup),
            }
        }
        Some(Kind::StepEntered(of)) => Change::StepEntered {
            step: of.step as usize,
            warmup: of.warmup,
        },
        Some(Kind::SplitChanged(of)) => Change::SplitChanged {
            epoch: of.epoch,
            ranges: of
                .shares
                .iter()
                .flat_map(|share| share.ranges.iter().map(|range| (range.start, range.end)))
                .collect(),
        },
        Some(Kind::Paused(of)) => Change::Paused {
            manual: of.cause() == v1::Cause::Manual,
        },
        Some(Kind::Resumed(of)) => Change::Resumed {
            step: of.step as usize,
        },
        Some(Kind::Held(of)) => Change::Held {
            cause: of.cause().as_str_name().to_owned(),
        },
        Some(Kind::Promoted(_)) => Change::Promoted,
        Some(Kind::RolledBack(of)) => Change::RolledBack {
            cause: of.cause().as_str_name().to_owned(),
        },
        Some(Kind::Restored(of)) => Change::Restored {
            revision: of.revision,
        },
        other => Change::Other {
            name: other.as_ref().map_or("nothing", name).to_owned(),
        },
    }
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::SidecarQuarantined(_) => "sidecar_quarantined",
        Kind::SidecarReleased(_) => "sidecar_released",
        Kind::FenceRegressed(_) => "fence_regressed",
        Kind::SidecarLost(_) => "sidecar_lost",
        Kind::VerdictChanged(_) => "verdict_changed",
        Kind::DecisionMade(_) => "decision_made",
        Kind::BakeStarted(_) => "bake_started",
        Kind::ModelChanged(_) => "model_changed",
        Kind::Queued(_) => "queued",
        Kind::Cancelled(_) => "cancelled",
        _ => "other",
    }
}

/// Judged requests of stable and of the canary, in slices or not yet.
fn merged(
    store: &SledStore,
    pending: &[(String, stored::Pending)],
    rollout: &str,
) -> Result<(u64, u64)> {
    let mut sum = (0, 0);
    let (mut stable, mut canary) = (String::new(), String::new());
    for event in store.events(0, usize::MAX)? {
        if let (true, Some(Kind::Created(created))) = (event.rollout == rollout, &event.kind) {
            let plan = created.plan.clone().unwrap_or_default();
            view::stable_name(&plan).clone_into(&mut stable);
            view::canary(&plan)
                .map_or("", |of| of.name.as_str())
                .clone_into(&mut canary);
        }
    }
    for (_, slice) in store.slices(rollout, 0, usize::MAX)? {
        let requests = |arm: Option<stored::Arm>| arm.map_or(0, |arm| arm.requests);
        sum.0 += requests(slice.stable);
        sum.1 += requests(slice.canary);
    }
    let cells = pending.iter().filter(|(id, _)| id == rollout);
    for cell in cells.flat_map(|(_, of)| &of.cells) {
        for of in &cell.variants {
            let judged = judged(of);
            if of.variant == stable {
                sum.0 += judged;
            } else if of.variant == canary {
                sum.1 += judged;
            }
        }
    }
    Ok(sum)
}

/// Requests that are in rates: all but cancelled ones.
pub(crate) fn judged(of: &v1::VariantCell) -> u64 {
    of.ok + of.client + of.model + of.overload + of.timeout + of.connect
}

/// Makes every decision of a rollout again.
fn redecided(store: &SledStore, rollout: String) -> Result<What> {
    let recording = crate::world::recorded::recording_of(store, &rollout)?;
    let replayed = replay(&recording)?;
    let differs = replayed
        .decisions
        .iter()
        .find(|of| of.outcome != Outcome::Same);
    Ok(What::Redecided {
        rollout,
        decisions: replayed.decisions.len() as u64,
        difference: differs.map_or_else(String::new, |of| format!("{:?}", of.outcome)),
    })
}
