use super::*;
use crate::latency::{Grid, Latency};

fn behaviour(errors: f64) -> Behaviour {
    let latency = Latency {
        median_ms: 100.0,
        sigma: 0.5,
        tail_share: 0.0,
        tail_factor: 1.0,
    };
    Behaviour {
        errors,
        latency,
        labels: vec![0.9],
    }
}

fn calm() -> Spec {
    let labels = vec![Labels {
        delay_s: 3.0,
        fraction: 0.5,
    }];
    Spec::calm(
        400.0,
        behaviour(0.01),
        behaviour(0.03),
        labels,
        Grid::aligned(40.0, 800.0),
    )
}

/// Requests and errors of both variants over `slices` slices at a share of 0.25.
fn totals(spec: Spec, slices: u32) -> Pair {
    let mut world = World::new(spec, 1.0, 5);
    let mut total = Pair::default();
    for _ in 0..slices {
        let slice = world.step(0.25, 1, true);
        for (sum, arm) in [
            (&mut total.canary, &slice.canary),
            (&mut total.stable, &slice.stable),
        ] {
            sum.n += arm.requests;
            sum.x += arm.errors;
            let timed: u64 = arm.latency.iter().map(|(_, count)| count).sum();
            assert_eq!(timed, arm.requests);
        }
    }
    total
}

fn rate(counts: Counts) -> f64 {
    counts.x as f64 / counts.n as f64
}

#[test]
fn traffic_is_split_and_fails_as_told() {
    let total = totals(calm(), 2000);
    let share = total.canary.n as f64 / (total.canary.n + total.stable.n) as f64;
    assert!((share - 0.25).abs() < 0.005, "{share}");
    assert!((rate(total.canary) - 0.03).abs() < 0.001, "{total:?}");
    assert!((rate(total.stable) - 0.01).abs() < 0.001, "{total:?}");
}

#[test]
fn the_same_seed_makes_the_same_world() {
    assert_eq!(totals(calm(), 50), totals(calm(), 50));
}

/// Wandering rates, bursts and incidents keep their mean.
#[test]
fn disturbances_have_the_mean_they_should() {
    let noisy = Spec {
        noise_of_one: Noise {
            sd: 0.5,
            tau_s: 2.0,
        },
        ..calm()
    };
    assert!((rate(totals(noisy, 5000).stable) - 0.01).abs() < 0.001);
    let bursts = Spec {
        bursts: Bursts {
            per_second: 0.4,
            mean_size: 10.0,
        },
        ..calm()
    };
    let total = totals(bursts, 5000);
    assert!((rate(total.stable) - 0.02).abs() < 0.001, "{total:?}");
    assert!((rate(total.canary) - 0.04).abs() < 0.002, "{total:?}");
}

#[test]
fn labels_come_when_they_are_due_and_keep_their_epoch() {
    let mut world = World::new(calm(), 1.0, 5);
    for slice in 1..=10u64 {
        let complete = world.step(0.5, slice, true).labels[0];
        assert_eq!(
            complete.map(|labels| labels.epoch),
            slice.checked_sub(3).filter(|&epoch| epoch > 0)
        );
        if let Some(labels) = complete {
            assert!(
                (50..150).contains(&labels.pair.canary.n),
                "half of about 200: {labels:?}"
            );
            assert!(labels.pair.canary.x * 10 > labels.pair.canary.n * 8);
        }
    }
}

#[test]
fn a_canary_that_changes_later_is_stable_before() {
    let late = Spec {
        canary_differs_from_s: 1000.0,
        ..calm()
    };
    assert!((rate(totals(late, 1000).canary) - 0.01).abs() < 0.001);
}

#[test]
fn a_canary_whose_latency_is_not_judged_has_none() {
    let mut world = World::new(calm(), 1.0, 5);
    assert!(world.step(0.5, 1, false).canary.latency.is_empty());
}

#[test]
fn failures_are_where_they_are_put() {
    let flapping = Flapping {
        start_s: 10.0,
        period_s: 10.0,
        seconds: 2.0,
        errors: 1.0,
    };
    let blip = Blip {
        at_s: 5.0,
        seconds: 1.0,
        errors: 0.5,
        both: true,
    };
    let spec = Spec {
        flapping: Some(flapping),
        blips: vec![blip],
        canary_dead_at_s: Some(40.0),
        ..calm()
    };
    let of = |of_canary, at_s, seconds| spec.with_blips(0.01, of_canary, at_s, seconds);
    assert_eq!(of(true, 4.0, 1.0), 0.01);
    assert_eq!((of(true, 5.0, 1.0), of(false, 5.0, 1.0)), (0.5, 0.5));
    assert_eq!(
        (
            of(true, 20.0, 1.0),
            of(true, 21.0, 1.0),
            of(true, 22.0, 1.0)
        ),
        (1.0, 1.0, 0.01)
    );
    assert_eq!(of(false, 20.0, 1.0), 0.01);
    assert!(
        (of(true, 20.0, 10.0) - (0.2 + 0.8 * 0.01)).abs() < 1e-12,
        "a fifth of the slice"
    );
    assert_eq!((of(true, 45.0, 1.0), of(false, 45.0, 1.0)), (1.0, 0.01));
}

#[test]
fn the_history_is_one_entry_per_second_of_stable_alone() {
    let mut world = World::new(
        Spec {
            rate: 50.0,
            ..calm()
        },
        20.0,
        5,
    );
    let history = world.history(600);
    assert_eq!(history.len(), 600);
    let total: u64 = history.iter().map(|counts| counts.n).sum();
    assert!((29_000..31_000).contains(&total), "{total}");
    assert_eq!(world.now_s(), 0.0);
}
