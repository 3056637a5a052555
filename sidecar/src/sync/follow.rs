//! Which assignments are accepted, and what is in force: pure, with time passed in.
//!
//! Only the fence decides which of two instructions is newer. Lowering needs nothing; a latched or rolled-back rollout
//! never serves its canary again; out of contact nothing rises.

mod latches;
mod lease;
mod rules;

pub use lease::Standing;

use super::saved;
use latches::Latches;
use lease::Lease;
use serinus_common::digest;
use serinus_common::fence::Fence;
use serinus_proto::v1;
use std::collections::{BTreeMap, BTreeSet};

/// Decides whether something could be served; the words say why not.
pub type Compiles<'a> = dyn Fn(&InForce) -> Result<(), Vec<String>> + 'a;

/// What is in force for one model by order of the control plane.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// The assignment; latched canaries have no share in it.
    pub assignment: v1::Assignment,
    /// None of its canaries may be served.
    pub latched: bool,
    /// What the lease leaves of the canaries' shares.
    pub standing: Standing,
}

/// The instructions that a sidecar holds.
#[derive(Clone, Debug)]
pub struct Follow {
    models: BTreeSet<String>,
    entries: BTreeMap<String, Entry>,
    latches: Latches,
    revert_delay_ms: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    fence: Fence,
    held: Option<(v1::Assignment, Lease)>,
}

impl Follow {
    /// Nothing held yet. `models` are the names in the own file; `revert_delay_ms` (0..=60,000, random per host) keeps a
    /// fleet from going back to stable as one wave.
    #[must_use]
    pub fn new(models: impl IntoIterator<Item = String>, revert_delay_ms: u64) -> Self {
        Self {
            models: models.into_iter().collect(),
            entries: BTreeMap::new(),
            latches: Latches::default(),
            revert_delay_ms,
        }
    }

    /// Takes over what was on disk; `elapsed_ms` is the time since it was written. Models that are no longer in the
    /// own file are kept (their latches and fences count if they come back) but not in force.
    pub fn restore(&mut self, saved: &saved::State, now_ms: u64, elapsed_ms: u64) {
        self.latches.load(&saved.latches);
        for entry in &saved.entries {
            let Some(fence) = entry.fence.as_ref().map(fence) else {
                continue;
            };
            let age = entry.age_ms.saturating_add(elapsed_ms);
            let held = entry.assignment.clone().map(|assignment| {
                let lease = Lease::restored(&assignment, now_ms, age, entry.reverted);
                (assignment, lease)
            });
            self.entries
                .insert(entry.model.clone(), Entry { fence, held });
        }
    }

    /// What must survive a restart; the caller adds when and on which boot it was written.
    #[must_use]
    pub fn save(&self, now_ms: u64) -> saved::State {
        let entry = |(model, entry): (&String, &Entry)| saved::Entry {
            model: model.clone(),
            fence: Some(message(entry.fence)),
            assignment: entry
                .held
                .as_ref()
                .map(|(assignment, _)| assignment.clone()),
            age_ms: entry
                .held
                .as_ref()
                .map_or(0, |(_, lease)| lease.age_ms(now_ms)),
            reverted: entry
                .held
                .as_ref()
                .is_some_and(|(_, lease)| lease.is_reverting()),
        };
        saved::State {
            entries: self.entries.iter().map(entry).collect(),
            latches: self.latches.save(),
            ..saved::State::default()
        }
    }

    /// Whether an assignment takes traffic from the canary or leaves it as it is, so that it may be in force before it
    /// is on disk.
    #[must_use]
    pub fn only_lowers(&self, assignment: &v1::Assignment, now_ms: u64) -> bool {
        if assignment.shares.is_empty() && assignment.rolled_back {
            return true;
        }
        let Some(now) = self.in_force(&assignment.model, now_ms) else {
            return false;
        };
        let scale = u64::from(now.standing.scale_ppm());
        let held = |variant: &str| {
            let shares = now.assignment.shares.iter();
            let ppm: u64 = shares
                .filter(|share| share.variant == variant)
                .map(|share| u64::from(share.ppm))
                .sum();
            ppm * scale / 1_000_000
        };
        let stable = |a: &v1::Assignment| a.variants.first().cloned();
        now.assignment.rollout == assignment.rollout
            && !now.latched
            && stable(&now.assignment) == stable(assignment)
            && assignment
                .shares
                .iter()
                .all(|share| u64::from(share.ppm) <= held(&share.variant))
    }

    /// Takes an assignment, or says why not. What was held before stays where it is refused.
    pub fn offer(
        &mut self,
        assignment: v1::Assignment,
        now_ms: u64,
        compiles: &Compiles<'_>,
    ) -> v1::AckResult {
        // An abort wins in any order, whatever its fence.
        if assignment.rolled_back {
            self.latches.add(&assignment.rollout, "");
        }
        let offered = assignment.fence.as_ref().map(fence).unwrap_or_default();
        let mut result = v1::AckResult {
            model: assignment.model.clone(),
            fence: assignment.fence,
            outcome: v1::ack_result::Outcome::Applied.into(),
            ..v1::AckResult::default()
        };
        match self.accept(assignment, offered, now_ms, compiles) {
            Ok(note) => {
                result.detail = note;
                result.reverted = self.has_reverted(&result.model);
            }
            Err(refusal) => {
                result.outcome = v1::ack_result::Outcome::Rejected.into();
                result.stale_fence = refusal.newer.is_some();
                result.diverged = refusal.diverged;
                result.detail = refusal.why;
                if let Some(newer) = refusal.newer {
                    result.fence = Some(message(newer));
                }
            }
        }
        result
    }

