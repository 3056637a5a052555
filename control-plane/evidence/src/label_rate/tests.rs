use super::*;
use crate::counts::Assigned;
use crate::random::Random;

const ALPHA: f64 = 0.05;
const MARGIN: f64 = 0.02;

/// How often a prediction gets a label, per variant.
fn run(seed: u64, canary: f64, stable: f64, slices: usize) -> (LabelRate, bool, bool) {
    let mut random = Random(seed);
    let mut check = LabelRate::new(MARGIN);
    let (mut blocked, mut differed) = (false, false);
    for _ in 0..slices {
        let (a, b) = (random.count(40, canary), random.count(160, stable));
        check.fold(&slice((a, 40), (b, 160)));
        blocked |= check.blocks(ALPHA);
        differed |= check.read(ALPHA).is_some_and(|read| read.differs);
    }
    (check, blocked, differed)
}

fn slice(canary: (u64, u64), stable: (u64, u64)) -> LabelSlice {
    LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(0, canary.0, 0, stable.0),
        assigned: Some(Assigned {
            canary: canary.1,
            stable: stable.1,
        }),
    }
}

#[test]
fn equal_rates_hardly_ever_differ() {
    for rate in [0.1, 0.5, 0.97, 1.0] {
        let count = |pick: fn((LabelRate, bool, bool)) -> bool| {
            (0..30)
                .filter(|seed| pick(run(*seed, rate, rate, 150)))
                .count()
        };
        let (blocked, differed) = (count(|run| run.1), count(|run| run.2));
        assert!(
            blocked <= 5 && differed <= 2,
            "{rate}: {blocked} {differed}"
        );
    }
}

/// A difference that cannot move the rate by more than the margin is tolerated.
#[test]
fn a_tolerated_difference_is_tolerated() {
    let (check, _, differed) = run(1, 0.500 - 0.01, 0.5, 500);
    assert!(!differed && !check.blocks(ALPHA));
    let read = check.read(ALPHA).unwrap();
    assert!((read.tolerated - 0.01).abs() < 1e-3);
    let (low, high) = read.interval.unwrap();
    assert!(low < -0.01 && high > -0.01);
}

#[test]
fn a_canary_that_suppresses_labels_is_blocked_in_a_few_slices() {
    for seed in 0..20 {
        for (canary, stable) in [(0.85, 1.0), (0.4, 0.6), (0.3, 0.1)] {
            let (_, blocked, _) = run(seed, canary, stable, 40);
            assert!(blocked, "seed {seed}: {canary} {stable}");
        }
    }
}

/// Cells are sealed once 95 % of both variants' labels are in; a small canary then has all of them, stable 95 %.
#[test]
fn sealing_early_is_no_difference() {
    let mut check = LabelRate::new(0.005);
    for _ in 0..500 {
        check.fold(&slice((10, 10), (855, 900)));
    }
    assert!(!check.blocks(ALPHA), "{:?}", check.read(ALPHA));
    let mut check = LabelRate::new(0.005);
    for _ in 0..500 {
        check.fold(&slice((38, 40), (900, 900)));
    }
    assert!(!check.blocks(ALPHA), "{:?}", check.read(ALPHA));
}

#[test]
fn unknown_or_impossible_numbers_say_nothing() {
    let mut check = LabelRate::new(MARGIN);
    for _ in 0..100 {
        check.fold(&slice((41, 40), (1, 160)));
        check.fold(&slice((1, 40), (u64::MAX, u64::MAX)));
        check.fold(&LabelSlice {
            assigned: None,
            ..slice((1, 40), (160, 160))
        });
    }
    assert_eq!(check.read(ALPHA), None);
    assert!(!check.blocks(ALPHA));
}
