//! The plan's own state machine, fed with the engine's verdicts as the control plane feeds it.
//!
//! The fleet is one sidecar that is always current; no breaker speaks; approvals are given as soon as they are asked
//! for.

use super::{End, Setup};
use serinus_common::ppm::Ppm;
use serinus_core::evidence::{Basis, excluded_tolerance};
use serinus_core::plan::view;
use serinus_core::rollout::{
    self, Approval, Command, CommandKind, Facts, FleetFacts, Gate, Harm, Rollout, Stamp,
};
use serinus_evidence::{Engine, HarmCause, Standing, Verdict};
use serinus_proto::v1;
use v1::event::Kind;

const ROLLOUT: &str = "simulated";

/// Where the rollout is after a look.
#[derive(Debug)]
pub(super) enum Reach {
    Running,
    End(End),
}

/// A running rollout.
#[derive(Debug)]
pub(super) struct Lifecycle {
    rollout: Rollout,
    facts: Facts,
    /// The first epoch of the present step, for the count of its requests.
    counted_epoch: u64,
    requests_since_canary: u64,
    exposure: Option<Exposure>,
}

impl Lifecycle {
    pub(super) fn new(setup: &Setup, users: Option<f64>) -> Self {
        let plan = setup.plan();
        let events = rollout::stamp(rollout::create(plan), &stamp(1, 0));
        let mut events = events.iter();
        let created = events.next().and_then(Rollout::from_created);
        let mut rollout = created.expect("the first event of a rollout is its creation");
        events.for_each(|event| rollout::apply(&mut rollout, event));
        let row = |(index, guardrail): (usize, &v1::Guardrail)| v1::GuardrailEvidence {
            name: view::metric_name(guardrail),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            on_breach: guardrail.on_breach,
            required: guardrail.required.unwrap_or(true),
            ..v1::GuardrailEvidence::default()
        };
        let facts = Facts {
            guardrails: plan.guardrails.iter().enumerate().map(row).collect(),
            fleet: FleetFacts {
                connected: 1,
                current: 1,
                ..FleetFacts::default()
            },
            ..Facts::default()
        };
        Self {
            counted_epoch: rollout.step_epoch,
            exposure: users.map(Exposure::new),
            rollout,
            facts,
            requests_since_canary: 0,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.rollout.epoch
    }

    pub(super) fn is_warming_up(&self) -> bool {
        self.rollout.warmup
    }

    /// The canary's share of the traffic, 0..=1.
    pub(super) fn canary_share(&self) -> f64 {
        f64::from(self.rollout.canary_ppm()) / 1e6
    }

    /// What follows from the evidence after a slice with so many requests of canary and stable.
    pub(super) fn observe(&mut self, engine: &Engine, requests: (u64, u64), now_ms: u64) -> Reach {
        self.count(requests);
        loop {
            let rollout = &self.rollout;
            let basis = Basis::of(rollout);
            let of = engine.stand(basis.tolerance, basis.epoch, basis.expects_both);
            self.facts.excluded_tolerance = excluded_tolerance(engine, &rollout.plan, basis);
            self.judge(&of);
            if rollout::is_settled(&self.rollout, now_ms, &self.facts) {
                return Reach::Running;
            }
            let kinds = rollout::look(&self.rollout, now_ms, &self.facts);
            self.record(kinds, now_ms);
            if !self.approve(now_ms) {
                return self.reach();
            }
        }
    }

    fn count(&mut self, (canary, stable): (u64, u64)) {
        if self.rollout.step_epoch != self.counted_epoch {
            self.counted_epoch = self.rollout.step_epoch;
            self.facts.canary_requests_in_step = 0;
        }
        self.facts.slices += 1;
        self.facts.canary_requests_in_step += canary;
        self.requests_since_canary = if canary > 0 {
            0
        } else {
            self.requests_since_canary + stable
        };
        let share = self.canary_share();
        self.facts.expected_canary_since_last = share * self.requests_since_canary as f64;
        self.facts.exposed_keys = match &mut self.exposure {
            Some(exposure) => exposure.expose(share, canary),
            None => self.facts.exposed_keys + canary,
        };
    }

    fn judge(&mut self, of: &Standing) {
        let facts = &mut self.facts;
        for (row, guardrail) in facts.guardrails.iter_mut().zip(&of.verdicts) {
            row.verdict = verdict(*guardrail).into();
        }
        let is_missing =
            |row: &v1::GuardrailEvidence| row.required && row.verdict() == v1::Verdict::NoEvidence;
        let missing = facts.guardrails.iter().any(is_missing);
        let since = facts
            .no_evidence_since_ms
            .unwrap_or(self.rollout.step_entered_ms);
        facts.no_evidence_since_ms = missing.then_some(since);
        facts.harmful = of.harmful.as_ref().map(|harm| Harm {
            guardrails: harm.blamed.clone(),
            gross: harm.cause == HarmCause::GrossErrors,
            flapping: harm.cause == HarmCause::Flapping,
        });
        facts.log_e_rollback = of.log_e_rollback;
        facts.log_threshold = of.log_threshold;
        facts.extra_errors = of.extra_errors.sum;
        facts.extra_errors_lower = of.extra_errors.charged;
        facts.extra_errors_budget = of.extra_errors.budget;
        facts.budget_spent = of.budget_spent;
        facts.safe_at_full = of.required_safe_fully;
        facts.fleet.current_since_ms = Some(self.rollout.epoch_entered_ms);
    }

    fn record(&mut self, kinds: Vec<Kind>, now_ms: u64) {
        let events = rollout::stamp(kinds, &stamp(self.rollout.revision + 1, now_ms));
        events
            .iter()
            .for_each(|event| rollout::apply(&mut self.rollout, event));
    }

    /// Gives the approval that was asked for, or the word of the gate; false if none was.
    fn approve(&mut self, now_ms: u64) -> bool {
        if let Gate::Waiting { asked, .. } = self.rollout.gate {
            let kinds = rollout::gate_answered(&self.rollout, asked, true);
            self.record(kinds, now_ms);
            return true;
        }
        if !matches!(self.rollout.approval, Approval::Waiting { .. }) {
            return false;
        }
        let command = Command {
            kind: CommandKind::Approve,
            expected_revision: self.rollout.revision,
            reason: String::new(),
            force: false,
        };
        let kinds = rollout::command(&self.rollout, now_ms, &command);
        let kinds = kinds.expect("an approval that was asked for can be given");
        self.record(kinds, now_ms);
        true
    }

    fn reach(&self) -> Reach {
        let rollout = &self.rollout;
        let full = view::asked(&rollout.plan, rollout.step) == Ppm::ONE;
        match (rollout.state, rollout.cause) {
            (v1::State::RolledBack, cause) => Reach::End(End::RolledBack {
                cause,
                guardrails: self
                    .facts
                    .harmful
                    .iter()
                    .flat_map(|harm| harm.guardrails.clone())
                    .collect(),
            }),
            (v1::State::Held, v1::Cause::PlanEnd) | (v1::State::Promoted, _) => {
                Reach::End(End::Promoted)
            }
            (v1::State::Held, cause) if !rollout::clears_itself(cause) => {
                Reach::End(End::Held(cause))
            }
            _ if full && !rollout.warmup => Reach::End(End::Promoted),
            _ => Reach::Running,
        }
    }
}

fn stamp(first_revision: u64, at_ms: u64) -> Stamp {
    Stamp {
        first_revision,
        at_ms,
        rollout: ROLLOUT.to_owned(),
        ..Stamp::default()
    }
}

fn verdict(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Safe => v1::Verdict::Safe,
        Verdict::Harmful => v1::Verdict::Harmful,
        Verdict::NeedMore => v1::Verdict::NeedMore,
        Verdict::NoEvidence => v1::Verdict::NoEvidence,
    }
}

/// How many distinct users met the canary, on average: its requests come evenly from those in its share, and a share
/// that grows keeps its users.
#[derive(Debug)]
struct Exposure {
    users: f64,
    exposed: f64,
}

impl Exposure {
    fn new(users: f64) -> Self {
        Self {
            users,
            exposed: 0.0,
        }
    }

    fn expose(&mut self, share: f64, requests: u64) -> u64 {
        let within = self.users * share;
        if within > self.exposed {
            let unmet = (within - self.exposed) * (-(requests as f64) / within).exp();
            self.exposed = within - unmet;
        }
        self.exposed.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_met_once() {
        let mut exposure = Exposure::new(1000.0);
        assert_eq!(exposure.expose(0.1, 1), 1);
        for _ in 0..100 {
            exposure.expose(0.1, 10);
        }
        assert_eq!(exposure.expose(0.1, 10_000), 100, "all of the share");
        assert_eq!(exposure.expose(0.5, 0), 100);
        assert_eq!(exposure.expose(0.5, 100_000), 500);
    }
}
