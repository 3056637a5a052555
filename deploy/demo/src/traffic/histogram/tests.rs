//! Quantiles and the error of a bucket.

use proptest::prelude::*;

use super::*;

#[test]
fn nothing_measured_is_all_zero() {
    assert_eq!(Histogram::default().summary(), LatencySummary::default());
}

#[test]
fn quantiles_of_a_known_spread() {
    let mut histogram = Histogram::default();
    (1..=1000).for_each(|ms| histogram.record(Duration::from_millis(ms)));
    let summary = histogram.summary();
    assert_eq!(
        (summary.count, summary.max_ms, summary.mean_ms),
        (1000, 1000.0, 500.5)
    );
    for (seen, exact) in [
        (summary.p50_ms, 500.0),
        (summary.p95_ms, 950.0),
        (summary.p99_ms, 990.0),
    ] {
        assert!((seen / exact - 1.0).abs() < 0.02, "{seen} for {exact}");
    }
}

proptest! {
    #[test]
    fn a_bucket_stays_close_to_its_values(us in 0_u64..u64::MAX) {
        let middle = middle(bucket(us));
        prop_assert!((middle - us as f64).abs() <= us as f64 * 0.02, "{us} stands at {middle}");
    }

    #[test]
    fn buckets_keep_the_order(a in any::<u64>(), b in any::<u64>()) {
        prop_assert_eq!(a.min(b) <= a.max(b), bucket(a.min(b)) <= bucket(a.max(b)));
    }
}
