use super::*;
use crate::counts::{Assigned, Pair};
use crate::random::Random;

fn monitor() -> LabelMonitor {
    LabelMonitor::new(Worse::Lower, 0.02, vec![1.0], 0.05)
}

fn labels(random: &mut Random, canary: f64, stable: f64) -> LabelSlice {
    LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(random.count(40, canary), 40, random.count(160, stable), 160),
        assigned: None,
    }
}

/// The wrong predictions of the canary get no label: what is left looks perfect.
#[test]
fn a_silent_canary_does_not_win() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut silent = monitor();
        for _ in 0..100 {
            let right = random.count(40, 0.85);
            silent.fold(&LabelSlice {
                epoch: 1,
                seconds: 1.0,
                pair: Pair::new(right, right, random.count(160, 0.92), 160),
                assigned: Some(Assigned {
                    canary: 40,
                    stable: 160,
                }),
            });
        }
        assert!(silent.rate().process().log_e_promote(0) > 3.0);
        assert!(silent.blocks(), "seed {seed}");
        assert!(silent.read().rate.unwrap().differs);
    }
}

#[test]
fn late_labels_reopen_only_what_they_prove_worse() {
    let run = |canary: f64| {
        let mut random = Random(7);
        let mut late = monitor();
        for _ in 0..150 {
            let slice = labels(&mut random, canary, 0.92);
            late.fold_late(&slice);
        }
        late
    };
    let worse = run(0.8).read().late.unwrap();
    assert!(worse.reopened && worse.log_e_rollback >= worse.log_threshold);
    assert_eq!((worse.n_canary, worse.n_stable), (6000, 24_000));
    assert!(!run(0.92).read().late.unwrap().reopened);
    assert!(!run(0.99).read().late.unwrap().reopened);
}

/// Late labels leave the evidence of the running gate as it was, to the bit.
#[test]
fn late_labels_never_enter_the_running_gate() {
    let mut random = Random(3);
    let (mut with, mut without) = (monitor(), monitor());
    for _ in 0..60 {
        let slice = labels(&mut random, 0.92, 0.92);
        with.fold(&slice);
        without.fold(&slice);
        with.fold_late(&labels(&mut random, 0.5, 0.92));
    }
    assert!(with.read().late.unwrap().reopened);
    let (a, b) = (with.rate().process(), without.rate().process());
    assert_eq!(a.log_e_rollback().to_bits(), b.log_e_rollback().to_bits());
    assert_eq!(a.log_e_promote(0).to_bits(), b.log_e_promote(0).to_bits());
}

#[test]
fn without_late_labels_there_is_nothing_to_say() {
    assert_eq!(monitor().read(), LabelAssessment::default());
}
