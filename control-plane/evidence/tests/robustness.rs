//! Whatever reaches the engine, it answers in numbers, and only counts and shares decide.

use proptest::collection::vec;
use proptest::prelude::*;
use serinus_evidence::numeric::Moments;
use serinus_evidence::{
    Action, Arm, Assessment, Assigned, CLUSTERS, ClusterSlice, Counts, Engine, Guardrail,
    LabelSlice, MeanSlice, Metric, Pair, RequestSlice, ScoreDriftPolicy, ScoreSlice, Settings,
    ShadowSlice, Verdict,
};

const LABELLED: usize = 3;
const MEAN: usize = 4;
const SHADOW: usize = 5;

fn guardrail(metric: Metric) -> Guardrail {
    Guardrail {
        metric,
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    }
}

/// One guardrail of every kind.
fn engine() -> Engine {
    let metrics = vec![
        Metric::ErrorRate { margin: 0.01 },
        Metric::Latency {
            quantiles: vec![0.5, 0.95, 0.99],
            ratio: 1.1,
            slack_ms: 2.0,
        },
        Metric::LatencyLimit {
            quantile: 0.99,
            limit_ms: 250.0,
        },
        Metric::Labelled {
            name: "accuracy".to_owned(),
            higher_is_better: true,
            margin: 0.02,
        },
        Metric::Mean {
            name: "quality".to_owned(),
            higher_is_better: true,
            margin: 0.3,
        },
        Metric::Disagreement { limit: 0.05 },
    ];
    let settings = Settings {
        tolerances: vec![10.0, 1.0],
        score_drift: Some(ScoreDriftPolicy::BlockPromotion),
        ..Settings::new(metrics.into_iter().map(guardrail).collect())
    };
    Engine::new(settings).expect("valid settings")
}

/// Anything that can be given to an engine.
#[derive(Clone, Debug)]
enum Input {
    Requests(RequestSlice),
    Assignments(u64, f64, Assigned),
    Labels(usize, LabelSlice),
    LateLabels(usize, LabelSlice),
    Means(usize, MeanSlice),
    Shadow(usize, ShadowSlice),
    Scores(ScoreSlice),
    Clusters(Box<ClusterSlice>),
    LabelClusters(usize, Box<ClusterSlice>),
}

fn give(engine: &mut Engine, input: &Input) {
    match input {
        Input::Requests(slice) => engine.fold_requests(slice),
        Input::Assignments(epoch, share, of) => engine.fold_assignments(*epoch, *share, *of),
        Input::Labels(index, slice) => engine.fold_labels(*index, slice),
        Input::LateLabels(index, slice) => engine.fold_late_labels(*index, slice),
        Input::Means(index, slice) => engine.fold_means(*index, slice),
        Input::Shadow(index, slice) => engine.fold_shadow(*index, slice),
        Input::Scores(slice) => engine.fold_scores(slice),
        Input::Clusters(slice) => engine.fold_clusters(slice),
        Input::LabelClusters(index, slice) => engine.fold_label_clusters(*index, slice),
    }
}

/// Numbers of any kind, the impossible ones as often as the usual.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    count: fn() -> BoxedStrategy<u64>,
    real: fn() -> BoxedStrategy<f64>,
    /// Whether some of what they make up can be true.
    possible: bool,
}

fn any_count() -> BoxedStrategy<u64> {
    let edges = prop_oneof![Just(0), Just(u64::from(u32::MAX)), Just(u64::MAX)];
    prop_oneof![0..50u64, 0..5000u64, any::<u64>(), edges].boxed()
}

fn any_real() -> BoxedStrategy<f64> {
    let edges = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(0.0),
        Just(-1.0),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
    ];
    prop_oneof![0.0..1.0f64, -1e6..1e6f64, any::<f64>(), edges].boxed()
}

/// Counts that no traffic has: at least one is saturated.
fn saturated_count() -> BoxedStrategy<u64> {
    prop_oneof![u64::from(u32::MAX)..=u64::MAX, Just(u64::MAX)].boxed()
}

