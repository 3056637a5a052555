use super::*;
use crate::logs::ln;
use crate::random::Random;

fn scores(random: &mut Random, n: u64, mean: f64, sd: f64) -> Moments {
    (0..n).fold(Moments::default(), |sum, _| {
        let value = mean + sd * random.normal();
        sum.plus(Moments {
            n: 1.0,
            sum: value,
            sum_of_squares: value * value,
        })
    })
}

fn slice(epoch: u64, canary: Moments, stable: Moments) -> MeanSlice {
    MeanSlice {
        epoch,
        seconds: 1.0,
        canary,
        stable,
    }
}

/// Seconds with 40 canary and 160 stable scores around 10 with a deviation of 2; a higher mean is better, the margin
/// is 0.5.
fn run(seed: u64, canary: f64, seconds: usize) -> MeanMonitor {
    let mut random = Random(seed);
    let mut monitor = MeanMonitor::new(true, 0.5, vec![1.0, 4.0]);
    for _ in 0..seconds {
        let of_canary = scores(&mut random, 40, canary, 2.0);
        let of_stable = scores(&mut random, 160, 10.0, 2.0);
        monitor.fold(&slice(1, of_canary, of_stable));
    }
    monitor
}

#[test]
fn an_equal_mean_is_safe_and_a_lower_one_harmful() {
    for seed in 0..10 {
        let equal = run(seed, 10.0, 60);
        assert!(equal.log_e_promote(0) > 3.0 && equal.log_e_rollback() < 1.0);
        assert!(equal.log_e_promote(1) > equal.log_e_promote(0));
        let worse = run(seed, 8.8, 60);
        assert!(worse.log_e_rollback() > 5.0 && worse.log_e_promote(0) < 0.0);
        let better = run(seed, 12.0, 60);
        assert!(better.log_e_promote(0) > 3.0 && better.log_e_rollback() < 1.0);
    }
}

#[test]
fn the_interval_holds_the_difference_and_the_means_are_its_ends() {
    let monitor = run(3, 9.5, 80);
    let (low, high) = monitor.interval(0.05).unwrap();
    let estimate = monitor.estimate().unwrap();
    assert!(
        low < -0.5 && -0.5 < high && high - low < 0.6,
        "{low} {high}"
    );
    let (canary, stable) = monitor.means().unwrap();
    assert!((canary - stable - estimate).abs() < 1e-9);
    assert!((stable - 10.0).abs() < 0.2, "{stable}");
}

/// The same scores in another unit are the same evidence.
#[test]
fn the_unit_of_the_score_does_not_matter() {
    let in_unit = |unit: f64| {
        let mut random = Random(5);
        let mut monitor = MeanMonitor::new(true, 0.5 * unit, vec![1.0]);
        for _ in 0..60 {
            let of_canary = scores(&mut random, 40, 9.9 * unit, 2.0 * unit);
            let of_stable = scores(&mut random, 160, 10.0 * unit, 2.0 * unit);
            monitor.fold(&slice(1, of_canary, of_stable));
        }
        let (low, _) = monitor.interval(0.05).unwrap();
        (
            monitor.log_e_promote(0),
            monitor.log_e_rollback(),
            low / unit,
        )
    };
    let (a, b) = (in_unit(1.0), in_unit(1e6));
    for (a, b) in [(a.0, b.0), (a.1, b.1), (a.2, b.2)] {
        assert!((a - b).abs() < 1e-6 * a.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn small_slices_of_an_epoch_are_joined() {
    let mut random = Random(1);
    let parts: Vec<_> = (0..7).map(|_| scores(&mut random, 5, 10.0, 2.0)).collect();
    let stable = scores(&mut random, 20, 10.0, 2.0);
    let mut joined = MeanMonitor::new(true, 0.5, vec![1.0]);
    for (index, part) in parts.iter().enumerate() {
        assert!(!joined.is_compared(), "{index}");
        joined.fold(&slice(1, *part, stable));
        if index == 5 {
            break;
        }
    }
    assert!(joined.is_compared());
    let six = parts[..6]
        .iter()
        .fold(Moments::default(), |sum, part| sum.plus(*part));
    let six_stable = (0..6).fold(Moments::default(), |sum, _| sum.plus(stable));
    let mut whole = MeanMonitor::new(true, 0.5, vec![1.0]);
    whole.fold(&slice(1, six, six_stable));
    assert_eq!(
        joined.log_e_promote(0).to_bits(),
        whole.log_e_promote(0).to_bits()
    );
    // The next epoch starts anew, and what is left of the old one comes too late.
    joined.fold(&slice(1, parts[6], stable));
    joined.fold(&slice(2, parts[0], stable));
    joined.fold(&slice(1, six, six_stable));
    assert_eq!(
        joined.log_e_promote(0).to_bits(),
        whole.log_e_promote(0).to_bits()
    );
}

/// A canary whose mean wanders from second to second is noise, whatever the size of the scores.
#[test]
fn wandering_means_are_noise() {
    let mut random = Random(2);
    let mut monitor = MeanMonitor::new(true, 0.5, vec![1.0]);
    for _ in 0..120 {
        let level = 10.0 + 1.5 * random.normal();
        let canary = scores(&mut random, 40, level, 2.0);
        let stable = scores(&mut random, 160, 10.0, 2.0);
        monitor.fold(&slice(1, canary, stable));
    }
    assert!(monitor.phi() > 4.0, "{}", monitor.phi());
    assert!(monitor.log_e_rollback() < ln(20.0));
}

#[test]
fn constant_scores_are_judged() {
    let constant = |n: f64, value: f64| Moments {
        n,
        sum: n * value,
        sum_of_squares: n * value * value,
    };
    let mut equal = MeanMonitor::new(true, 0.5, vec![1.0]);
    let mut worse = MeanMonitor::new(true, 0.5, vec![1.0]);
    for _ in 0..30 {
        equal.fold(&slice(1, constant(40.0, 3.0), constant(160.0, 3.0)));
        worse.fold(&slice(1, constant(40.0, 2.0), constant(160.0, 3.0)));
    }
    assert!(equal.log_e_promote(0) > 3.0 && equal.log_e_rollback() < 1.0);
    assert!(worse.log_e_rollback() > 3.0 && worse.log_e_promote(0) < 0.0);
    assert_eq!((equal.phi(), worse.phi()), (1.0, 1.0));
}

#[test]
fn impossible_moments_are_not_plausible() {
    let moments = |n, sum, sum_of_squares| Moments {
        n,
        sum,
        sum_of_squares,
    };
    assert!(moments(0.0, 0.0, 0.0).is_plausible());
    assert!(moments(3.0, 3.0, 3.0).is_plausible());
    for wrong in [
        moments(3.0, 9.0, 3.0),
        moments(0.0, 1.0, 1.0),
        moments(-1.0, 0.0, 0.0),
        moments(2.5, 1.0, 1.0),
        moments(f64::NAN, 1.0, 1.0),
        moments(2.0, f64::NAN, 1.0),
        moments(2.0, 1.0, f64::NAN),
        moments(2.0, 1.0, f64::INFINITY),
        moments(2.0, 1e13, 1e26),
        moments(5e9, 1.0, 1.0),
    ] {
        assert!(!wrong.is_plausible(), "{wrong:?}");
    }
}