    /// The words go with the acknowledgement.
    fn accept(
        &mut self,
        assignment: v1::Assignment,
        offered: Fence,
        now_ms: u64,
        compiles: &Compiles<'_>,
    ) -> Result<String, Refusal> {
        if !self.models.contains(&assignment.model) {
            return Err(Refusal::because(format!(
                "this sidecar's file has no [[model]] named {}",
                assignment.model
            )));
        }
        if assignment.fence.is_none() {
            return Err(Refusal::because("it has no fence".to_owned()));
        }
        let earlier = match self.compare(&assignment, offered, now_ms)? {
            Compared::Renewed => return Ok(String::new()),
            Compared::Newer(earlier) => earlier,
        };
        let faults = rules::faults(&assignment);
        if !faults.is_empty() {
            return Err(Refusal::because(faults.join("; ")));
        }
        let mut lease = Lease::new(&assignment, now_ms);
        if let Some(earlier) = earlier {
            lease.continues(&earlier);
        }
        let in_force = self.mask(&assignment, lease.standing(now_ms));
        compiles(&in_force).map_err(|why| Refusal::because(why.join("; ")))?;
        let note = if in_force.latched && !assignment.rolled_back {
            format!(
                "rollout {} is latched here: its canary gets nothing",
                assignment.rollout
            )
        } else {
            String::new()
        };
        let entry = Entry {
            fence: offered,
            held: Some((assignment, lease)),
        };
        self.entries.insert(in_force.assignment.model, entry);
        Ok(note)
    }

    /// Compares with what is held, by the fence alone; the same instruction renews its lease.
    fn compare(
        &mut self,
        assignment: &v1::Assignment,
        offered: Fence,
        now_ms: u64,
    ) -> Result<Compared, Refusal> {
        let Some(entry) = self.entries.get_mut(&assignment.model) else {
            return Ok(Compared::Newer(None));
        };
        if offered < entry.fence {
            return Err(Refusal::stale(offered, entry.fence));
        }
        let Some((held, lease)) = &mut entry.held else {
            return Ok(Compared::Newer(None));
        };
        lease.tick(now_ms, self.revert_delay_ms);
        if offered > entry.fence {
            let decision = |fence: Fence| (fence.generation, fence.revision);
            let same =
                held.rollout == assignment.rollout && decision(entry.fence) == decision(offered);
            return Ok(Compared::Newer(same.then(|| lease.clone())));
        }
        if held.digest != assignment.digest {
            return Err(Refusal {
                diverged: true,
                ..Refusal::because(format!(
                    "DIVERGED: fence {offered} is held here with another content (digest {:016x}, offered {:016x})",
                    held.digest, assignment.digest
                ))
            });
        }
        lease.renew(now_ms, None);
        Ok(Compared::Renewed)
    }

    /// The control plane no longer assigns this model: back to the own file. The fence is kept, so that nothing older
    /// comes in. Says whether anything changed.
    pub fn remove(&mut self, model: &str) -> bool {
        self.entries
            .get_mut(model)
            .is_some_and(|entry| entry.held.take().is_some())
    }

    /// A heartbeat's word on one lease; only the very same instruction is renewed.
    pub fn renew(&mut self, lease_ref: &v1::LeaseRef, now_ms: u64) {
        let delay_ms = self.revert_delay_ms;
        let Some(entry) = self.entries.get_mut(&lease_ref.model) else {
            return;
        };
        let named = lease_ref.fence.as_ref().map(fence);
        if let Some((held, lease)) = &mut entry.held
            && named == Some(entry.fence)
            && held.rollout == lease_ref.rollout
        {
            lease.tick(now_ms, delay_ms);
            lease.renew(now_ms, lease_ref.lease.as_ref());
        }
    }

    /// Stops one canary, or with an empty name all canaries, of a rollout for ever. Says whether that is news.
    pub fn latch(&mut self, rollout: &str, variant: &str) -> bool {
        self.latches.add(rollout, variant)
    }

    /// Takes over the latches of another one.
    pub fn latch_like(&mut self, other: &Self) {
        self.latches.load(&other.latches.save());
    }