fn broken_real() -> BoxedStrategy<f64> {
    prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)].boxed()
}

fn counts(of: Numbers) -> impl Strategy<Value = Counts> {
    ((of.count)(), (of.count)()).prop_map(|(x, n)| Counts { x, n })
}

fn sparse(of: Numbers) -> impl Strategy<Value = Vec<(u16, u64)>> {
    let bucket = prop_oneof![400..600u16, any::<u16>()];
    vec((bucket, (of.count)()), 1..6)
}

fn arm(of: Numbers) -> impl Strategy<Value = Arm> {
    (counts(of), sparse(of)).prop_map(|(counts, latency)| Arm {
        requests: counts.n,
        errors: counts.x,
        latency,
    })
}

fn labels(of: Numbers) -> impl Strategy<Value = LabelSlice> {
    let assigned = prop::option::of(((of.count)(), (of.count)()));
    (1..5u64, any_real(), counts(of), counts(of), assigned).prop_map(
        |(epoch, seconds, canary, stable, assigned)| LabelSlice {
            epoch,
            seconds,
            pair: Pair { canary, stable },
            assigned: assigned.map(|(canary, stable)| Assigned { canary, stable }),
        },
    )
}

fn moments(of: Numbers) -> impl Strategy<Value = Moments> {
    let small = ((0..200u64), -10.0..10.0f64, 0.0..9.0f64).prop_map(|(n, mean, variance)| {
        let n = n as f64;
        (n, n * mean, n * (mean * mean + variance))
    });
    let any = || {
        let parts = ((of.count)(), (of.real)(), (of.real)());
        parts.prop_map(|(n, sum, squares)| (n as f64, sum, squares))
    };
    let possible = if of.possible {
        small.boxed()
    } else {
        any().boxed()
    };
    prop_oneof![2 => any(), 1 => possible].prop_map(|(n, sum, sum_of_squares)| Moments {
        n,
        sum,
        sum_of_squares,
    })
}

fn clusters(of: Numbers) -> impl Strategy<Value = Box<ClusterSlice>> {
    let share = prop::option::of(any_real());
    (
        0..9u64,
        share,
        vec(counts(of), CLUSTERS),
        vec(counts(of), CLUSTERS),
    )
        .prop_map(|(epoch, share, canary, stable)| {
            let mut slice = ClusterSlice {
                epoch,
                share,
                ..ClusterSlice::default()
            };
            slice.totals.canary.copy_from_slice(&canary);
            slice.totals.stable.copy_from_slice(&stable);
            Box::new(slice)
        })
}

fn input(of: Numbers) -> impl Strategy<Value = Input> {
    let requests = (1..5u64, any_real(), arm(of), arm(of));
    let requests = requests.prop_map(|(epoch, seconds, canary, stable)| {
        Input::Requests(RequestSlice {
            epoch,
            seconds,
            canary,
            stable,
        })
    });
    let assigned = (counts(of), counts(of)).prop_map(|(canary, stable)| Assigned {
        canary: canary.n,
        stable: stable.n,
    });
    let assignments = (1..5u64, any_real(), assigned);
    let means = (1..5u64, any_real(), moments(of), moments(of)).prop_map(
        |(epoch, seconds, canary, stable)| MeanSlice {
            epoch,
            seconds,
            canary,
            stable,
        },
    );
    let shadow =
        (1..5u64, any_real(), counts(of)).prop_map(|(epoch, seconds, pairs)| ShadowSlice {
            epoch,
            seconds,
            pairs,
        });
    let scores =
        (sparse(of), sparse(of)).prop_map(|(canary, stable)| ScoreSlice { canary, stable });
    prop_oneof![
        2 => requests,
        1 => assignments.prop_map(|(epoch, share, of)| Input::Assignments(epoch, share, of)),
        1 => (0..8usize, labels(of)).prop_map(|(index, slice)| Input::Labels(index, slice)),
        1 => (0..8usize, labels(of)).prop_map(|(index, slice)| Input::LateLabels(index, slice)),
        1 => (0..8usize, means).prop_map(|(index, slice)| Input::Means(index, slice)),
        1 => (0..8usize, shadow).prop_map(|(index, slice)| Input::Shadow(index, slice)),
        1 => scores.prop_map(Input::Scores),
        1 => clusters(of).prop_map(Input::Clusters),
        1 => (0..8usize, clusters(of)).prop_map(|(index, slice)| Input::LabelClusters(index, slice)),
    ]
}

