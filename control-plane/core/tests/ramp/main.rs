//! Automatic ramps: few victims of a dead canary, little time for a healthy one, and never more without proof.

mod world;

use proptest::prelude::*;
use serinus_core::rollout::Rollout;
use serinus_proto::v1::State;
use world::World;

fn is_back(rollout: &Rollout) -> bool {
    rollout.state == State::RolledBack
}

fn has_everything(rollout: &Rollout) -> bool {
    rollout.state == State::Baking
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Failed requests of a canary that is dead from the start, and seconds until it is rolled back; medians.
fn dead(lines: &str, rate: f64) -> (u64, u64) {
    let run = |seed| {
        let mut world = World::new(lines, rate, (0.005, 1.0), seed);
        let share = world.share();
        let seconds = world.until(200, is_back).expect("rolled back");
        // Reports and pushes take a fraction of a second.
        let late = world.random.poisson(0.2 * rate * share);
        (world.victims + late, seconds)
    };
    let (victims, seconds) = (0..15).map(run).unzip();
    (median(victims), median(seconds))
}

#[test]
fn a_dead_canary_has_at_most_the_accepted_number_of_victims() {
    for (victims, rates) in [
        (30, [5.0, 50.0, 300.0, 2_000.0, 10_000.0]),
        (200, [20.0, 100.0, 700.0, 3_000.0, 9_000.0]),
    ] {
        for rate in rates {
            let (median, seconds) = dead(&format!("ramp: {{victims: {victims}}}"), rate);
            println!("{victims} accepted at {rate}/s: {median} in {seconds} s");
            assert!(
                median <= victims,
                "{median} victims of {victims} at {rate}/s"
            );
            // Where there is traffic, within a few slices.
            assert!(rate < 50.0 || seconds <= 6, "{seconds} s at {rate}/s");
        }
    }
}

#[test]
fn a_healthy_canary_gets_everything_sooner_than_on_the_default_ramp() {
    let guardrails =
        "guardrails: [{metric: error_rate, margin: 0.01}, {metric: latency, ratio: 1.25}]";
    for rate in [200.0, 2_000.0] {
        let took = |ramp: &str| {
            let lines = format!("{ramp}\n{guardrails}");
            let run = |seed| {
                let mut world = World::new(&lines, rate, (0.005, 0.005), seed);
                let seconds = world.until(3_000, has_everything).expect("everything");
                assert!(world.raises.iter().all(|&(_, safe)| safe));
                seconds
            };
            median((0..5).map(run).collect())
        };
        let (auto, default) = (took("ramp: auto"), took(""));
        println!("everything after {auto} s, by default {default} s, at {rate}/s");
        assert!(
            auto < default,
            "{auto} s, by default {default} s at {rate}/s"
        );
    }
}

#[test]
fn steps_that_are_proven_already_are_passed_over_but_not_that_at_one_half() {
    let lines = "ramp: {min_duration: 20s}\nguardrails: [{metric: error_rate, margin: 0.02}]";
    let mut world = World::new(lines, 2_000.0, (0.005, 0.005), 7);
    world.until(300, has_everything).expect("everything");
    let shares: Vec<f64> = world.raises.iter().map(|&(share, _)| share).collect();
    assert_eq!(shares, [0.5, 0.95]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the canary does: the share rises only with everything SAFE at the tolerance of the step it leaves.
    #[test]
    fn nothing_is_raised_without_evidence(
        rate in 5.0..400.0f64,
        stable in 0.0..0.05f64,
        harm in -0.02..0.05f64,
        seed in any::<u64>(),
        warmup in any::<bool>(),
    ) {
        let warmup = if warmup { "warmup: {duration: 5s}\n" } else { "" };
        let errors = (stable, (stable + harm).max(0.0));
        let ramp = "ramp: {min_duration: 3s}\nguardrails: [{metric: error_rate, margin: 0.01}]";
        let mut world = World::new(&format!("{warmup}{ramp}"), rate, errors, seed);
        (0..90).for_each(|_| world.second());
        prop_assert!(world.raises.iter().all(|&(_, safe)| safe), "{:?}", world.raises);
    }
}
