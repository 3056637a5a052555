//! What a look is given to judge by: measured elsewhere, as of one moment.

use crate::evidence::{Judged, sample_ratio};
use serinus_evidence::HarmCause;
use serinus_proto::v1;

/// Everything that the control plane knows about a rollout beyond its log, as of one look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// One row per guardrail of the plan, its `index` the position there, its verdict at the present step's tolerance.
    /// A guardrail without a row has no evidence.
    pub guardrails: Vec<v1::GuardrailEvidence>,
    /// Proven worse than a margin by guardrails that roll back.
    pub harmful: Option<Harm>,
    /// Natural log of the weighted average of evidence over the guardrails that roll back.
    pub log_e_rollback: f64,
    /// What it is held against: ln(1 / alpha).
    pub log_threshold: f64,
    /// Plain sum of the failures beyond what stable would have had; shown only.
    pub extra_errors: f64,
    /// Its always-valid lower end, as it is charged to the budget.
    pub extra_errors_lower: f64,
    /// The budget.
    pub extra_errors_budget: f64,
    /// The lower end has reached the budget.
    pub budget_spent: bool,
    /// Slices folded so far.
    pub slices: u64,
    /// Version of the rules that made the evidence.
    pub engine_version: u32,
    /// Judged canary requests since the present step was entered: of the epochs from [`super::Rollout::step_epoch`] on.
    pub canary_requests_in_step: u64,
    /// Canary requests that should have come since the last one.
    pub expected_canary_since_last: f64,
    /// Unix seconds of the bad cells of the last minute.
    pub bad_cells: Vec<u64>,
    /// What the breakers said in them.
    pub breakers: Option<v1::BreakerEvidence>,
    /// A sidecar that holds most of what the canary does worse; the verdict on it waits for one more slice. Empty if none
    /// does.
    pub doubted: String,
    /// Requests were assigned to the canary and none finished within the attempt timeout.
    pub none_finished: bool,
    /// Distinct keys that met the canary.
    pub exposed_keys: u64,
    /// Every required guardrail is SAFE at tolerance 1.
    pub safe_at_full: bool,
    /// The smallest tolerance of the plan at which every required guardrail is SAFE, in a ramp that is paced by the
    /// evidence; `None` in others, or if there is none.
    pub excluded_tolerance: Option<f64>,
    /// Since when some required guardrail has had no evidence, unix milliseconds.
    pub no_evidence_since_ms: Option<u64>,
    /// A freeze of the plan is in force, at least until then, unix milliseconds.
    pub frozen_until_ms: Option<u64>,
    /// Whether the canary gets the share that was asked; `None` while that is not known.
    pub sample_ratio: Option<v1::SampleRatio>,
    /// Variance inflation between users, of errors; above 1 if they differ by more than chance.
    pub phi_users: f64,
    /// The sidecars that serve the model.
    pub fleet: FleetFacts,
}

/// Which guardrails a harmful canary broke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Harm {
    /// Positions in the plan's list.
    pub guardrails: Vec<usize>,
    /// By the rule for gross failure: at least half of the canary's requests fail, and below a tenth of stable's.
    pub gross: bool,
    /// Most of the canary's requests failed again and again within a minute.
    pub flapping: bool,
}

/// The sidecars that serve the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetFacts {
    /// With an open stream, selected or not.
    pub serving: u32,
    /// Since when there have been some and the rollout selects none of them, unix milliseconds.
    pub none_selected_since_ms: Option<u64>,
    /// Of these, those that the rollout selects; so are the numbers below.
    pub connected: u32,
    /// Of these, on the present epoch.
    pub current: u32,
    /// Since when enough of them have been, unix milliseconds; see [`FleetClock`]. A step's clock starts here.
    pub current_since_ms: Option<u64>,
    /// Of these, those that refused the present assignment.
    pub rejected: u32,
    /// Why the first of them did.
    pub rejection: String,
    /// Of the connected ones, those on which no canary was ready yet since they got the assignment; they are not current.
    pub warming: u32,
    /// Of the connected ones, those on which no canary is ready now.
    pub not_ready: u32,
    /// Of the connected ones, those that went back to stable for lack of contact.
    pub reverted: u32,
    /// Of the connected ones, those whose reports are refused.
    pub quarantined: u32,
    /// Their part of the requests, 0..=1.
    pub quarantined_share: f64,
    /// Some sidecar, of whatever model, holds a later instruction than any of this control plane.
    pub fence_regressed: bool,
}

