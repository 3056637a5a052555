//! Checkpoints hold the state of an engine, so it must stay small however long the rollout and wide the latencies.

use super::*;
use crate::clusters::{CLUSTERS, ClusterSlice};
use crate::counts::{Assigned, Counts, MeanSlice, ScoreSlice, ShadowSlice};
use crate::numeric::Moments;
use crate::settings::ScoreDriftPolicy;

const MOST: usize = 256 * 1024;

/// Bytes of all numbers of the state: every one is printed, and none takes more than 8 bytes.
fn state_bytes(engine: &Engine) -> usize {
    let text = format!("{engine:?}");
    let words = text.split([' ', ',', '[', ']', '(', ')']);
    8 * words.filter(|word| word.parse::<f64>().is_ok()).count()
}

/// Every kind of slice, with latencies and scores from one end of the buckets to the other, in ever new epochs.
fn run(rails: Vec<Guardrail>, slices: u64) -> Engine {
    let settings = Settings {
        tolerances: (1..=10).map(f64::from).collect(),
        score_drift: Some(ScoreDriftPolicy::Report),
        ..Settings::new(rails)
    };
    let mut engine = Engine::new(settings).unwrap();
    let wide = |n| Arm {
        requests: 2 * n,
        errors: 0,
        latency: vec![(0, n), (u16::MAX, n)],
    };
    let labels = LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(9, 10, 90, 100),
        assigned: Some(Assigned {
            canary: 10,
            stable: 100,
        }),
    };
    for number in 0..slices {
        let epoch = number / 5;
        fold(&mut engine, 1, &slice(epoch, wide(10), wide(90)));
        let mut clusters = ClusterSlice {
            epoch,
            share: Some(0.1),
            ..ClusterSlice::default()
        };
        for h in 0..CLUSTERS {
            clusters.totals.canary[h] = Counts { x: 1, n: 10 };
            clusters.totals.stable[h] = Counts { x: 9, n: 90 };
        }
        engine.fold_clusters(&clusters);
        for index in 0..engine.monitors.len() {
            engine.fold_labels(index, &labels);
            engine.fold_late_labels(index, &labels);
            engine.fold_label_clusters(index, &clusters);
            let scores = |n: f64| Moments {
                n,
                sum: n,
                sum_of_squares: 2.0 * n,
            };
            let (canary, stable) = (scores(10.0), scores(90.0));
            let means = MeanSlice {
                epoch,
                seconds: 1.0,
                canary,
                stable,
            };
            engine.fold_means(index, &means);
            let pairs = ShadowSlice {
                epoch,
                seconds: 1.0,
                pairs: Counts { x: 1, n: 100 },
            };
            engine.fold_shadow(index, &pairs);
        }
        engine.fold_scores(&ScoreSlice {
            canary: vec![(0, 5), (u16::MAX, 5)],
            stable: vec![(0, 45), (u16::MAX, 45)],
        });
    }
    engine
}

fn five() -> Vec<Guardrail> {
    vec![
        errors(0.01),
        latency(),
        limit(250.0),
        accuracy(),
        accuracy(),
    ]
}

#[test]
fn the_state_is_small() {
    let bytes = state_bytes(&run(five(), 300));
    println!("{bytes} bytes");
    // Three dense histograms are in it.
    assert!(bytes > 3 * 8 * 4096, "{bytes}");
    assert!(bytes < MOST, "{bytes}");
}

#[test]
fn the_state_does_not_grow_with_the_rollout() {
    let mut rails = five();
    rails.push(guardrail(Metric::Mean {
        name: "quality".to_owned(),
        higher_is_better: true,
        margin: 0.1,
    }));
    rails.push(guardrail(Metric::Disagreement { limit: 0.05 }));
    let (early, late) = (run(rails.clone(), 100), run(rails, 300));
    let (early, late) = (state_bytes(&early), state_bytes(&late));
    println!("{early} bytes, then {late}");
    // The windows of a minute hold more or fewer slices.
    assert!(late <= early + 1024, "{early} {late}");
    assert!(late < MOST, "{late}");
}
