use super::super::view;
use super::completed;
use serinus_common::ppm::Ppm;
use std::time::Duration;

#[test]
fn a_step_at_full_keeps_the_holdback() {
    let plan = completed("bake: {duration: 5s, holdback: 0.1}\nwarmup: {duration: 6s}");
    assert_eq!(view::canary(&plan).unwrap().name, "v2");
    assert_eq!(
        view::targets(&plan, 0),
        [("v2", Ppm::from_fraction(0.05).unwrap())]
    );
    assert_eq!(
        view::targets(&plan, 3),
        [("v2", Ppm::from_fraction(0.9).unwrap())]
    );
    assert_eq!(view::asked(&plan, 3), Ppm::ONE);
    assert_eq!(view::targets(&plan, 4), []);
    assert_eq!(view::ceiling(&plan), Ppm::ONE);
    assert!(view::ends_at_full(&plan));
    assert_eq!(view::bake(&plan), Duration::from_secs(5));
    assert_eq!(
        view::warmup(&plan),
        Some((Duration::from_secs(6), Ppm::from_fraction(0.02).unwrap()))
    );
    assert_eq!(view::min_duration(&plan, 1), Duration::from_secs(30));
    assert_eq!(view::attempt_timeout(&plan), Duration::from_secs(5));
}

#[test]
fn tolerances_follow_the_shares() {
    let plan = completed(
        "steps: [{split: {v2: 0.01, v1: 0.99}}, {split: {v2: 0.1, v1: 0.9}, tolerance: 2}, {split: {v2: 0.25, v1: 0.75}}]",
    );
    assert_eq!(view::kappa(&plan, 0), 10.0);
    assert_eq!(view::kappa(&plan, 1), 2.0);
    assert_eq!(view::kappa(&plan, 2), 2.0);
    assert_eq!(view::tolerances(&plan), [1.0, 2.0, 10.0]);
    assert!(!view::ends_at_full(&plan));
    assert_eq!(view::ceiling(&plan), Ppm::from_fraction(0.25).unwrap());
}
