//! From labels as they arrive, over cells and sealing, to the check that both variants get as many.

use serinus_core::ledger::labels::Labels;
use serinus_evidence::{
    Action, Assigned, Engine, Guardrail, LabelRateAssessment, LabelSlice, Metric, Pair, Settings,
    Verdict,
};
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;

const CANARY: u64 = 30;
const STABLE: u64 = 270;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    fn hits(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

/// How often a prediction is right, how often a right and a wrong one get a label, and how long labels take at most.
#[derive(Clone, Copy)]
struct Variant {
    right: f64,
    labelled_right: f64,
    labelled_wrong: f64,
    delay_ms: f64,
}

const USUAL: Variant = Variant {
    right: 0.92,
    labelled_right: 1.0,
    labelled_wrong: 1.0,
    delay_ms: 4000.0,
};

fn engine(margin: f64) -> Engine {
    let guardrail = Guardrail {
        metric: Metric::Labelled {
            name: "accuracy".to_owned(),
            higher_is_better: true,
            margin,
        },
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    };
    Engine::new(Settings::new(vec![guardrail])).expect("valid settings")
}

fn label_slice(slice: &stored::LabelSlice) -> LabelSlice {
    let right = |ppm: u64| ppm / 1_000_000;
    let assigned = slice.canary_assigned.zip(slice.stable_assigned);
    LabelSlice {
        epoch: slice.epoch,
        seconds: slice.seconds,
        pair: Pair::new(
            right(slice.canary_sum_ppm),
            slice.canary_labels,
            right(slice.stable_sum_ppm),
            slice.stable_labels,
        ),
        assigned: assigned.map(|(canary, stable)| Assigned { canary, stable }),
    }
}

/// Labels on their way: by the time at which they come, the second of their prediction, the variant and the truth.
type OnTheWay = BTreeMap<u64, Vec<(u64, bool, bool)>>;

fn predict(random: &mut Random, coming: &mut OnTheWay, second: u64, canary: bool, of: Variant) {
    for _ in 0..if canary { CANARY } else { STABLE } {
        let right = random.hits(of.right);
        let labelled = if right {
            of.labelled_right
        } else {
            of.labelled_wrong
        };
        if random.hits(labelled) {
            let at = second * 1000 + (1000.0 * random.unit() + of.delay_ms * random.unit()) as u64;
            coming.entry(at).or_default().push((second, canary, right));
        }
    }
}

/// What the engine says of a canary after some seconds, and whether the check ever held it up.
fn run(seed: u64, canary: Variant, stable: Variant) -> (Engine, LabelRateAssessment, bool) {
    let world = World {
        seconds: 70,
        window_ms: 5000,
        margin: 0.01,
    };
    run_in(world, seed, canary, stable)
}

/// How long, how long labels are waited for, and what is tolerated.
#[derive(Clone, Copy)]
struct World {
    seconds: u64,
    window_ms: u64,
    margin: f64,
}

fn run_in(
    world: World,
    seed: u64,
    canary: Variant,
    stable: Variant,
) -> (Engine, LabelRateAssessment, bool) {
    let (mut random, mut engine) = (Random(seed), engine(world.margin));
    let mut labels = Labels::new(0, world.window_ms);
    labels.begin(1, 1_000_000);
    let mut coming = OnTheWay::new();
    let mut blocked = false;
    for second in 1000..1000 + world.seconds {
        predict(&mut random, &mut coming, second, true, canary);
        predict(&mut random, &mut coming, second, false, stable);
        let now_ms = (second + 1) * 1000;
        labels.assigned(1, second, now_ms, CANARY, STABLE);
        let later = coming.split_off(&now_ms);
        for (at, arrived) in std::mem::replace(&mut coming, later) {
            for (second, of_canary, right) in arrived {
                labels.label(1, second, at, of_canary, if right { 1_000_000 } else { 0 });
            }
        }
        for slice in labels.seal(second + 1, now_ms) {
            engine.fold_labels(0, &label_slice(&slice));
            let shown = engine.assess(1.0, 1, false).guardrails.remove(0);
            blocked |= shown
                .labels
                .and_then(|labels| labels.rate)
                .is_some_and(|rate| rate.blocks);
        }
    }
    let shown = engine.assess(1.0, 1, false).guardrails.remove(0);
    let rate = shown
        .labels
        .expect("it has labels")
        .rate
        .expect("assigned requests are known");
    (engine, rate, blocked)
}

fn held_up(canary: Variant, stable: Variant) -> usize {
    (0..6).filter(|seed| run(*seed, canary, stable).2).count()
}

/// Early and late labels, few and all, cells that are sealed early and cells that wait for the window.
#[test]
fn equally_labelled_variants_are_not_held_up() {
    for delay_ms in [0.0, 4000.0, 7000.0] {
        for labelled in [1.0, 0.96, 0.6] {
            let of = Variant {
                labelled_right: labelled,
                labelled_wrong: labelled,
                delay_ms,
                ..USUAL
            };
            let held = held_up(of, of);
            assert!(held <= 1, "{delay_ms} {labelled}: {held} of 6");
        }
    }
}

/// Labels trickle in, so a cell is sealed as soon as 95 % are there: of the few of the canary that is nearly all.
#[test]
fn sealing_early_holds_nobody_up() {
    let slow = Variant {
        delay_ms: 50_000.0,
        ..USUAL
    };
    let world = World {
        seconds: 200,
        window_ms: 60_000,
        margin: 0.002,
    };
    let held = (0..6).filter(|seed| {
        let (_, rate, blocked) = run_in(world, *seed, slow, slow);
        assert!(
            rate.canary > rate.stable + 0.005,
            "the case is not what it should be: {rate:?}"
        );
        blocked
    });
    assert!(held.count() <= 1);
}

/// A canary that answers a little sooner gets its labels sooner, not more of them.
#[test]
fn sooner_is_not_more() {
    let sooner = Variant {
        delay_ms: 2000.0,
        ..USUAL
    };
    assert!(held_up(sooner, USUAL) <= 1 && held_up(USUAL, sooner) <= 1);
}

/// Its wrong predictions get no label: what is left is all right, and must not win.
#[test]
fn a_silent_canary_is_held_up() {
    let silent = Variant {
        right: 0.85,
        labelled_wrong: 0.0,
        ..USUAL
    };
    for seed in 0..4 {
        let (engine, rate, _) = run(seed, silent, USUAL);
        assert!(rate.differs, "seed {seed}: {rate:?}");
        let assessment = engine.assess(1.0, 1, false);
        assert_eq!(assessment.guardrails[0].verdict, Verdict::NeedMore);
        assert!(!assessment.required_safe);
    }
}