impl Facts {
    /// Of the evidence and of what else a look was told. The control plane and a replay of its decisions both make their
    /// facts here, from what is stored.
    #[must_use]
    pub fn new(judged: &Judged, look: &v1::Look) -> Self {
        let assessment = &judged.assessment;
        let extra = assessment.extra_errors;
        let bad_cells = look
            .breakers
            .as_ref()
            .map(|breakers| breakers.bad_cells.clone());
        Self {
            harmful: assessment.harmful.as_ref().map(|harm| Harm {
                guardrails: harm.blamed.clone(),
                gross: harm.cause == HarmCause::GrossErrors,
                flapping: harm.cause == HarmCause::Flapping,
            }),
            guardrails: judged.guardrails.clone(),
            log_e_rollback: assessment.log_e_rollback,
            log_threshold: assessment.log_threshold,
            extra_errors: extra.sum,
            extra_errors_lower: extra.charged,
            extra_errors_budget: extra.budget,
            budget_spent: assessment.budget_spent,
            slices: look.slices,
            engine_version: look.engine_version,
            canary_requests_in_step: look.canary_requests_in_step,
            expected_canary_since_last: look.expected_canary_since_last,
            bad_cells: bad_cells.unwrap_or_default(),
            breakers: look.breakers.clone(),
            doubted: String::new(),
            none_finished: look.none_finished,
            exposed_keys: look.exposed_keys,
            safe_at_full: assessment.required_safe_fully,
            excluded_tolerance: judged.excluded_tolerance,
            no_evidence_since_ms: look.no_evidence_since_ms,
            frozen_until_ms: look.frozen_until_ms,
            sample_ratio: sample_ratio(&assessment.sample_ratio),
            phi_users: assessment.phi_users,
            fleet: FleetFacts {
                serving: look.serving,
                none_selected_since_ms: look.none_selected_since_ms,
                connected: look.connected,
                current: look.current,
                current_since_ms: look.current_since_ms,
                rejected: look.rejected,
                rejection: look.rejection.clone(),
                warming: look.warming,
                not_ready: look.not_ready,
                reverted: look.reverted,
                quarantined: look.quarantined,
                quarantined_share: look.quarantined_share,
                fence_regressed: look.fence_regressed,
            },
        }
    }
}

impl Facts {
    /// The canary does not get the share that was asked: what is compared cannot be trusted.
    #[must_use]
    pub fn is_mismatched(&self) -> bool {
        is_mismatch(self.sample_ratio.as_ref())
    }
}

/// Whether this is a share that was not got.
pub(super) fn is_mismatch(ratio: Option<&v1::SampleRatio>) -> bool {
    ratio.is_some_and(|ratio| ratio.mismatch)
}

impl FleetFacts {
    /// At least 95 % of the connected sidecars, and at least one, are on the present epoch.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.connected > 0 && u64::from(self.current) * 100 >= u64::from(self.connected) * 95
    }

    /// More than 1 %, or more than 3, refused the assignment.
    pub(super) fn refuses(&self) -> bool {
        self.rejected > 3 || u64::from(self.rejected) * 100 > u64::from(self.connected)
    }

    /// More than 5 % went back to stable by themselves.
    pub(super) fn has_reverted(&self) -> bool {
        exceeds_twentieth(self.reverted, self.connected)
    }

    /// The reports of more than 5 % are refused, or those about more than 10 % of the requests.
    pub(super) fn is_distrusted(&self) -> bool {
        exceeds_twentieth(self.quarantined, self.connected)
            || (self.quarantined > 0 && self.quarantined_share > QUARANTINED_TRAFFIC)
    }
}

/// Part of the requests whose counts may be refused before nothing is decided on the rest.
const QUARANTINED_TRAFFIC: f64 = 0.10;

fn exceeds_twentieth(part: u32, all: u32) -> bool {
    u64::from(part) * 20 > u64::from(all)
}

/// Remembers when the fleet first was on the present epoch; a sidecar that joins later does not set the clock back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetClock {
    epoch: u64,
    since_ms: Option<u64>,
}

impl FleetClock {
    /// What to put into [`FleetFacts::current_since_ms`].
    pub fn observe(&mut self, now_ms: u64, epoch: u64, fleet: &FleetFacts) -> Option<u64> {
        if epoch != self.epoch {
            *self = Self {
                epoch,
                since_ms: None,
            };
        }
        if self.since_ms.is_none() && fleet.is_current() {
            self.since_ms = Some(now_ms);
        }
        self.since_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(connected: u32, current: u32, rejected: u32) -> FleetFacts {
        FleetFacts {
            connected,
            current,
            rejected,
            ..FleetFacts::default()
        }
    }

    #[test]
    fn nineteen_of_twenty_are_enough() {
        assert!(fleet(20, 19, 0).is_current());
        assert!(!fleet(19, 18, 0).is_current());
        assert!(!fleet(0, 0, 0).is_current(), "nobody is not everybody");
    }

    #[test]
    fn one_refusal_in_a_hundred_is_borne() {
        assert!(fleet(3, 2, 1).refuses());
        assert!(!fleet(100, 99, 1).refuses());
        assert!(fleet(10_000, 9_000, 4).refuses());
        assert!(!fleet(0, 0, 0).refuses());
    }

    #[test]
    fn one_in_twenty_may_be_reverted_or_quarantined() {
        let of = |connected, reverted, quarantined, quarantined_share| FleetFacts {
            reverted,
            quarantined,
            quarantined_share,
            ..fleet(connected, connected, 0)
        };
        assert!(!of(20, 1, 0, 0.0).has_reverted());
        assert!(of(19, 1, 0, 0.0).has_reverted());
        assert!(!of(20, 0, 1, 0.1).is_distrusted());
        assert!(of(20, 0, 1, 0.11).is_distrusted());
        assert!(of(3, 0, 1, 0.0).is_distrusted());
        assert!(!of(0, 0, 0, 1.0).is_distrusted());
    }

    #[test]
    fn the_clock_starts_once_per_epoch() {
        let mut clock = FleetClock::default();
        assert_eq!(clock.observe(10, 1, &fleet(2, 1, 0)), None);
        assert_eq!(clock.observe(20, 1, &fleet(2, 2, 0)), Some(20));
        assert_eq!(clock.observe(30, 1, &fleet(3, 2, 0)), Some(20));
        assert_eq!(clock.observe(40, 2, &fleet(3, 0, 0)), None);
    }
}