const ANY: Numbers = Numbers {
    count: any_count,
    real: any_real,
    possible: true,
};
const BROKEN: Numbers = Numbers {
    count: saturated_count,
    real: broken_real,
    possible: false,
};

fn assert_sane(assessment: &Assessment) {
    assert!(assessment.log_e_rollback.is_finite());
    assert!(assessment.phi_users >= 1.0 && assessment.phi_users.is_finite());
    let extra = assessment.extra_errors;
    assert!(extra.sum.is_finite() && extra.lower.is_finite() && extra.charged.is_finite());
    let drift = assessment.score_drift.expect("drift is asked for");
    assert!(drift.log_e.is_finite() && drift.stability_index.is_none_or(f64::is_finite));
    let ratio = assessment.sample_ratio;
    assert!(
        ratio
            .achieved
            .is_none_or(|share| (0.0..=1.0).contains(&share))
    );
    for one in &assessment.guardrails {
        assert!(one.log_e_rollback.is_finite(), "{one:?}");
        assert!(one.log_e_promote < f64::INFINITY, "{one:?}");
        assert!(one.phi >= 1.0 && one.phi.is_finite(), "{one:?}");
        assert!(
            one.interval.is_none_or(|(low, high)| low <= high),
            "{one:?}"
        );
        for value in [one.difference, one.canary_value, one.stable_value] {
            assert!(value.is_none_or(f64::is_finite), "{one:?}");
        }
        if let Some(missing) = one.missing {
            assert!(missing.requests >= 0.0 && missing.noise >= 1.0, "{one:?}");
            assert!(
                missing.seconds.is_none_or(|seconds| seconds >= 0.0),
                "{one:?}"
            );
        }
        let labels = one.labels.unwrap_or_default();
        assert!(
            labels
                .rate
                .is_none_or(|rate| rate.log_e.is_finite() && rate.phi >= 1.0)
        );
        assert!(
            labels
                .late
                .is_none_or(|late| late.log_e_rollback.is_finite())
        );
    }
}

/// What an assessment says, but for the count of refused slices.
fn said(engine: &Engine) -> String {
    let mut assessment = engine.assess(1.0, 1, true);
    assessment.refused_slices = 0;
    format!("{assessment:?}")
}

/// A second in which everything is in order.
fn healthy() -> Vec<Input> {
    let arm = |n: u64| Arm {
        requests: n,
        errors: n / 100,
        latency: (0..50).map(|i| (500 + i, n / 50)).collect(),
    };
    let scores = |n: f64| Moments {
        n,
        sum: 5.0 * n,
        sum_of_squares: 26.0 * n,
    };
    let labels = LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(92, 100, 368, 400),
        assigned: Some(Assigned {
            canary: 100,
            stable: 400,
        }),
    };
    vec![
        Input::Requests(RequestSlice {
            epoch: 1,
            seconds: 1.0,
            canary: arm(100),
            stable: arm(400),
        }),
        Input::Assignments(
            1,
            0.2,
            Assigned {
                canary: 100,
                stable: 400,
            },
        ),
        Input::Labels(LABELLED, labels),
        Input::Means(
            MEAN,
            MeanSlice {
                epoch: 1,
                seconds: 1.0,
                canary: scores(100.0),
                stable: scores(400.0),
            },
        ),
        Input::Shadow(
            SHADOW,
            ShadowSlice {
                epoch: 1,
                seconds: 1.0,
                pairs: Counts { x: 1, n: 100 },
            },
        ),
        Input::Scores(ScoreSlice {
            canary: vec![(10, 50), (20, 50)],
            stable: vec![(10, 200), (20, 200)],
        }),
    ]
}

