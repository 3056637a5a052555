use super::*;
use crate::random::Random;

fn assigned(canary: u64, stable: u64) -> Assigned {
    Assigned { canary, stable }
}

fn mismatch(evidence: &RatioMonitor) -> bool {
    evidence.read().mismatch
}

/// Seconds of a canary that gets `share` of about 100 requests while `asked` was asked.
fn seconds(seed: u64, share: f64, asked: f64, count: usize) -> RatioMonitor {
    let mut random = Random(seed);
    let mut monitor = RatioMonitor::default();
    for _ in 0..count {
        let n = 80 + random.count(40, 0.5);
        let canary = random.count(n, share);
        monitor.fold_assignments(1, asked, assigned(canary, n - canary));
    }
    monitor
}

#[test]
fn the_share_asked_is_no_mismatch_at_any_time() {
    let mut false_alarms = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut monitor = RatioMonitor::default();
        let mut alarmed = false;
        for second in 0..300 {
            let (epoch, share) = if second < 100 { (1, 0.05) } else { (2, 0.4) };
            let canary = random.count(60, share);
            monitor.fold_assignments(epoch, share, assigned(canary, 60 - canary));
            alarmed |= mismatch(&monitor);
        }
        false_alarms += u32::from(alarmed);
    }
    assert!(false_alarms <= 1, "{false_alarms}");
}

#[test]
fn another_share_is_a_mismatch() {
    for seed in 0..20 {
        let monitor = seconds(seed, 0.13, 0.1, 200);
        let read = monitor.read();
        assert!(read.mismatch, "seed {seed}: {read:?}");
        assert_eq!(read.asked, Some(0.1));
        assert!((read.achieved.unwrap() - 0.13).abs() < 0.02);
    }
}

#[test]
fn a_canary_without_any_request_is_a_mismatch() {
    let mut monitor = RatioMonitor::default();
    for _ in 0..10 {
        monitor.fold_assignments(1, 0.1, assigned(0, 50));
    }
    assert!(mismatch(&monitor));
}

/// Requests in bursts of twenty that stay together, around the right share: the ratio is noisy, not wrong.
#[test]
fn bursts_that_stay_together_are_noise() {
    let mut alarms = 0;
    for seed in 0..50 {
        let mut random = Random(seed);
        let mut monitor = RatioMonitor::default();
        let mut alarmed = false;
        for second in 0..300 {
            let canary = 20 * random.count(10, 0.2);
            monitor.fold_assignments(1, 0.2, assigned(canary, 200 - canary));
            // Before that the noise is not learnt.
            alarmed |= second >= 20 && mismatch(&monitor);
        }
        alarms += u32::from(alarmed);
    }
    assert!(alarms <= 3, "{alarms}");
}

#[test]
fn impossible_shares_say_nothing() {
    for asked in [0.0, 1.0, f64::NAN, -3.0] {
        let read = seconds(1, 0.5, asked, 50).read();
        assert_eq!(read.evidence, RatioEvidence::Unknown);
        assert!(!read.mismatch && read.asked.is_none() && read.achieved.is_none());
    }
}

fn report(epoch: u64, canary: u64) -> ClusterSlice {
    let mut slice = ClusterSlice {
        epoch,
        share: Some(0.1),
        ..ClusterSlice::default()
    };
    for (h, (canary_of, stable_of)) in slice
        .totals
        .canary
        .iter_mut()
        .zip(&mut slice.totals.stable)
        .enumerate()
    {
        canary_of.n = canary + h as u64 % 3;
        stable_of.n = 90 + h as u64 % 5;
    }
    slice
}

fn fold(monitor: &mut RatioMonitor, clusters: &mut Clusters, slice: &ClusterSlice) {
    assert!(clusters.fold(slice));
    monitor.fold_clusters(slice, clusters);
}

#[test]
fn two_successive_reports_beyond_five_are_a_mismatch() {
    let (mut monitor, mut clusters) = (RatioMonitor::default(), Clusters::default());
    fold(&mut monitor, &mut clusters, &report(1, 40));
    let RatioEvidence::Clusters { t, threshold } = monitor.read().evidence else {
        panic!("{monitor:?}");
    };
    assert!(t > threshold && !mismatch(&monitor), "{t}");
    fold(&mut monitor, &mut clusters, &report(1, 41));
    assert!(mismatch(&monitor));
    // When later users make up for it, there is no mismatch any more.
    fold(&mut monitor, &mut clusters, &report(1, 9));
    assert!(!mismatch(&monitor));
}

#[test]
fn the_last_totals_of_an_old_epoch_are_no_report_of_their_own() {
    let (mut monitor, mut clusters) = (RatioMonitor::default(), Clusters::default());
    fold(&mut monitor, &mut clusters, &report(2, 40));
    fold(&mut monitor, &mut clusters, &report(1, 40));
    assert!(!mismatch(&monitor));
    fold(&mut monitor, &mut clusters, &report(2, 41));
    assert!(mismatch(&monitor));
}

/// Requests of one key stay together, so with keys only clusters count.
#[test]
fn clusters_overrule_requests() {
    let mut monitor = seconds(1, 0.5, 0.1, 100);
    assert!(mismatch(&monitor));
    fold(&mut monitor, &mut Clusters::default(), &report(1, 9));
    assert!(!mismatch(&monitor));
}
