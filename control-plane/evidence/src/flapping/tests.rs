use super::*;
use proptest::prelude::*;

/// Stable traffic without a burst for ten minutes.
fn calm() -> Vec<Counts> {
    (0..600)
        .map(|second| Counts {
            x: 1 + second % 2,
            n: 300,
        })
        .collect()
}

/// The second in which a canary with `n` requests a second is called that fails in some of them.
fn called(n: u64, fails: impl Fn(u64) -> bool, limit: u64) -> Option<u64> {
    let mut flapping = Flapping::new(&calm(), 0.0025);
    (0..limit).find(|second| {
        let errors = if fails(*second) { n } else { 0 };
        flapping.fold(Pair::new(errors, n, 1 + second % 2, 300 - n), 1.0);
        flapping.is_tripped()
    })
}

#[test]
fn one_second_in_ten_and_two_in_thirty_are_called_within_a_minute() {
    for n in [6, 30, 150] {
        let one = called(n, |second| second % 10 == 0, 600).expect("called");
        let two = called(n, |second| second % 30 < 2, 600).expect("called");
        assert!(one < 60 && two < 60, "{n}: {one} {two}");
    }
}

#[test]
fn onset_after_a_long_calm_is_called_too() {
    let since = |second: u64| second >= 500 && second.is_multiple_of(10);
    let second = called(6, since, 600).expect("called");
    assert!(second < 560, "{second}");
}

#[test]
fn one_blip_is_not_flapping() {
    for n in [6, 30, 150] {
        assert_eq!(called(n, |second| second == 100, 600), None);
        assert_eq!(
            called(n, |second| second == 100 || second == 101, 600),
            None
        );
        assert_eq!(called(n, |second| second % 300 == 100, 1200), None);
    }
}

#[test]
fn bursts_that_stable_has_per_request_as_often_are_not_the_canarys() {
    let history: Vec<_> = (0..600u64)
        .map(|second| Counts {
            x: if second % 2 == 0 { 15 } else { 1 },
            n: 300,
        })
        .collect();
    let mut flapping = Flapping::new(&history, 0.0025);
    for second in 0..1200u64 {
        // 2 % of the traffic and of the bursts, with two that come close together.
        let burst = second % 100 == 0 || second == 405;
        let errors = if burst { 6 } else { 0 };
        let stable = if second % 2 == 0 { 15 } else { 1 };
        flapping.fold(Pair::new(errors, 6, stable, 294), 1.0);
    }
    assert!(!flapping.is_tripped());
}

#[test]
fn what_hits_both_is_not_the_canarys() {
    let mut flapping = Flapping::new(&calm(), 0.0025);
    for second in 0..600u64 {
        let (canary, stable) = if second % 10 == 0 { (30, 270) } else { (0, 1) };
        flapping.fold(Pair::new(canary, 30, stable, 270), 1.0);
    }
    assert!(!flapping.is_tripped());
}

#[test]
fn a_wide_margin_tolerates_it() {
    let mut flapping = Flapping::new(&calm(), 0.2);
    for second in 0..600u64 {
        let errors = if second % 10 == 0 { 30 } else { 0 };
        flapping.fold(Pair::new(errors, 30, 1, 270), 1.0);
    }
    assert!(!flapping.is_tripped());
}

proptest! {
    #[test]
    fn any_counts_are_taken(
        slices in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<f64>()), 1..80),
    ) {
        let mut flapping = Flapping::new(&[], 0.0);
        for (a, b, c, d, seconds) in slices {
            let pair = Pair::new(u64::from(a.min(b)), u64::from(b), u64::from(c.min(d)), u64::from(d));
            flapping.fold(pair, seconds);
            prop_assert!(flapping.run.len() <= 3);
        }
    }
}
