//! What one sidecar is sent, and when: pure, time comes in.
//!
//! One push is in flight at a time. While it is not acknowledged, changes collapse: the next push is made from the table
//! as it is then, so memory does not grow with the rate of changes. What a sidecar refused is not sent to it again.

use crate::engine::Assignments;
use serinus_common::digest;
use serinus_common::fence::Fence;
use serinus_proto::v1::{self, ack_result::Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an acknowledgement may take.
pub(super) const ACK_WITHIN: Duration = Duration::from_secs(10);

/// Lease to go by where no assignment has one.
const LEASE: Duration = Duration::from_secs(60);

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Pusher {
    /// What the sidecar serves: it is sent these models and no others.
    models: BTreeSet<String>,
    /// By which rollouts may select it.
    labels: BTreeMap<String, String>,
    /// What it says it holds, or has acknowledged since: its fence and its digest.
    held: BTreeMap<String, (Fence, u64)>,
    /// Everything is to be sent, whatever was before.
    anew: bool,
    sent: BTreeMap<String, Arc<v1::Assignment>>,
    acknowledged: BTreeMap<String, Arc<v1::Assignment>>,
    rejected: BTreeSet<(String, u64)>,
    in_flight: Option<InFlight>,
    nonce: u64,
}

#[derive(Debug)]
struct InFlight {
    assignments: Vec<Arc<v1::Assignment>>,
    removed: Vec<String>,
    deadline: Instant,
}

/// What an acknowledgement said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Of an earlier push, or of none.
    Old,
    /// Of the push in flight.
    Current {
        /// On disk and in force, also where a canary is not ready yet.
        applied: u32,
        /// Not taken.
        rejected: u32,
        /// Not taken, for a newer one is held.
        stale: u32,
    },
}

impl Pusher {
    pub(super) fn new(hello: &v1::Hello) -> Self {
        Self {
            models: hello.models.iter().cloned().collect(),
            labels: hello.labels.clone(),
            held: held(&hello.held),
            anew: true,
            sent: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            rejected: BTreeSet::new(),
            in_flight: None,
            nonce: 0,
        }
    }

    /// The push that is due, if any. The first one is everything, and says what the sidecar holds and should not.
    pub(super) fn next(&mut self, table: &Assignments, now: Instant) -> Option<v1::Push> {
        if self.in_flight.is_some() {
            return None;
        }
        let first = self.anew;
        let models = self.models.iter();
        let wanted: BTreeMap<&String, &Arc<v1::Assignment>> = models
            .filter_map(|model| Some((model, table.of(model, &self.labels)?)))
            .collect();
        let due = wanted
            .iter()
            .filter(|(model, assignment)| self.is_due(model, assignment));
        let assignments: Vec<Arc<v1::Assignment>> = due.map(|(_, new)| (*new).clone()).collect();
        let known = if first {
            self.held.keys().collect::<Vec<_>>()
        } else {
            self.sent.keys().collect()
        };
        let removed = known
            .into_iter()
            .filter(|model| !wanted.contains_key(model));
        let removed: Vec<String> = removed.cloned().collect();
        if !first && assignments.is_empty() && removed.is_empty() {
            return None;
        }
        for model in &removed {
            self.sent.remove(model);
            self.acknowledged.remove(model);
        }
        for assignment in &assignments {
            self.sent
                .insert(assignment.model.clone(), assignment.clone());
        }
        self.nonce += 1;
        self.anew = false;
        let push = v1::Push {
            nonce: self.nonce,
            assignments: assignments
                .iter()
                .map(|assignment| (**assignment).clone())
                .collect(),
            removed,
            snapshot_complete: first,
        };
        self.in_flight = Some(InFlight {
            assignments,
            removed: push.removed.clone(),
            deadline: now + ACK_WITHIN,
        });
        Some(push)
    }

    fn is_due(&self, model: &str, assignment: &v1::Assignment) -> bool {
        let sent = self.sent.get(model);
        let same =
            sent.is_some_and(|s| s.digest == assignment.digest && s.fence == assignment.fence);
        !same
            && !self
                .rejected
                .contains(&(model.to_owned(), assignment.digest))
    }

