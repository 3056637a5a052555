use super::*;
use crate::logs::{exp, sqrt};
use crate::random::Random;
use proptest::prelude::*;

/// One user: cluster, place in the order of exposure, and how much more often (odds) requests fail.
struct User {
    cluster: usize,
    place: f64,
    odds: f64,
}

struct World {
    random: Random,
    users: Vec<User>,
}

impl World {
    fn new(seed: u64, users: usize, log_sd: f64) -> Self {
        let mut random = Random(seed);
        let users = (0..users)
            .map(|_| User {
                cluster: (random.unit() * CLUSTERS as f64) as usize,
                place: random.unit(),
                odds: exp(log_sd * random.normal()),
            })
            .collect();
        Self { random, users }
    }

    /// The totals of an epoch with `each` requests per user; error rates of canary and stable.
    fn epoch(&mut self, epoch: u64, share: f64, each: usize, rates: (f64, f64)) -> ClusterSlice {
        let mut totals = ClusterTotals::default();
        for user in &self.users {
            let (arm, rate) = if user.place < share {
                (&mut totals.canary[user.cluster], rates.0)
            } else {
                (&mut totals.stable[user.cluster], rates.1)
            };
            let odds = user.odds * rate / (1.0 - rate);
            for _ in 0..each {
                arm.n += 1;
                arm.x += u64::from(self.random.hits(odds / (1.0 + odds)));
            }
        }
        ClusterSlice {
            epoch,
            share: Some(share),
            totals,
        }
    }
}

fn folded(slices: &[ClusterSlice]) -> Clusters {
    let mut clusters = Clusters::default();
    slices
        .iter()
        .for_each(|slice| assert!(clusters.fold(slice)));
    clusters
}

#[test]
fn independent_requests_show_no_variance_between_users() {
    let above = |each: usize, rate: f64| {
        let phi = |seed| {
            let mut world = World::new(seed, 640, 0.0);
            folded(&[world.epoch(1, 0.5, each, (rate, rate))]).phi()
        };
        (0..200).filter(|seed| phi(*seed) > 1.0).count()
    };
    // 1.5 standard errors, of two variants: about one in eight; also where errors are rare.
    for (each, rate) in [(20, 0.3), (20, 0.05), (5, 0.01), (1, 0.002)] {
        let found = above(each, rate);
        assert!(found <= 45, "{each} {rate}: {found} of 200");
    }
}

#[test]
fn a_constant_effect_of_the_canary_is_not_variance_between_users() {
    let mean = |rates: (f64, f64)| {
        let phi = |seed| {
            let mut world = World::new(seed, 1280, 0.0);
            let parts = [
                world.epoch(1, 0.1, 20, rates),
                world.epoch(2, 0.5, 20, rates),
            ];
            folded(&parts).phi()
        };
        (0..40).map(phi).sum::<f64>() / 40.0
    };
    let (healthy, bad) = (mean((0.01, 0.01)), mean((0.3, 0.01)));
    assert!(healthy < 1.15 && bad < 1.15, "{healthy} {bad}");
}

/// Between epochs the rate of both variants drifts: that is time, not users.
#[test]
fn drift_between_epochs_is_not_variance_between_users() {
    let phi = |seed| {
        let mut world = World::new(seed, 1280, 0.0);
        let rates = [0.01, 0.1, 0.02, 0.2, 0.05];
        let slices: Vec<_> = (1..)
            .zip(rates)
            .map(|(epoch, rate)| world.epoch(epoch, 0.1 * epoch as f64, 10, (rate, rate)))
            .collect();
        folded(&slices).phi()
    };
    let mean = (0..20).map(phi).sum::<f64>() / 20.0;
    assert!(mean < 1.15, "{mean}");
}

#[test]
fn users_that_keep_failing_are_found() {
    for seed in 0..20 {
        let mut world = World::new(seed, 640, 1.5);
        let phi = folded(&[world.epoch(1, 0.5, 200, (0.02, 0.02))]).phi();
        assert!(phi > 2.0, "seed {seed}: {phi}");
    }
}

/// What a user does in every epoch adds up, although one epoch alone hardly shows it.
#[test]
fn persistent_users_are_seen_across_epochs() {
    let (mut alone, mut together) = (0, 0);
    for seed in 0..40 {
        let mut world = World::new(seed, 640, 1.0);
        let slices: Vec<_> = (1..=20)
            .map(|epoch| world.epoch(epoch, 0.5, 2, (0.05, 0.05)))
            .collect();
        alone += u32::from(folded(&slices[..1]).phi() > 1.0);
        together += u32::from(folded(&slices).phi() > 1.5);
    }
    assert!(alone <= 15 && together >= 36, "{alone} {together}");
}

