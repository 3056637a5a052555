//! The mean of every e-value under its null, by exact enumeration of small slices.

use super::*;
use crate::counts::{Counts, Pair};
use crate::logs::{exp, expit, logit};
use crate::wealth::CAP;
use proptest::prelude::*;

fn binomial(x: u64, n: u64, p: f64) -> f64 {
    let ways = (0..x).fold(1.0, |ways, i| ways * (n - i) as f64 / (i + 1) as f64);
    let power = |base: f64, times: u64| (0..times).fold(1.0, |product, _| product * base);
    ways * power(p, x) * power(1.0 - p, n - x)
}

/// E[e] when the canary's rate is `pc` and the stable's `ps`.
fn mean_e(n: (u64, u64), rates: (f64, f64), log_e: impl Fn(Pair) -> f64) -> f64 {
    let mut mean = 0.0;
    for x_canary in 0..=n.0 {
        for x_stable in 0..=n.1 {
            let pair = Pair::new(x_canary, n.0, x_stable, n.1);
            mean += binomial(x_canary, n.0, rates.0)
                * binomial(x_stable, n.1, rates.1)
                * exp(log_e(pair).min(CAP));
        }
    }
    mean
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn rollback_mean_is_at_most_one_under_its_null(
        n in (1u64..9, 1u64..9),
        margin in 0.0..0.4f64,
        ps in 0.0..1.0f64,
        slack in 0.0..0.5f64,
        guess in 0.0..1.0f64,
    ) {
        let pc = (ps + margin - slack * slack).clamp(0.0, 1.0);
        prop_assume!(ps + margin <= 1.0);
        for alternative in rollback_alternatives(guess + margin, 1.0) {
            let bet = |pair| log_e_against(Null::AtMost, pair, margin, alternative, guess);
            prop_assert!(mean_e(n, (pc, ps), bet) <= 1.0 + 1e-9);
            let mirrored = |pair: Pair| {
                let flip = |c: Counts| Counts { x: c.n - c.x, n: c.n };
                let pair = Pair { canary: flip(pair.canary), stable: flip(pair.stable) };
                log_e_against(Null::AtLeast, pair, -margin, 1.0 - alternative, 1.0 - guess)
            };
            prop_assert!(mean_e(n, (pc, ps), mirrored) <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn promote_mean_is_at_most_one_under_its_null(
        n in (1u64..9, 1u64..9),
        margin in 0.0..0.4f64,
        ps in 0.0..1.0f64,
        excess in 0.0..0.5f64,
        guess in 0.0..1.0f64,
        target in 0.0..1.0f64,
    ) {
        prop_assume!(ps + margin <= 1.0);
        let pc = (ps + margin + excess * excess).clamp(0.0, 1.0);
        for alternative in promote_alternatives(guess + margin, target) {
            let bet = |pair| log_e_against(Null::AtLeast, pair, margin, alternative, guess);
            prop_assert!(mean_e(n, (pc, ps), bet) <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn limit_mean_is_at_most_one_under_its_null(
        n in 1u64..12, limit in 0.001..0.5f64, below in 0.0..1.0f64, tilt in 0.05..6.0f64,
    ) {
        let alternative = expit(logit(limit) + tilt);
        let log_e = |pair: Pair| log_e_limit(pair.canary, limit, alternative);
        prop_assert!(mean_e((n, 1), (limit * below, 0.5), log_e) <= 1.0 + 1e-9);
    }

    #[test]
    fn never_nan(
        x in (any::<u64>(), any::<u64>()), n in (any::<u64>(), any::<u64>()),
        margin in -2.0..2.0f64, alternative in -0.1..1.1f64, guess in 0.0..1.0f64,
    ) {
        let pair = Pair::new(x.0.min(n.0), n.0, x.1.min(n.1), n.1);
        prop_assert!(log_e(pair, margin, alternative, guess).is_finite());
    }
}

/// The worst case over a fine grid of boundary points, with the margin inside the null's clipped
/// range.
#[test]
fn boundary_nulls_reach_one_but_do_not_pass_it() {
    let (margin, guess, n) = (0.05, 0.1, (6, 10));
    let mut highest = 0.0f64;
    for alternative in rollback_alternatives(guess + margin, 1.0) {
        for step in 0..=950 {
            let ps = step as f64 / 1000.0;
            let bet = |pair| log_e_against(Null::AtMost, pair, margin, alternative, guess);
            let uncapped = |pair| bet(pair).min(CAP);
            highest = highest.max(mean_e(n, (ps + margin, ps), uncapped));
        }
    }
    assert!(highest <= 1.0 + 1e-9, "{highest}");
    assert!(
        highest > 0.999,
        "a bound that is far from 1 would be a needlessly weak test: {highest}"
    );
}

/// A stable outage pushes the guess to 1; a canary that works must then not look harmful.
#[test]
fn a_working_canary_in_a_stable_outage_is_no_evidence_of_harm() {
    let pair = Pair::new(0, 50, 450, 450);
    for alternative in rollback_alternatives(0.9996 + 0.0025, 1.0) {
        assert!(log_e_against(Null::AtMost, pair, 0.0025, alternative, 0.9996) <= 0.0);
    }
}

#[test]
fn without_both_variants_a_slice_says_nothing() {
    assert_eq!(log_e(Pair::new(5, 5, 0, 0), 0.01, 0.5, 0.1), 0.0);
    assert_eq!(log_e(Pair::new(0, 0, 5, 5), 0.01, 0.5, 0.1), 0.0);
    assert_eq!(log_e(Pair::new(1, 5, 1, 5), 0.01, f64::NAN, 0.1), 0.0);
}

#[test]
fn factors_are_the_exponentials_of_the_tilts() {
    for (factor, tilt) in ROLLBACK_FACTORS.into_iter().zip(ROLLBACK_TILTS) {
        assert!((factor / exp(tilt) - 1.0).abs() < 1e-15, "{tilt}");
    }
}

proptest! {
    #[test]
    fn alternatives_are_the_boundary_moved_on_the_log_odds_scale(
        boundary in 1e-5..1.0f64, target in 1e-5..1.0f64,
    ) {
        let logit = |p: f64| logit(clip_rate(p));
        for (sign, tilts) in [(1.0, ROLLBACK_TILTS), (-1.0, ROLLBACK_TILTS)] {
            for (rate, tilt) in rollback_alternatives(boundary, sign).into_iter().zip(tilts) {
                let wanted = expit(logit(boundary) + sign * tilt);
                prop_assert!((rate / wanted - 1.0).abs() < 1e-12);
            }
        }
        let distance = logit(target) - logit(boundary);
        for (rate, tilt) in promote_alternatives(boundary, target).into_iter().zip(PROMOTE_TILTS) {
            let wanted = expit(logit(boundary) + tilt * distance);
            prop_assert!((rate / wanted - 1.0).abs() < 1e-12);
        }
    }
}
