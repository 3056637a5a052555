//! How long a canary's share holds without contact: fresh, then frozen, then back to stable (or kept).

use serinus_proto::v1;

/// A share that goes back to stable does so evenly over this long, ms.
pub(crate) const SHRINK_MS: u64 = 60_000;
const DEFAULT_LEASE_MS: u64 = 60_000;
const DEFAULT_GRACE_MS: u64 = 15 * 60_000;
const WHOLE: u64 = 1_000_000;

/// Where on the ladder an assignment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing to lease: no canary traffic.
    Unleased,
    /// Renewed within the lease.
    Fresh,
    /// Out of contact for longer than the lease: nothing rises, breakers are stricter.
    Frozen,
    /// Out of contact for longer than lease and grace: on its way back to stable, with what is left of the canary's
    /// share in ppm; 0 when it is there. Only a newer decision ends it, contact alone does not.
    Reverting(u32),
}

impl Standing {
    /// What is left of the canary's assigned share, ppm.
    #[must_use]
    pub fn scale_ppm(self) -> u32 {
        match self {
            Self::Reverting(left) => left,
            _ => WHOLE as u32,
        }
    }

    /// Name in the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unleased => "none",
            Self::Fresh => "fresh",
            Self::Frozen => "frozen",
            Self::Reverting(0) => "reverted",
            Self::Reverting(_) => "reverting",
        }
    }
}

/// The lease of one assignment. Times are milliseconds of one clock that counts suspended time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    leased: bool,
    renewed_ms: u64,
    /// Age that it had at `renewed_ms`: not 0 only after a restart.
    aged_ms: u64,
    lease_ms: u64,
    grace_ms: u64,
    keep: bool,
    /// Since when it goes back to stable.
    shrinking_since: Option<u64>,
    reverted: bool,
}

impl Lease {
    pub(crate) fn new(assignment: &v1::Assignment, now_ms: u64) -> Self {
        Self {
            leased: assignment.shares.iter().any(|share| share.ppm > 0),
            renewed_ms: now_ms,
            aged_ms: 0,
            lease_ms: millis(assignment.lease.as_ref()).unwrap_or(DEFAULT_LEASE_MS),
            grace_ms: millis(assignment.grace.as_ref()).unwrap_or(DEFAULT_GRACE_MS),
            keep: assignment.on_expiry() == v1::assignment::OnExpiry::Keep,
            shrinking_since: None,
            reverted: false,
        }
    }

    /// After a restart, with the age that it has now. Beyond lease and grace nothing is known any more: stable only.
    pub(crate) fn restored(
        assignment: &v1::Assignment,
        now_ms: u64,
        age_ms: u64,
        reverted: bool,
    ) -> Self {
        let mut lease = Self::new(assignment, now_ms);
        lease.aged_ms = age_ms;
        let over = age_ms >= lease.lease_ms.saturating_add(lease.grace_ms);
        lease.reverted = lease.leased && (reverted || over);
        lease
    }

    /// Time since the last renewal, ms.
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms
            .saturating_sub(self.renewed_ms)
            .saturating_add(self.aged_ms)
    }

    pub(crate) fn standing(&self, now_ms: u64) -> Standing {
        if !self.leased {
            return Standing::Unleased;
        }
        if self.reverted {
            return Standing::Reverting(0);
        }
        if let Some(since) = self.shrinking_since {
            let gone = now_ms.saturating_sub(since).min(SHRINK_MS);
            return Standing::Reverting((WHOLE - gone * WHOLE / SHRINK_MS) as u32);
        }
        if self.age_ms(now_ms) < self.lease_ms {
            return Standing::Fresh;
        }
        Standing::Frozen
    }

    /// Lets due steps of the ladder happen. `delay_ms` is this sidecar's own random wait before it shrinks.
    pub(crate) fn tick(&mut self, now_ms: u64, delay_ms: u64) {
        if !self.leased || self.reverted {
            return;
        }
        if let Some(since) = self.shrinking_since {
            self.reverted = now_ms.saturating_sub(since) >= SHRINK_MS;
            return;
        }
        let until = self
            .lease_ms
            .saturating_add(self.grace_ms)
            .saturating_add(delay_ms);
        let over = self.age_ms(now_ms).checked_sub(until);
        if let (Some(over), false) = (over, self.keep) {
            let since = now_ms.saturating_sub(over);
            self.shrinking_since = Some(since);
            self.reverted = over >= SHRINK_MS;
        }
    }

    /// Contact with the same fence. Once the share goes back to stable, contact alone does not stop that.
    pub(crate) fn renew(&mut self, now_ms: u64, lease: Option<&prost_types::Duration>) {
        if self.is_reverting() {
            return;
        }
        self.renewed_ms = self.renewed_ms.max(now_ms);
        self.aged_ms = 0;
        if let Some(lease_ms) = millis(lease) {
            self.lease_ms = lease_ms;
        }
    }

    /// Length of the lease, where there is something to lease.
    pub(crate) fn lease_ms(&self) -> Option<u64> {
        self.leased.then_some(self.lease_ms)
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.leased
    }

    pub(crate) fn is_reverting(&self) -> bool {
        self.reverted || self.shrinking_since.is_some()
    }

    /// The same decision under another fence: it does not undo the way back to stable.
    pub(crate) fn continues(&mut self, earlier: &Self) {
        if self.leased && earlier.is_reverting() {
            self.shrinking_since = earlier.shrinking_since;
            self.reverted = earlier.reverted;
        }
    }

    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        !matches!(self.standing(now_ms), Standing::Unleased | Standing::Fresh)
    }
}

/// Milliseconds of a positive duration.
fn millis(duration: Option<&prost_types::Duration>) -> Option<u64> {
    let duration = std::time::Duration::try_from(*duration?).ok()?;
    u64::try_from(duration.as_millis())
        .ok()
        .filter(|&millis| millis > 0)
}

#[cfg(test)]
mod tests;
