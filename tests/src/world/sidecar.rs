//! A sidecar as far as the control plane can tell.

use super::keys::Keys;
use super::traffic::Behaviour;
use anyhow::{Result, ensure};
use serinus_common::fence::Fence;
use serinus_control_plane::engine::Session;
use serinus_proto::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A simulated sidecar. It obeys only later instructions, and says so when it gets others.
#[derive(Debug)]
pub struct Sidecar {
    /// Its name.
    pub name: String,
    /// Changes at a restart.
    pub incarnation: u64,
    /// How far its clock is ahead of ours, milliseconds.
    pub clock_ms: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It refuses every assignment with shares.
    pub refuses: bool,
    /// No canary is ready on its host.
    pub warming: bool,
    /// It went back to stable for lack of contact, and says so.
    pub reverted: bool,
    /// It says that it holds this instruction, whatever it holds.
    pub claims: Option<v1::Fence>,
    /// How v2 behaves on its host, if not as elsewhere.
    pub canary: Option<Behaviour>,
    /// Reports that were not acknowledged.
    pub unacknowledged: Vec<v1::ReportRequest>,
    pub(super) session: Option<Session>,
    pub(super) held: Option<Arc<v1::Assignment>>,
    pub(super) latched: BTreeSet<String>,
    pub(super) answered: Option<v1::Fence>,
    pub(super) seq: u64,
    pub(super) predictions: u64,
    pub(super) keys: Keys,
}

impl Sidecar {
    pub(super) fn new(name: String, incarnation: u64) -> Self {
        Self {
            name,
            incarnation,
            clock_ms: 0,
            labels: BTreeMap::new(),
            refuses: false,
            warming: false,
            reverted: false,
            claims: None,
            canary: None,
            unacknowledged: Vec::new(),
            session: None,
            held: None,
            latched: BTreeSet::new(),
            answered: None,
            seq: 0,
            predictions: 0,
            keys: Keys::default(),
        }
    }

    /// Whether its stream is open.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// What it holds.
    #[must_use]
    pub fn held(&self) -> Option<&v1::Assignment> {
        self.held.as_deref()
    }

    /// A crash: what was not stored is lost, what is on its disk is not.
    pub fn restart(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        self.session = None;
        self.unacknowledged.clear();
        self.seq = 0;
        self.predictions = 0;
        self.keys = Keys::default();
    }

    pub(super) fn hello(&self, model: &str) -> v1::Hello {
        let held = self.held.iter().map(|held| v1::HeldAssignment {
            model: held.model.clone(),
            fence: self.claims.or(held.fence),
            digest: held.digest,
            rollout: held.rollout.clone(),
            latched: self.latched.contains(&held.rollout),
            lease_expired: self.reverted,
            warming: self.warming,
            reverted: self.reverted,
        });
        v1::Hello {
            sidecar: self.name.clone(),
            incarnation: self.incarnation,
            protocol: 1,
            models: vec![model.to_owned()],
            held: held.collect(),
            labels: self.labels.clone(),
            ..v1::Hello::default()
        }
    }

    /// What is wrong with an instruction that it is given, and the answer.
    pub(super) fn take(&mut self, assignment: &Arc<v1::Assignment>) -> Result<v1::AckResult> {
        let offered = fence(assignment);
        if let Some(held) = &self.held {
            ensure!(offered >= fence(held), "{offered} after {}", fence(held));
            ensure!(
                offered > fence(held) || held.digest == assignment.digest,
                "two contents under {offered}"
            );
        }
        let served: u32 = assignment.shares.iter().map(|share| share.ppm).sum();
        ensure!(
            served == 0 || !self.latched.contains(&assignment.rollout),
            "{} was rolled back and is served again",
            assignment.rollout
        );
        let mut result = v1::AckResult {
            model: assignment.model.clone(),
            fence: assignment.fence,
            ..v1::AckResult::default()
        };
        if self.refuses && served > 0 {
            result.set_outcome(v1::ack_result::Outcome::Rejected);
            result.detail = "it was told to".to_owned();
        } else {
            let warming = self.warming && served > 0;
            result.set_outcome(match warming {
                true => v1::ack_result::Outcome::Warming,
                false => v1::ack_result::Outcome::Applied,
            });
            // Only a newer decision ends it.
            let decision = |a: &v1::Assignment| (fence(a).generation, fence(a).revision);
            let same = self.held.as_deref().map(decision) == Some(decision(assignment));
            self.reverted &= same;
            result.reverted = self.reverted;
            if assignment.rolled_back {
                self.latched.insert(assignment.rollout.clone());
            }
            self.held = Some(assignment.clone());
        }
        self.answered = assignment.fence;
        Ok(result)
    }
}

fn fence(assignment: &v1::Assignment) -> Fence {
    let fence = assignment.fence.unwrap_or_default();
    Fence {
        generation: fence.generation,
        term: fence.term,
        revision: fence.revision,
    }
}