fn seconds(engine: &mut Engine, count: usize) {
    for _ in 0..count {
        healthy().iter().for_each(|input| give(engine, input));
    }
}

#[test]
fn a_healthy_rollout_is_safe_in_every_kind_of_guardrail() {
    let mut engine = engine();
    seconds(&mut engine, 90);
    let assessment = engine.assess(1.0, 1, true);
    for one in &assessment.guardrails {
        assert_eq!(one.verdict, Verdict::Safe, "{one:?}");
    }
    assert!(assessment.required_safe && assessment.harmful.is_none());
    assert_eq!(assessment.refused_slices, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_makes_it_panic_or_say_nan(inputs in vec(input(ANY), 1..25), kappa in any_real()) {
        let mut engine = engine();
        for given in &inputs {
            give(&mut engine, given);
            assert_sane(&engine.assess(1.0, 1, true));
        }
        assert_sane(&engine.assess(kappa, 3, false));
    }

    /// Slices that cannot be true neither promote nor move anything that healthy ones proved.
    #[test]
    fn what_cannot_be_true_is_refused_and_changes_nothing(inputs in vec(input(BROKEN), 1..20)) {
        let (mut alone, mut among, mut without) = (engine(), engine(), engine());
        seconds(&mut among, 3);
        seconds(&mut without, 3);
        for given in &inputs {
            give(&mut alone, given);
            give(&mut among, given);
        }
        let assessment = alone.assess(10.0, 1, true);
        prop_assert!(!assessment.required_safe && assessment.harmful.is_none());
        prop_assert!(assessment.guardrails.iter().all(|one| one.verdict == Verdict::NoEvidence));
        prop_assert_eq!(assessment.refused_slices, inputs.len() as u64);
        seconds(&mut among, 3);
        seconds(&mut without, 3);
        prop_assert_eq!(said(&among), said(&without));
    }

    /// The evidence knows no epoch's number and no order of buckets: only counts, shares and how long slices lasted.
    #[test]
    fn only_what_was_counted_is_evidence(
        slices in vec((0..40u64, 0..3u64, 0..300u64, 0..6u64, vec((480..520u16, 0..9u64), 1..8), 0.1..9.0f64), 5..30),
        shift in 1..1000u64, turn in 0..7usize,
    ) {
        let run = |shift: u64, turned: bool| {
            let mut engine = engine();
            for (canary, failed, stable, stable_failed, buckets, seconds) in &slices {
                let mut latency = buckets.clone();
                if turned {
                    latency.rotate_left(turn % buckets.len());
                    // Each bucket in two parts.
                    let halves = latency.iter().map(|(bucket, count)| (*bucket, count / 2));
                    let rest = latency.iter().map(|(bucket, count)| (*bucket, count - count / 2));
                    latency = halves.chain(rest).collect();
                }
                let arm = |n: u64, x: u64| Arm { requests: n + x, errors: x, latency: latency.clone() };
                engine.fold_requests(&RequestSlice {
                    epoch: 1 + shift,
                    seconds: *seconds,
                    canary: arm(*canary, *failed),
                    stable: arm(*stable, *stable_failed),
                });
                let assigned = Assigned { canary: *canary, stable: *stable };
                engine.fold_assignments(1 + shift, 0.1, assigned);
                let pair = Pair::new(*canary, canary + failed, *stable, stable + stable_failed);
                let labels = LabelSlice { epoch: 1 + shift, seconds: *seconds, pair, assigned: None };
                engine.fold_labels(LABELLED, &labels);
            }
            let assessment = engine.assess(1.0, 1 + shift, true);
            let each = assessment.guardrails.iter().map(|one| {
                (one.verdict, one.log_e_rollback.to_bits(), one.log_e_promote.to_bits(), one.phi.to_bits())
            });
            (each.collect::<Vec<_>>(), format!("{:?}", assessment.sample_ratio))
        };
        prop_assert_eq!(run(0, false), run(shift, true));
    }
}
