use super::*;

fn keys(epoch: u64, n: u64, x: u64) -> v1::KeyStatistics {
    v1::KeyStatistics {
        epoch,
        cluster_requests: vec![n; CLUSTERS],
        cluster_errors: vec![x; CLUSTERS],
        ..v1::KeyStatistics::default()
    }
}

fn slice(epoch: u64, canary: (u64, u64), stable: (u64, u64)) -> stored::Slice {
    let arm = |requests| {
        Some(stored::Arm {
            requests,
            ..stored::Arm::default()
        })
    };
    stored::Slice {
        epoch,
        canary: arm(canary.1),
        stable: arm(stable.1),
        canary_assigned: canary.0,
        stable_assigned: stable.0,
        ..stored::Slice::default()
    }
}

/// Two sources in epoch 1 at 25 %.
fn clusters() -> Clusters {
    let mut clusters = Clusters::default();
    clusters.begin(1, 250_000);
    for source in [7, 8] {
        assert!(clusters.absorb(source, true, &keys(1, 25, 1)));
        assert!(clusters.absorb(source, false, &keys(1, 75, 2)));
    }
    clusters
}

fn fold(clusters: &mut Clusters, now_ms: u64) -> Vec<stored::ClusterTotals> {
    let due = clusters.due(now_ms);
    clusters.folded(&stored::Slice {
        clusters: due.clone(),
        folded_ms: now_ms,
        ..stored::Slice::default()
    });
    due
}

#[test]
fn the_latest_totals_of_all_sources_are_summed() {
    let mut clusters = clusters();
    assert!(clusters.absorb(7, true, &keys(1, 30, 3)), "cumulative");
    let due = clusters.due(20_000);
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].epoch, due[0].canary_ppm), (1, 250_000));
    assert_eq!(due[0].canary_requests, vec![55; CLUSTERS]);
    assert_eq!(due[0].canary_errors, vec![4; CLUSTERS]);
    assert_eq!(due[0].stable_requests, vec![150; CLUSTERS]);
}

#[test]
fn an_incarnation_that_is_gone_keeps_its_totals() {
    let mut clusters = clusters();
    clusters.absorb(9, true, &keys(1, 5, 0));
    assert_eq!(clusters.due(20_000)[0].canary_requests, vec![55; CLUSTERS]);
}

#[test]
fn they_are_folded_every_ten_seconds_where_they_grew() {
    let mut clusters = clusters();
    assert_eq!(fold(&mut clusters, 20_000).len(), 1);
    clusters.absorb(7, true, &keys(1, 30, 3));
    assert!(fold(&mut clusters, 29_999).is_empty());
    assert_eq!(fold(&mut clusters, 30_000).len(), 1);
    assert!(fold(&mut clusters, 60_000).is_empty(), "nothing new");
    clusters.begin(2, 500_000);
    clusters.absorb(7, true, &keys(2, 1, 0));
    clusters.absorb(7, true, &keys(1, 31, 3));
    let epochs: Vec<u64> = fold(&mut clusters, 60_000)
        .iter()
        .map(|of| of.epoch)
        .collect();
    assert_eq!(epochs, [1, 2]);
}

#[test]
fn what_cannot_be_true_changes_nothing() {
    let mut clusters = clusters();
    let before = clusters.due(20_000);
    let bad = [
        keys(0, 50, 0),
        keys(2, 50, 0),
        keys(u64::MAX, 50, 0),
        keys(1, 50, 51),
        keys(1, u64::MAX, 0),
        keys(1, 3, 0),
        v1::KeyStatistics {
            cluster_errors: vec![0; 3],
            ..keys(1, 50, 0)
        },
        v1::KeyStatistics {
            epoch: 1,
            ..v1::KeyStatistics::default()
        },
    ];
    for keys in bad {
        assert!(!clusters.absorb(7, true, &keys), "{keys:?}");
    }
    assert_eq!(clusters.due(20_000), before);
}

/// 6,400 of each variant's requests are judged: one standard error of the ratio is 49 requests.
#[test]
fn requests_that_are_not_judged_make_the_ratio_incomparable() {
    let mut clusters = clusters();
    clusters.count(&slice(1, (3_200, 3_200), (9_600, 9_600)));
    assert_eq!(clusters.due(20_000)[0].canary_ppm, 250_000);
    let mut diverted = clusters.clone();
    diverted.count(&slice(1, (300, 0), (900, 900)));
    assert_eq!(diverted.due(20_000)[0].canary_ppm, 0, "a breaker was open");
    clusters.count(&slice(1, (300, 0), (900, 0)));
    assert_eq!(
        clusters.due(20_000)[0].canary_ppm,
        250_000,
        "both are under way alike"
    );
}

#[test]
fn shares_at_the_edge_are_none() {
    for ppm in [0, 1_000_000] {
        let mut clusters = Clusters::default();
        clusters.begin(1, ppm);
        clusters.absorb(7, false, &keys(1, 75, 2));
        assert_eq!(clusters.due(20_000)[0].canary_ppm, 0);
    }
}

#[test]
fn epochs_that_are_long_over_are_forgotten_for_good() {
    let mut clusters = clusters();
    for epoch in 2..=5 {
        clusters.begin(epoch, 250_000);
        assert!(clusters.absorb(7, true, &keys(epoch, 1, 0)));
    }
    assert!(!clusters.absorb(7, true, &keys(1, 90, 0)));
    let epochs: Vec<u64> = clusters.due(20_000).iter().map(|of| of.epoch).collect();
    assert_eq!(epochs, [2, 3, 4, 5]);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut before = clusters();
    before.begin(2, 500_000);
    before.absorb(8, false, &keys(2, 4, 1));
    let counted = slice(1, (3_200, 3_000), (9_600, 9_500));
    before.count(&counted);
    let first = before.due(20_000);
    let folded = stored::Slice {
        clusters: first,
        folded_ms: 20_000,
        ..counted.clone()
    };
    before.folded(&folded);
    before.absorb(7, true, &keys(1, 26, 1));
    let saved = before.take_unsaved();
    assert_eq!(saved.len(), 2);
    assert!(before.take_unsaved().is_empty());
    let mut after = Clusters::default();
    after.begin(1, 250_000);
    after.begin(2, 500_000);
    after.count(&folded);
    after.folded(&folded);
    for (source, totals) in &saved {
        after.restore(*source, totals);
    }
    for now_ms in [29_999, 30_000] {
        assert_eq!(after.due(now_ms), before.due(now_ms));
    }
    assert_eq!(after.due(30_000).len(), 1);
    assert_eq!(after.sources(), before.sources());
}
