use super::*;
use crate::random::Random;

fn scores(random: &mut Random, n: u64, centre: f64, width: f64) -> Vec<(u16, u64)> {
    (0..n)
        .map(|_| ((centre + width * random.normal()).max(0.0) as u16, 1))
        .collect()
}

fn run(seed: u64, centre: f64, width: f64, seconds: usize) -> ScoreDrift {
    let mut random = Random(seed);
    let mut drift = ScoreDrift::default();
    for _ in 0..seconds {
        let canary = scores(&mut random, 40, centre, width);
        let stable = scores(&mut random, 160, 500.0, 60.0);
        drift.fold(&ScoreSlice { canary, stable });
    }
    drift
}

#[test]
fn the_same_shape_is_no_change() {
    let changed = (0..30).filter(|seed| run(*seed, 500.0, 60.0, 60).read(0.05, false).changed);
    assert!(changed.count() <= 1);
    let read = run(1, 500.0, 60.0, 100).read(0.05, false);
    assert!(read.stability_index.unwrap() < 0.02, "{read:?}");
    assert_eq!((read.n_canary, read.n_stable), (4000, 16_000));
}

#[test]
fn a_shift_either_way_and_a_change_of_width_are_found() {
    for (centre, width) in [(460.0, 60.0), (540.0, 60.0), (500.0, 120.0), (500.0, 25.0)] {
        for seed in 0..5 {
            let read = run(seed, centre, width, 60).read(0.05, true);
            assert!(read.changed && read.blocks, "{centre} {width}: {read:?}");
            assert!(
                read.stability_index.unwrap() > 0.1,
                "{centre} {width}: {read:?}"
            );
        }
    }
}

/// The index of two known distributions: stable has a tenth in each cell, the canary two tenths in half of them.
#[test]
fn the_index_is_the_textbook_one() {
    let mut drift = ScoreDrift::default();
    let even: Vec<_> = (0..10).map(|cell| (100 + cell, 100)).collect();
    let upper: Vec<_> = (5..10).map(|cell| (100 + cell, 200)).collect();
    for _ in 0..200 {
        drift.fold(&ScoreSlice {
            canary: upper.clone(),
            stable: even.clone(),
        });
    }
    // Cells without canary scores hold half a score instead of none.
    let n = 199.0 * 500.0;
    let (c0, c2, s) = (0.5 / (n + 5.0), (0.2 * n + 0.5) / (n + 5.0), 0.1);
    let expected = 5.0 * ((c0 - s) * ln(c0 / s) + (c2 - s) * ln(c2 / s));
    let index = drift.stability_index().unwrap();
    assert!(
        (index - expected).abs() < 0.01 * expected,
        "{index} {expected}"
    );
}

#[test]
fn a_changing_split_or_a_shared_drift_is_no_change() {
    let mut random = Random(9);
    let mut drift = ScoreDrift::default();
    for second in 0..150u64 {
        let share = if second < 75 { 10 } else { 100 };
        let centre = 400.0 + second as f64;
        let canary = scores(&mut random, share, centre, 60.0);
        let stable = scores(&mut random, 200 - share, centre, 60.0);
        drift.fold(&ScoreSlice { canary, stable });
    }
    let read = drift.read(0.05, true);
    assert!(
        !read.changed && read.stability_index.unwrap() < 0.05,
        "{read:?}"
    );
}

#[test]
fn nothing_compared_is_nothing_said() {
    let mut drift = ScoreDrift::default();
    assert_eq!(drift.stability_index(), None);
    for _ in 0..50 {
        drift.fold(&ScoreSlice {
            canary: Vec::new(),
            stable: vec![(5, 100)],
        });
    }
    assert_eq!(drift.stability_index(), None);
    assert!(drift.log_e().abs() < 1e-9);
}

/// A classifier's two answers: all scores in two buckets.
#[test]
fn two_values_are_compared_too() {
    let run = |canary: u64| {
        let mut random = Random(4);
        let mut drift = ScoreDrift::default();
        for _ in 0..80 {
            let two = |ones: u64, n: u64| vec![(0, n - ones), (1, ones)];
            let canary = two(random.count(40, canary as f64 / 100.0), 40);
            let stable = two(random.count(160, 0.3), 160);
            drift.fold(&ScoreSlice { canary, stable });
        }
        drift.read(0.05, false)
    };
    assert!(run(45).changed && !run(30).changed);
}
