use super::*;

fn calm(seconds: usize) -> Vec<Counts> {
    // About one error a second, evenly spread.
    (0..seconds)
        .map(|second| Counts {
            x: 1 + (second as u64 * 7 % 3) / 2,
            n: 300,
        })
        .collect()
}

/// Stable alternates between two levels every 16 seconds.
fn wandering(second: usize) -> u64 {
    if (second / 16).is_multiple_of(2) {
        1
    } else {
        6
    }
}

fn wandering_history() -> Vec<Counts> {
    (0..600)
        .map(|second| Counts {
            x: wandering(second),
            n: 300,
        })
        .collect()
}

#[test]
fn noise_grows_with_the_traffic_of_the_smaller_arm() {
    let law = NoiseLaw::new(&wandering_history());
    let at = |canary, stable| law.inflation(Pair::new(0, canary, 0, stable), 1.0);
    assert!(at(6, 294) < at(30, 270) && at(30, 270) < at(150, 150));
    assert!(at(150, 150) > 3.0, "{}", at(150, 150));
    assert_eq!(at(150, 0), 1.0);
    let twice_as_long = law.inflation(Pair::new(0, 300, 0, 300), 2.0);
    assert!((twice_as_long - at(150, 150)).abs() < 1e-9);
}

#[test]
fn calm_traffic_costs_nothing() {
    let law = NoiseLaw::new(&calm(600));
    assert_eq!(law.inflation(Pair::new(0, 150, 0, 150), 1.0), 1.0);
}

#[test]
fn outcomes_of_the_slice_do_not_matter() {
    let law = NoiseLaw::new(&wandering_history());
    let at = |x| law.inflation(Pair::new(x, 30, 3 * x, 270), 1.0);
    assert_eq!(at(0), at(30));
}

/// Shared noise is refuted by a contrast that stays at rest.
#[test]
fn shared_noise_costs_nothing_in_the_end() {
    let mut law = NoiseLaw::new(&wandering_history());
    let sizes = Pair::new(0, 150, 0, 150);
    assert!(law.inflation(sizes, 1.0) > 3.0);
    for second in 0..600 {
        let errors = wandering(second).div_ceil(2);
        law.fold(Pair::new(errors, 150, errors, 150), 1.0);
    }
    assert!(
        law.inflation(sizes, 1.0) < 1.5,
        "{}",
        law.inflation(sizes, 1.0)
    );
}

/// The law is stable's: a canary that fails alone does not excuse itself.
#[test]
fn the_canary_does_not_teach_noise() {
    let mut law = NoiseLaw::new(&calm(600));
    for second in 0..200u64 {
        let broken = if (second / 16).is_multiple_of(2) {
            0
        } else {
            150
        };
        law.fold(Pair::new(broken, 150, u64::from(second % 3 > 0), 150), 1.0);
    }
    assert_eq!(law.inflation(Pair::new(0, 150, 0, 150), 1.0), 1.0);
}

#[test]
fn any_counts_and_durations_are_taken() {
    let mut law = NoiseLaw::new(&[Counts::default(); 50]);
    for seconds in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, 1e300, 0.3] {
        for pair in [
            Pair::default(),
            Pair::new(0, 10, 0, 0),
            Pair::new(10, 10, 10, 10),
            Pair::new(1 << 31, 1 << 31, 0, 1 << 31),
        ] {
            (0..9).for_each(|_| law.fold(pair, seconds));
            assert!(law.inflation(pair, seconds) >= 1.0);
        }
    }
}
