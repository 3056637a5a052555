//! Seeded rollouts through the whole engine: healthy canaries become SAFE, bad ones HARMFUL,
//! whatever the seed.

use serinus_evidence::count::{CountMonitor, Worse};
use serinus_evidence::{
    Action, Arm, Counts, Engine, Guardrail, LabelSlice, Metric, Pair, RequestSlice, Settings,
    Verdict,
};

const SEEDS: u64 = 20;
const REQUESTS_PER_SECOND: u32 = 500;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn hits(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A latency bucket: a triangle of 60 buckets around `centre`.
    fn bucket(&mut self, centre: u16) -> u16 {
        centre - 30 + (60.0 * 0.5 * (self.unit() + self.unit())) as u16
    }
}

/// How one variant behaves.
#[derive(Clone, Copy)]
struct Behaviour {
    errors: f64,
    accuracy: f64,
    latency_bucket: u16,
}

const STABLE: Behaviour = Behaviour {
    errors: 0.005,
    accuracy: 0.92,
    latency_bucket: 520,
};

fn guardrail(metric: Metric) -> Guardrail {
    Guardrail {
        metric,
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    }
}

fn guardrails(error_margin: f64) -> Vec<Guardrail> {
    vec![
        guardrail(Metric::ErrorRate {
            margin: error_margin,
        }),
        guardrail(Metric::Latency {
            quantiles: vec![0.5, 0.95, 0.99],
            ratio: 1.25,
            slack_ms: 2.0,
        }),
        guardrail(Metric::LatencyLimit {
            quantile: 0.99,
            limit_ms: 250.0,
        }),
        guardrail(Metric::Labelled {
            name: "accuracy".into(),
            higher_is_better: true,
            margin: 0.02,
        }),
    ]
}

struct World {
    random: Random,
    canary: Behaviour,
    share: f64,
    engine: Engine,
}

impl World {
    fn new(seed: u64, canary: Behaviour, share: f64, error_margin: f64) -> Self {
        let tolerances = vec![10.0, 5.0, 2.0];
        let settings = Settings {
            tolerances,
            ..Settings::new(guardrails(error_margin))
        };
        let engine = Engine::new(settings).expect("valid settings");
        Self {
            random: Random(seed),
            canary,
            share,
            engine,
        }
    }

    fn second(&mut self) {
        let (mut canary, mut stable) = (Arm::default(), Arm::default());
        let mut labels = Pair::default();
        for _ in 0..REQUESTS_PER_SECOND {
            let is_canary = self.random.hits(self.share);
            let (behaviour, arm, label) = if is_canary {
                (self.canary, &mut canary, &mut labels.canary)
            } else {
                (STABLE, &mut stable, &mut labels.stable)
            };
            let failed = self.random.hits(behaviour.errors);
            let bucket = self.random.bucket(behaviour.latency_bucket);
            let latency = vec![(bucket, 1)];
            arm.merge(&Arm {
                requests: 1,
                errors: u64::from(failed),
                latency,
            });
            label.n += 1;
            label.x += u64::from(self.random.hits(behaviour.accuracy));
        }
        self.engine.fold_requests(&RequestSlice {
            epoch: 1,
            seconds: 1.0,
            canary,
            stable,
        });
        self.engine.fold_labels(
            3,
            &LabelSlice {
                epoch: 1,
                seconds: 1.0,
                pair: labels,
                assigned: None,
            },
        );
    }

    /// Seconds until the canary is called harmful, and which guardrails are blamed.
    fn until_harmful(&mut self, limit: u32) -> Option<(u32, Vec<usize>)> {
        (1..=limit).find_map(|second| {
            self.second();
            let harm = self.engine.assess(1.0, 1, true).harmful?;
            Some((second, harm.blamed))
        })
    }
}

#[test]
fn a_canary_identical_to_stable_is_safe_within_seconds_and_never_harmful() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, STABLE, 0.5, 0.01);
        let mut safe_after = None;
        for second in 1..=180 {
            world.second();
            let assessment = world.engine.assess(1.0, 1, true);
            assert_eq!(assessment.harmful, None, "seed {seed}, second {second}");
            assert!(!assessment.budget_spent, "seed {seed}, second {second}");
            if assessment.guardrails[0].verdict == Verdict::Safe && safe_after.is_none() {
                safe_after = Some(second);
            }
        }
        assert!(
            safe_after.is_some_and(|second| second <= 40),
            "seed {seed}: {safe_after:?}"
        );
        let assessment = world.engine.assess(1.0, 1, true);
        assert!(assessment.required_safe, "seed {seed}: {assessment:#?}");
        assert!(assessment.required_safe_fully);
    }
}

#[test]
fn a_small_share_is_enough_for_a_wide_tolerance() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, STABLE, 0.1, 0.01);
        (0..40).for_each(|_| world.second());
        let assessment = world.engine.assess(5.0, 1, true);
        assert!(assessment.required_safe, "seed {seed}: {assessment:#?}");
    }
}

