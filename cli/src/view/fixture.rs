//! The rollout of the product's example screen.

use prost_types::{Duration, Timestamp};
use serinus_proto::v1::{self, Verdict, guardrail::Metric, guardrail_evidence::Unit};

/// When it was created, unix seconds; it has been up for 134 s in the example.
pub(crate) const CREATED: i64 = 1_790_000_000;

/// Unix milliseconds of the example.
pub(crate) const NOW_MS: u64 = 1_790_000_134_000;

pub(crate) fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

pub(crate) fn rollout() -> v1::Rollout {
    v1::Rollout {
        id: "r-1".into(),
        model: "recommender".into(),
        plan: Some(plan()),
        state: v1::State::Running.into(),
        step: 1,
        split: [("v1".to_owned(), 0.75), ("v2".to_owned(), 0.25)].into(),
        epoch: 17,
        revision: 41,
        created: at(CREATED),
        updated: at(CREATED + 134),
        decision: Some(decision()),
        fleet: Some(v1::Fleet {
            connected: 3,
            current: 3,
            stable_ready: true,
            canary_ready: true,
            ..Default::default()
        }),
        traffic: Some(v1::Traffic {
            requests_per_second: 412.0,
            canary_per_second: 103.0,
            ..Default::default()
        }),
        verbs: vec!["pause".into(), "rollback".into()],
        actor: "operator".into(),
        achieved_share: Some(0.249_1),
        ..Default::default()
    }
}

fn variant(name: &str, endpoint: &str) -> v1::Variant {
    v1::Variant {
        name: name.into(),
        endpoints: vec![endpoint.into()],
        ..Default::default()
    }
}

fn plan() -> v1::Plan {
    let step = |share: f64| v1::Step {
        split: [("v1".to_owned(), 1.0 - share), ("v2".to_owned(), share)].into(),
        ..Default::default()
    };
    let guardrail = |metric| v1::Guardrail {
        metric: Some(metric),
        ..Default::default()
    };
    v1::Plan {
        model: "recommender".into(),
        stable: Some(variant("v1", "http://127.0.0.1:9001")),
        canaries: vec![variant("v2", "http://127.0.0.1:9002")],
        steps: [0.05, 0.25, 0.5, 1.0].map(step).to_vec(),
        guardrails: vec![
            guardrail(Metric::ErrorRate(v1::ErrorRate { margin: 0.0025 })),
            guardrail(Metric::Latency(v1::Latency {
                quantiles: vec![0.99],
                ratio: 1.1,
                slack: None,
            })),
            guardrail(Metric::Accuracy(v1::Labelled {
                name: "accuracy".into(),
                margin: 0.01,
                ..Default::default()
            })),
        ],
        ..Default::default()
    }
}

fn decision() -> v1::Decision {
    v1::Decision {
        kind: v1::DecisionKind::Continue.into(),
        sentence: "WAIT: accuracy needs about 9,000 more labels, about 6 min; then 50%".into(),
        guardrails: vec![error_rate(), latency(), accuracy()],
        log_e_rollback: 0.12,
        log_threshold: 2.9957,
        extra_errors: 3.2,
        extra_errors_lower: -4.0,
        extra_errors_budget: 50.0,
        step: 1,
        tolerance: 2.0,
        epoch: 17,
        time: at(CREATED + 134),
        slices: 1321,
        engine_version: 1,
        breakers: None,
        sample_ratio: None,
        phi_users: None,
    }
}

fn evidence(name: &str, index: u32, verdict: Verdict, unit: Unit) -> v1::GuardrailEvidence {
    v1::GuardrailEvidence {
        name: name.into(),
        index,
        verdict: verdict.into(),
        unit: unit.into(),
        log_e_rollback: 0.31,
        log_threshold_rollback: 4.09,
        log_e_promote: 3.2,
        log_threshold_promote: 2.9957,
        phi: 1.02,
        required: true,
        on_breach: v1::guardrail::Action::Rollback.into(),
        ..Default::default()
    }
}

fn error_rate() -> v1::GuardrailEvidence {
    v1::GuardrailEvidence {
        stable_value: Some(0.0048),
        canary_value: Some(0.0052),
        difference: Some(0.0004),
        lower: Some(-0.0010),
        upper: Some(0.0019),
        limit: 0.0025,
        stable_count: 222_360,
        canary_count: 74_120,
        stable_events: Some(1067),
        canary_events: Some(385),
        ..evidence("error rate", 0, Verdict::Safe, Unit::Fraction)
    }
}

fn latency() -> v1::GuardrailEvidence {
    v1::GuardrailEvidence {
        stable_value: Some(41.0),
        canary_value: Some(44.0),
        difference: Some(1.07),
        lower: Some(1.03),
        upper: Some(1.11),
        limit: 1.1,
        stable_count: 222_360,
        canary_count: 74_120,
        ..evidence("latency p99", 1, Verdict::NeedMore, Unit::Milliseconds)
    }
}

fn accuracy() -> v1::GuardrailEvidence {
    v1::GuardrailEvidence {
        stable_value: Some(0.921),
        canary_value: Some(0.918),
        difference: Some(-0.003),
        lower: Some(-0.012),
        upper: Some(0.006),
        limit: 0.01,
        stable_count: 18_354,
        canary_count: 6_118,
        missing: Some(9000.0),
        missing_time: Some(Duration {
            seconds: 360,
            nanos: 0,
        }),
        ..evidence("accuracy", 2, Verdict::NeedMore, Unit::Fraction)
    }
}

pub(crate) fn event() -> v1::Event {
    v1::Event {
        revision: 17,
        time: Some(Timestamp {
            seconds: CREATED,
            nanos: 5_000_000,
        }),
        rollout: "r-1".into(),
        model: "recommender".into(),
        actor: "serinus".into(),
        ..Default::default()
    }
}
