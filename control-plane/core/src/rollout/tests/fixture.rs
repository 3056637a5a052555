//! A plan, facts, and a world that records what happens and checks the invariants at every turn.

use super::super::*;
use prost_types::Duration;
use serinus_proto::v1::event::Kind;
use serinus_proto::v1::guardrail::{Action, Metric};
use v1::{Cause, State, Verdict};

pub(super) const START_MS: u64 = 1_700_000_000_000;
pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;

pub(super) fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

pub(super) fn split(canary: f64) -> BTreeMap<String, f64> {
    BTreeMap::from([("v2".to_owned(), canary), ("v1".to_owned(), 1.0 - canary)])
}

fn variant(name: &str) -> v1::Variant {
    v1::Variant {
        name: name.to_owned(),
        endpoints: vec!["http://127.0.0.1:9001".to_owned()],
        ..Default::default()
    }
}

pub(super) fn step(canary: f64) -> v1::Step {
    v1::Step {
        split: split(canary),
        min_duration: seconds(60),
        ..v1::Step::default()
    }
}

pub(super) fn guardrail(metric: Metric, on_breach: Action) -> v1::Guardrail {
    v1::Guardrail {
        metric: Some(metric),
        on_breach: on_breach.into(),
        weight: 0.0,
        required: None,
    }
}

pub(super) fn error_rate(on_breach: Action) -> v1::Guardrail {
    guardrail(
        Metric::ErrorRate(v1::ErrorRate { margin: 0.0025 }),
        on_breach,
    )
}

pub(super) fn accuracy(on_breach: Action) -> v1::Guardrail {
    let labelled = v1::Labelled {
        name: "accuracy".to_owned(),
        margin: 0.01,
        ..v1::Labelled::default()
    };
    guardrail(Metric::Accuracy(labelled), on_breach)
}

/// 5, 25, 50, 100 %; a minute each; errors and accuracy roll back; a bake of ten minutes with a holdback of 5 %.
pub(super) fn plan() -> v1::Plan {
    v1::Plan {
        model: "recommender".to_owned(),
        stable: Some(variant("v1")),
        canaries: vec![variant("v2")],
        steps: [0.05, 0.25, 0.5, 1.0].map(step).to_vec(),
        bake: Some(v1::Bake {
            duration: seconds(600),
            holdback: Some(0.05),
            ..v1::Bake::default()
        }),
        max_duration: seconds(86_400),
        guardrails: vec![error_rate(Action::Rollback), accuracy(Action::Rollback)],
        on_no_evidence: Some(v1::OnNoEvidence {
            after: seconds(1800),
            then: v1::Then::Hold.into(),
        }),
        ..v1::Plan::default()
    }
}

/// The log and the state of one rollout, with a clock that is moved by hand.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) rollout: Rollout,
    pub(super) log: Vec<v1::Event>,
    created: v1::Event,
}

impl World {
    pub(super) fn new(plan: v1::Plan) -> Self {
        let stamp_of = Stamp {
            first_revision: 100,
            at_ms: START_MS,
            rollout: "r1".to_owned(),
            model: "recommender".to_owned(),
            actor: "ada".to_owned(),
            reason: String::new(),
        };
        let log = stamp(create(&plan), &stamp_of);
        let mut rollout = Rollout::from_created(&log[0]).unwrap();
        let before = rollout.clone();
        for event in &log[1..] {
            apply(&mut rollout, event);
        }
        invariants::check(&before, &log[1..], &rollout).unwrap();
        Self {
            now_ms: START_MS,
            rollout,
            created: log[0].clone(),
            log,
        }
    }

    pub(super) fn wait(&mut self, ms: u64) -> &mut Self {
        self.now_ms += ms;
        self
    }

    pub(super) fn record(&mut self, kinds: Vec<Kind>, actor: &str, reason: &str) -> Vec<v1::Event> {
        let events = stamp(
            kinds,
            &Stamp {
                first_revision: self.rollout.revision + 1,
                at_ms: self.now_ms,
                rollout: "r1".to_owned(),
                model: "recommender".to_owned(),
                actor: actor.to_owned(),
                reason: reason.to_owned(),
            },
        );
        let before = self.rollout.clone();
        for event in &events {
            apply(&mut self.rollout, event);
        }
        self.log.extend(events.iter().cloned());
        if let Err(broken) = invariants::check(&before, &events, &self.rollout) {
            panic!("{broken}\nbefore: {before:#?}\nevents: {events:#?}");
        }
        events
    }

    /// One look with these facts.
    pub(super) fn see(&mut self, facts: &Facts) -> Vec<v1::Event> {
        let kinds = look(&self.rollout, self.now_ms, facts);
        let settled = is_settled(&self.rollout, self.now_ms, facts);
        assert_eq!(settled, kinds.is_empty(), "{kinds:#?}");
        self.record(kinds, "serinus", "")
    }

