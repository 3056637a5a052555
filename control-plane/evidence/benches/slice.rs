//! What one slice costs with five guardrails: `cargo bench -p serinus-evidence`.

use criterion::{Criterion, criterion_group, criterion_main};
use serinus_evidence::{
    Action, Arm, Engine, Guardrail, LabelSlice, Metric, Pair, RequestSlice, Settings,
};
use std::hint::black_box;

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

/// Five guardrails, seven compared quantities.
fn engine() -> Engine {
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
    Engine::new(Settings {
        tolerances: vec![10.0, 2.0, 1.0],
        ..Settings::new(guardrails)
    })
    .expect("the settings are valid")
}

fn slice(criterion: &mut Criterion) {
    let mut engine = engine();
    let slice = RequestSlice {
        epoch: 1,
        seconds: 1.0,
        canary: arm(100),
        stable: arm(900),
    };
    let labels = LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(92, 100, 828, 900),
        assigned: None,
    };
    let mut group = criterion.benchmark_group("five guardrails");
    group.bench_function("fold a slice", |bencher| {
        bencher.iter(|| {
            engine.fold_requests(black_box(&slice));
            engine.fold_labels(3, black_box(&labels));
            engine.fold_labels(4, black_box(&labels));
        });
    });
    group.bench_function("stand", |bencher| {
        bencher.iter(|| engine.stand(black_box(2.0), 1, true));
    });
    group.bench_function("assess", |bencher| {
        bencher.iter(|| engine.assess(black_box(2.0), 1, true));
    });
}

criterion_group!(benches, slice);
criterion_main!(benches);