#[test]
fn four_times_the_errors_are_harmful() {
    let bad = Behaviour {
        errors: 0.02,
        ..STABLE
    };
    for seed in 0..SEEDS {
        let mut world = World::new(seed, bad, 0.1, 0.0025);
        let (second, blamed) = world.until_harmful(240).expect("harmful");
        println!("errors: seed {seed} after {second} s");
        assert_eq!(blamed, [0], "seed {seed}, second {second}");
        assert_ne!(
            world.engine.assess(10.0, 1, true).guardrails[0].verdict,
            Verdict::Safe
        );
    }
}

#[test]
fn a_dead_canary_is_harmful_within_five_seconds() {
    let dead = Behaviour {
        errors: 1.0,
        ..STABLE
    };
    for seed in 0..SEEDS {
        let mut world = World::new(seed, STABLE, 0.1, 0.0025);
        (0..60).for_each(|_| world.second());
        world.canary = dead;
        let (second, blamed) = world.until_harmful(5).expect("harmful");
        assert_eq!(blamed, [0], "seed {seed}, second {second}");
    }
}

#[test]
fn worse_labels_are_harmful_though_faster_and_without_errors() {
    let wrong = Behaviour {
        errors: 0.0,
        accuracy: 0.85,
        latency_bucket: 480,
    };
    for seed in 0..SEEDS {
        let mut world = World::new(seed, wrong, 0.1, 0.01);
        let (_, blamed) = world.until_harmful(120).expect("harmful");
        assert_eq!(blamed, [3], "seed {seed}");
    }
}

#[test]
fn a_slower_canary_is_harmful() {
    let slow = Behaviour {
        latency_bucket: 545,
        ..STABLE
    };
    for seed in 0..SEEDS {
        let mut world = World::new(seed, slow, 0.1, 0.01);
        let (_, blamed) = world.until_harmful(120).expect("harmful");
        assert_eq!(blamed, [1], "seed {seed}");
    }
}

#[test]
fn what_is_said_to_be_missing_is_about_right() {
    let mut ratios = Vec::new();
    for seed in 0..SEEDS {
        let mut world = World::new(seed, STABLE, 0.1, 0.01);
        (0..5).for_each(|_| world.second());
        let accuracy = world.engine.assess(1.0, 1, true).guardrails[3].clone();
        assert_eq!(accuracy.verdict, Verdict::NeedMore, "seed {seed}");
        // By chance a canary may look too bad for an estimate at first.
        let Some(missing) = accuracy.missing else {
            continue;
        };
        let needed = (1..2000).find(|_| {
            world.second();
            world.engine.assess(1.0, 1, true).guardrails[3].verdict == Verdict::Safe
        });
        let expected = missing.seconds.expect("time was measured");
        ratios.push(f64::from(needed.expect("safe in the end")) / expected);
    }
    assert!(ratios.len() as u64 > SEEDS * 8 / 10, "{ratios:?}");
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("needed over expected: {ratios:?}");
    assert!((0.4..2.5).contains(&median), "{ratios:?}");
}

/// The worst case for both kinds of error: the canary is exactly at the margin, stable's rate
/// drifts and has an incident, and everyone looks after every slice.
#[test]
fn at_the_margin_both_error_rates_hold() {
    const RUNS: u64 = 300;
    let (margin, share, threshold) = (0.01, 0.3, (1.0f64 / 0.05).ln());
    let (mut rolled_back, mut promoted) = (0, 0);
    for seed in 0..RUNS {
        let mut random = Random(seed + 1000);
        let mut monitor =
            CountMonitor::new(Worse::Higher, margin, vec![1.0], Counts { x: 100, n: 2000 });
        let (mut rollback, mut promote) = (false, false);
        for slice in 0..300u32 {
            let incident = if (100..130).contains(&slice) {
                0.2
            } else {
                0.0
            };
            let stable = 0.03 + 0.02 * (f64::from(slice) / 60.0).sin() + incident;
            let mut pair = Pair::default();
            for _ in 0..100 {
                let is_canary = random.hits(share);
                let failed = random.hits(if is_canary { stable + margin } else { stable });
                let counts = if is_canary {
                    &mut pair.canary
                } else {
                    &mut pair.stable
                };
                counts.n += 1;
                counts.x += u64::from(failed);
            }
            monitor.fold(pair);
            rollback |= monitor.process().log_e_rollback() >= threshold;
            promote |= monitor.process().log_e_promote(0) >= threshold;
        }
        rolled_back += u64::from(rollback);
        promoted += u64::from(promote);
    }
    println!("{rolled_back} rolled back, {promoted} promoted of {RUNS}");
    // Both are at most 5 % on average; three standard deviations of chance on top.
    let most = 26;
    assert!(
        rolled_back <= most && promoted <= most,
        "{rolled_back} {promoted}"
    );
}