    /// One look at a canary that is as good as stable.
    pub(super) fn see_healthy(&mut self) -> Vec<v1::Event> {
        let facts = self.healthy();
        self.see(&facts)
    }

    /// A command by somebody who saw the present revision.
    pub(super) fn order(&mut self, kind: CommandKind) -> Result<Vec<v1::Event>, Refused> {
        self.order_at(kind, self.rollout.revision)
    }

    pub(super) fn order_at(
        &mut self,
        kind: CommandKind,
        expected_revision: u64,
    ) -> Result<Vec<v1::Event>, Refused> {
        self.send(&Command {
            kind,
            expected_revision,
            reason: "because".to_owned(),
            force: false,
        })
    }

    pub(super) fn send(&mut self, order: &Command) -> Result<Vec<v1::Event>, Refused> {
        let kinds = command(&self.rollout, self.now_ms, order)?;
        Ok(self.record(kinds, "ada", &order.reason))
    }

    /// Facts of a fleet on the present epoch, with every guardrail SAFE and all the requests one could ask for.
    pub(super) fn healthy(&self) -> Facts {
        let guardrails = self.rollout.plan.guardrails.iter().enumerate();
        Facts {
            guardrails: guardrails
                .map(|(index, of)| row(index, of, Verdict::Safe))
                .collect(),
            log_e_rollback: -1.0,
            log_threshold: 2.995_732_273_553_991,
            extra_errors_budget: 50.0,
            slices: 100,
            engine_version: 1,
            canary_requests_in_step: 10_000,
            safe_at_full: true,
            fleet: FleetFacts {
                connected: 3,
                current: 3,
                current_since_ms: Some(self.rollout.epoch_entered_ms),
                ..FleetFacts::default()
            },
            ..Facts::default()
        }
    }

    /// The same, with another verdict of one guardrail.
    pub(super) fn with_verdict(&self, index: usize, verdict: Verdict) -> Facts {
        let mut facts = self.healthy();
        facts.guardrails[index].verdict = verdict.into();
        facts
    }

    /// Looks at a healthy canary once a minute until it has this state and step.
    pub(super) fn proceed_to(&mut self, state: State, step: usize) -> &mut Self {
        for _ in 0..100 {
            if self.rollout.state == state && self.rollout.step == step {
                return self;
            }
            self.wait(MINUTE).see_healthy();
        }
        panic!(
            "never got to {state:?} {step}: {:?} {}",
            self.rollout.state, self.rollout.step
        );
    }

    pub(super) fn state(&self) -> (State, Cause) {
        (self.rollout.state, self.rollout.cause)
    }

    /// The canary's share in percent.
    pub(super) fn percent(&self) -> f64 {
        f64::from(self.rollout.canary_ppm()) / 1e4
    }

    pub(super) fn sentence(&self, facts: &Facts) -> String {
        decision(&self.rollout, self.now_ms, facts).sentence
    }

    /// The state that a restart would find.
    pub(super) fn replayed(&self) -> Rollout {
        let mut rollout = Rollout::from_created(&self.created).unwrap();
        for event in &self.log[1..] {
            apply(&mut rollout, event);
        }
        rollout
    }
}

pub(super) fn row(
    index: usize,
    guardrail: &v1::Guardrail,
    verdict: Verdict,
) -> v1::GuardrailEvidence {
    let name = match &guardrail.metric {
        Some(Metric::Accuracy(_)) => "accuracy",
        Some(Metric::Latency(_)) => "latency p99",
        _ => "error rate",
    };
    v1::GuardrailEvidence {
        name: name.to_owned(),
        index: u32::try_from(index).unwrap(),
        verdict: verdict.into(),
        on_breach: guardrail.on_breach,
        required: guardrail.required.unwrap_or(true),
        log_threshold_rollback: 2.995_732_273_553_991,
        ..v1::GuardrailEvidence::default()
    }
}

/// The names of events, as a story tells them.
pub(super) fn names(events: &[v1::Event]) -> Vec<&'static str> {
    events
        .iter()
        .map(|event| name(event.kind.as_ref().unwrap()))
        .collect()
}

pub(super) fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Created(_) => "created",
        Kind::StepEntered(_) => "step entered",
        Kind::SplitChanged(_) => "split changed",
        Kind::VerdictChanged(_) => "verdict changed",
        Kind::DecisionMade(_) => "decision made",
        Kind::Paused(_) => "paused",
        Kind::Resumed(_) => "resumed",
        Kind::Held(_) => "held",
        Kind::ApprovalRequested(_) => "approval requested",
        Kind::Approved(_) => "approved",
        Kind::GateAsked(_) => "gate asked",
        Kind::GateAnswered(_) => "gate answered",
        Kind::BakeStarted(_) => "bake started",
        Kind::Promoted(_) => "promoted",
        Kind::RolledBack(_) => "rolled back",
        Kind::FreezeBegan(_) => "freeze began",
        Kind::CapLifted(_) => "cap lifted",
        Kind::FreezeEnded(_) => "freeze ended",
        _ => "other",
    }
}