/// Twice the variance in truth is twice the variance measured.
#[test]
fn the_size_of_the_inflation_is_about_right() {
    // Every user sends pairs of equal outcomes: the variance of any sum is exactly twice that of single ones.
    let phi = |seed| {
        let mut random = Random(seed);
        let mut slice = ClusterSlice::default();
        for counts in slice
            .totals
            .canary
            .iter_mut()
            .chain(&mut slice.totals.stable)
        {
            counts.n = 400;
            counts.x = (0..200).map(|_| 2 * u64::from(random.hits(0.1))).sum();
        }
        folded(&[slice]).phi()
    };
    let mean = (0..40).map(phi).sum::<f64>() / 40.0;
    // The larger of two variants is above the mean of either.
    assert!((1.9..2.7).contains(&mean), "{mean}");
}

#[test]
fn too_few_clusters_say_nothing() {
    let mut slice = ClusterSlice::default();
    for h in 0..7 {
        slice.totals.canary[h] = Counts {
            x: 50 * (h as u64 % 2),
            n: 50,
        };
    }
    assert_eq!(folded(&[slice]).phi(), 1.0);
}

#[test]
fn the_asked_share_is_no_alarm_and_another_one_is() {
    for seed in 0..40 {
        let mut world = World::new(seed, 6400, 0.0);
        let right = world.epoch(1, 0.1, 5, (0.01, 0.01));
        let t = folded(std::slice::from_ref(&right)).t().unwrap();
        assert!(t.abs() < 5.0, "seed {seed}: {t}");
        let wrong = ClusterSlice {
            share: Some(0.2),
            ..right
        };
        let t = folded(&[wrong]).t().unwrap();
        assert!(t < -5.0, "seed {seed}: {t}");
    }
}

/// With few users it is likely that the canary has none yet: every cluster has the same deficit, and the variance
/// between clusters alone would call it an alarm.
#[test]
fn a_canary_that_has_no_user_yet_is_no_alarm() {
    for seed in 0..40 {
        let mut world = World::new(seed, 50, 0.0);
        world.users.iter_mut().for_each(|user| user.place = 0.5);
        let t = folded(&[world.epoch(1, 0.02, 100, (0.01, 0.01))])
            .t()
            .unwrap();
        assert!((-5.0..0.0).contains(&t), "seed {seed}: {t}");
    }
}

/// At half of a thousand users over several epochs the statistic is close to a standard normal one.
#[test]
fn the_ratio_is_in_standard_errors() {
    let t = |seed| {
        let mut world = World::new(seed, 1000, 0.0);
        let parts = [
            world.epoch(1, 0.3, 3, (0.0, 0.0)),
            world.epoch(2, 0.5, 3, (0.0, 0.0)),
        ];
        folded(&parts).t().unwrap()
    };
    let (mut sum, mut squares) = (0.0, 0.0);
    for seed in 0..100 {
        let t = t(seed);
        sum += t;
        squares += t * t;
    }
    let (mean, spread) = (sum / 100.0, sqrt(squares / 100.0));
    assert!(mean.abs() < 0.3, "{mean}");
    assert!((0.6..1.15).contains(&spread), "{spread}");
}

#[test]
fn unknown_or_extreme_shares_say_nothing() {
    let mut world = World::new(1, 100, 0.0);
    let slice = world.epoch(1, 0.5, 3, (0.1, 0.1));
    for share in [
        None,
        Some(0.0),
        Some(1.0),
        Some(f64::NAN),
        Some(-1.0),
        Some(7.0),
    ] {
        let slice = ClusterSlice {
            share,
            ..slice.clone()
        };
        assert_eq!(folded(&[slice]).t(), None);
    }
}

#[test]
fn impossible_totals_are_refused() {
    let mut clusters = Clusters::default();
    for counts in [Counts { x: 2, n: 1 }, Counts { x: 0, n: u64::MAX }] {
        let mut slice = ClusterSlice::default();
        slice.totals.stable[63] = counts;
        assert!(!clusters.fold(&slice));
    }
    assert_eq!((clusters.phi(), clusters.t()), (1.0, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Totals are cumulative: only the last of an epoch counts, however often and in whatever turn epochs are reported.
    #[test]
    fn only_the_last_totals_of_an_epoch_count(seed in any::<u64>(), epochs in 1u64..9) {
        let mut world = World::new(seed, 200, 0.5);
        let early: Vec<_> = (1..=epochs).map(|e| world.epoch(e, 0.5, 1, (0.1, 0.1))).collect();
        let last: Vec<_> = (1..=epochs).map(|e| world.epoch(e, 0.5, 3, (0.1, 0.1))).collect();
        let mut often = Clusters::default();
        for (index, (first, then)) in early.iter().zip(&last).enumerate() {
            often.fold(first);
            // The last totals of the epoch before come after the first of this one.
            if index > 0 {
                often.fold(&last[index - 1]);
            }
            often.fold(then);
        }
        let once = folded(&last);
        prop_assert_eq!(often.phi().to_bits(), once.phi().to_bits());
        prop_assert_eq!(often.t().map(f64::to_bits), once.t().map(f64::to_bits));
    }
}
