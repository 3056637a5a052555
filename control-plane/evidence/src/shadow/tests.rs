use super::*;
use crate::logs::exp;
use crate::random::Random;

fn slice(x: u64, n: u64) -> ShadowSlice {
    ShadowSlice {
        epoch: 1,
        seconds: 1.0,
        pairs: Counts { x, n },
    }
}

fn agreement(seed: u64, rate: f64, seconds: usize) -> Agreement {
    let mut random = Random(seed);
    let mut monitor = Agreement::new(0.05);
    for _ in 0..seconds {
        monitor.fold(&slice(random.count(60, rate), 60));
    }
    monitor
}

#[test]
fn below_the_limit_is_safe_and_beyond_it_harmful() {
    for seed in 0..10 {
        let within = agreement(seed, 0.02, 60);
        assert!(within.log_e_promote() > 3.0 && within.log_e_rollback() < 1.0);
        let beyond = agreement(seed, 0.12, 60);
        assert!(beyond.log_e_rollback() > 5.0 && beyond.log_e_promote() < 0.0);
    }
}

#[test]
fn at_the_limit_neither_is_proven() {
    let (mut worse, mut better) = (0, 0);
    for seed in 0..60 {
        let at = agreement(seed, 0.05, 150);
        worse += u32::from(at.log_e_rollback() > 3.0);
        better += u32::from(at.log_e_promote() > 3.0);
    }
    assert!(worse <= 6 && better <= 6, "{worse} {better}");
}

/// Disagreements that come in bursts are noise.
#[test]
fn bursts_are_noise() {
    let mut monitor = Agreement::new(0.05);
    for second in 0..200 {
        monitor.fold(&slice(if second % 10 < 2 { 15 } else { 0 }, 60));
    }
    assert!(monitor.phi() > 4.0 && monitor.log_e_rollback() < 3.0);
}

#[test]
fn discordant_pairs_tell_which_variant_is_wrong() {
    let run = |canary: u64, stable: u64| {
        let mut pairs = Discordance::default();
        (0..40).for_each(|_| pairs.fold(canary, stable));
        pairs
    };
    assert!(run(3, 1).log_e_rollback() > 5.0);
    assert!(run(2, 2).log_e_rollback() < 0.5);
    assert!(run(1, 3).log_e_rollback() < 0.0);
    assert_eq!(run(3, 1).total(), Counts { x: 120, n: 160 });
    let mut none = run(0, 0);
    none.fold(u64::MAX, u64::MAX);
    assert!(none.log_e_rollback().abs() < 1e-12 && none.total().n == 0);
}

/// All courses of up to twelve discordant pairs in slices of three: the mean evidence is at most 1 if the canary is
/// wrong at most half of the time.
#[test]
fn mcnemar_has_mean_one_by_enumeration() {
    fn mean(pairs: &Discordance, slices: usize, rate: f64) -> f64 {
        if slices == 0 {
            return exp(pairs.log_e_rollback());
        }
        let chances = [1.0, 3.0, 3.0, 1.0];
        (0..=3u64)
            .map(|wrong| {
                let mut next = pairs.clone();
                next.fold(wrong, 3 - wrong);
                let right = 1.0 - rate;
                let power = |p: f64, times| (0..times).fold(1.0, |product, _| product * p);
                chances[wrong as usize]
                    * power(rate, wrong)
                    * power(right, 3 - wrong)
                    * mean(&next, slices - 1, rate)
            })
            .sum()
    }
    for rate in [0.0, 0.3, 0.5] {
        let mean = mean(&Discordance::default(), 4, rate);
        assert!(mean <= 1.0 + 1e-9, "{rate}: {mean}");
    }
}
