//! Measures what one slice costs with five guardrails: `cargo run --release --example fold_cost`.

use serinus_evidence::{
    Action, Arm, Engine, Guardrail, LabelSlice, Metric, Pair, RequestSlice, Settings,
};
use std::time::Instant;

const SLICES: u32 = 100_000;

fn guardrail(metric: Metric) -> Guardrail {
    Guardrail {
        metric,
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    }
}

fn labelled(name: &str) -> Guardrail {
    guardrail(Metric::Labelled {
        name: name.to_owned(),
        higher_is_better: true,
        margin: 0.01,
    })
}

/// About a hundred buckets, as a real service's second has.
fn arm(requests: u64) -> Arm {
    let latency = (0..100)
        .map(|i| (400 + i, (requests / 100).max(1)))
        .collect();
    Arm {
        requests,
        errors: requests / 200,
        latency,
    }
}

fn main() {
    let guardrails = vec![
        guardrail(Metric::ErrorRate { margin: 0.0025 }),
        guardrail(Metric::Latency {
            quantiles: vec![0.5, 0.95, 0.99],
            ratio: 1.1,
            slack_ms: 2.0,
        }),
        guardrail(Metric::LatencyLimit {
            quantile: 0.99,
            limit_ms: 250.0,
        }),
        labelled("accuracy"),
        labelled("click"),
    ];
    let tolerances = vec![10.0, 2.0, 1.0];
    let settings = Settings {
        tolerances,
        ..Settings::new(guardrails)
    };
    let mut engine = Engine::new(settings).expect("valid settings");
    let slice = RequestSlice {
        epoch: 1,
        seconds: 1.0,
        share: Some(0.1),
        canary: arm(100),
        stable: arm(900),
    };
    let labels = LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(92, 100, 828, 900),
        assigned: None,
    };
    let start = Instant::now();
    for _ in 0..SLICES {
        engine.fold_requests(&slice);
        engine.fold_labels(3, &labels);
        engine.fold_labels(4, &labels);
    }
    println!("fold: {:?} per slice", start.elapsed() / SLICES);
    let start = Instant::now();
    let looks = SLICES / 100;
    for _ in 0..looks {
        assert_eq!(engine.assess(2.0, 1, true).guardrails.len(), 5);
    }
    println!("assess: {:?}", start.elapsed() / looks);
}