    /// Whether any lease is running.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        let mut held = self
            .entries
            .values()
            .filter_map(|entry| entry.held.as_ref());
        held.any(|(_, lease)| lease.is_leased())
    }

    /// Lets the leases grow older.
    pub fn tick(&mut self, now_ms: u64) {
        for entry in self.entries.values_mut() {
            if let Some((_, lease)) = &mut entry.held {
                lease.tick(now_ms, self.revert_delay_ms);
            }
        }
    }

    /// What is in force for one model; `None` is its own file.
    #[must_use]
    pub fn in_force(&self, model: &str, now_ms: u64) -> Option<InForce> {
        self.models.get(model)?;
        let (assignment, lease) = self.entries.get(model)?.held.as_ref()?;
        Some(self.mask(assignment, lease.standing(now_ms)))
    }

    /// What is in force for every model of the own file that is assigned.
    #[must_use]
    pub fn all_in_force(&self, now_ms: u64) -> Vec<InForce> {
        self.models
            .iter()
            .filter_map(|model| self.in_force(model, now_ms))
            .collect()
    }

    /// What is held, for the control plane.
    #[must_use]
    pub fn held(&self, now_ms: u64) -> Vec<v1::HeldAssignment> {
        let held = |(model, entry): (&String, &Entry)| {
            let (assignment, lease) = entry.held.as_ref()?;
            Some(v1::HeldAssignment {
                model: model.clone(),
                fence: Some(message(entry.fence)),
                digest: assignment.digest,
                rollout: assignment.rollout.clone(),
                latched: self.mask(assignment, lease.standing(now_ms)).latched,
                lease_expired: lease.is_expired(now_ms),
                warming: false,
                reverted: lease.is_reverting(),
            })
        };
        let known = |(model, _): &(&String, &Entry)| self.models.contains(*model);
        self.entries.iter().filter(known).filter_map(held).collect()
    }

    /// Digest of what is held, for comparing with what the control plane thinks.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let known = self
            .entries
            .iter()
            .filter(|(model, _)| self.models.contains(*model));
        digest::of_held(known.filter_map(|(model, entry)| {
            let (assignment, _) = entry.held.as_ref()?;
            Some((model.as_str(), entry.fence, assignment.digest))
        }))
    }

    /// The decision that is held for a model: its rollout, and the fence but for the control plane's term.
    #[must_use]
    pub fn decision(&self, model: &str) -> Option<(String, u64, u64)> {
        let entry = self.entries.get(model)?;
        let (assignment, _) = entry.held.as_ref()?;
        let Fence {
            generation,
            revision,
            ..
        } = entry.fence;
        Some((assignment.rollout.clone(), generation, revision))
    }

    /// The shortest lease that is running, ms.
    #[must_use]
    pub fn shortest_lease_ms(&self) -> Option<u64> {
        let held = self
            .entries
            .iter()
            .filter(|(model, _)| self.models.contains(*model))
            .filter_map(|(_, entry)| entry.held.as_ref());
        held.filter_map(|(_, lease)| lease.lease_ms()).min()
    }

    fn has_reverted(&self, model: &str) -> bool {
        let held = self
            .entries
            .get(model)
            .and_then(|entry| entry.held.as_ref());
        held.is_some_and(|(_, lease)| lease.is_reverting())
    }

    /// An assignment without the shares of its latched canaries.
    fn mask(&self, assignment: &v1::Assignment, standing: Standing) -> InForce {
        let rollout = assignment.rollout.as_str();
        let mut canaries = assignment.variants.iter().skip(1);
        let latched = !rollout.is_empty()
            && (assignment.rolled_back
                || self.latches.covers_all(rollout)
                || (canaries.len() > 0
                    && canaries.all(|canary| self.latches.covers(rollout, &canary.name))));
        let mut assignment = assignment.clone();
        let shares = assignment.shares.len();
        assignment
            .shares
            .retain(|share| !latched && !self.latches.covers(&assignment.rollout, &share.variant));
        assignment
            .targeting
            .retain(|rule| !latched && !self.latches.covers(rollout, &rule.variant));
        if assignment.shares.len() < shares {
            // A tester's header must not reach a latched canary either.
            assignment.allow_override_header = false;
        }
        InForce {
            assignment,
            latched,
            standing,
        }
    }
}

/// How an assignment compares with the one that is held.
enum Compared {
    /// The same: its lease was renewed.
    Renewed,
    /// To be taken; with the earlier lease where only the control plane's term is another one.
    Newer(Option<Lease>),
}

/// Why an assignment is not taken.
struct Refusal {
    why: String,
    /// The newer fence that is held, where the offered one is out of date.
    newer: Option<Fence>,
    /// Another content is held under the same fence.
    diverged: bool,
}

impl Refusal {
    fn because(why: String) -> Self {
        Self {
            why,
            newer: None,
            diverged: false,
        }
    }

    fn stale(offered: Fence, newer: Fence) -> Self {
        Self {
            why: format!("the fence {offered} is older than {newer}, which is held here"),
            newer: Some(newer),
            diverged: false,
        }
    }
}

/// From the wire.
pub(crate) fn fence(message: &v1::Fence) -> Fence {
    Fence {
        generation: message.generation,
        term: message.term,
        revision: message.revision,
    }
}

fn message(fence: Fence) -> v1::Fence {
    v1::Fence {
        generation: fence.generation,
        term: fence.term,
        revision: fence.revision,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;