    /// Takes an acknowledgement. A model of the push that it does not name is neither applied nor refused.
    pub(super) fn acknowledge(&mut self, ack: &v1::Ack) -> Answer {
        if ack.nonce != self.nonce {
            return Answer::Old;
        }
        let Some(push) = self.in_flight.take() else {
            return Answer::Old;
        };
        for model in &push.removed {
            self.held.remove(model);
        }
        let (mut applied, mut rejected, mut stale) = (0, 0, 0);
        for assignment in push.assignments {
            let result = ack
                .results
                .iter()
                .find(|result| result.model == assignment.model);
            match result.map(v1::AckResult::outcome) {
                Some(Outcome::Applied | Outcome::Warming) => {
                    let now = (fence(assignment.fence.as_ref()), assignment.digest);
                    self.held.insert(assignment.model.clone(), now);
                    self.acknowledged
                        .insert(assignment.model.clone(), assignment);
                    applied += 1;
                }
                // The content is not at fault, the sender is.
                _ if result.is_some_and(|result| result.stale_fence) => stale += 1,
                Some(Outcome::Rejected | Outcome::Unspecified) => {
                    self.rejected
                        .insert((assignment.model.clone(), assignment.digest));
                    rejected += 1;
                }
                None => {}
            }
        }
        Answer::Current {
            applied,
            rejected,
            stale,
        }
    }

    /// The sidecar holds something else than was thought. It is sent everything again, but for what it refused; an answer
    /// to what is under way is not waited for.
    pub(super) fn resync(&mut self, held: &[v1::HeldAssignment]) {
        self.held = self::held(held);
        self.sent.clear();
        self.acknowledged.clear();
        self.in_flight = None;
        self.anew = true;
    }

    /// When the stream is given up, if nothing is heard.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.in_flight.as_ref().map(|push| push.deadline)
    }

    /// Renews the leases of what the sidecar acknowledged, as far as it is still what it should hold: a share that was
    /// taken back, by a push that this sidecar refuses, must run out.
    pub(super) fn heartbeat(&self, table: &Assignments) -> v1::Heartbeat {
        let current = self.acknowledged.values().filter(|held| {
            let wanted = table.of(&held.model, &self.labels);
            wanted.is_some_and(|wanted| wanted.fence == held.fence && wanted.digest == held.digest)
        });
        let leases = current
            .filter(|held| held.lease.is_some())
            .map(|held| v1::LeaseRef {
                model: held.model.clone(),
                rollout: held.rollout.clone(),
                fence: held.fence,
                lease: held.lease,
            });
        v1::Heartbeat {
            leases: leases.collect(),
            state_digest: self.in_flight.is_none().then(|| self.digest()),
        }
    }

    fn digest(&self) -> u64 {
        let held = self.held.iter();
        digest::of_held(held.map(|(model, (fence, digest))| (model.as_str(), *fence, *digest)))
    }

    /// Time between heartbeats: a quarter of the shortest lease. `jitter` is in -1.0..=1.0, for up to 20 % of it.
    pub(super) fn heartbeat_after(&self, jitter: f64) -> Duration {
        let leases = self
            .acknowledged
            .values()
            .filter_map(|held| held.lease.as_ref());
        let leases = leases.map(|lease| serinus_core::plan::std_duration(Some(lease)));
        let shortest = leases
            .filter(|lease| !lease.is_zero())
            .min()
            .unwrap_or(LEASE);
        (shortest / 4).mul_f64(1.0 + 0.2 * jitter.clamp(-1.0, 1.0))
    }
}

fn held(held: &[v1::HeldAssignment]) -> BTreeMap<String, (Fence, u64)> {
    let of = |held: &v1::HeldAssignment| {
        let now = (fence(held.fence.as_ref()), held.digest);
        (held.model.clone(), now)
    };
    held.iter().map(of).collect()
}

fn fence(wire: Option<&v1::Fence>) -> Fence {
    wire.map_or_else(Fence::default, |fence| Fence {
        generation: fence.generation,
        term: fence.term,
        revision: fence.revision,
    })
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod recorded;
