use super::*;

const NOW: u64 = 1_800_000_000;

fn variant(name: &str, ok: u64) -> v1::VariantCell {
    v1::VariantCell {
        variant: name.into(),
        ok,
        assigned: ok,
        ..v1::VariantCell::default()
    }
}

fn report(finished_before: u64, cells: Vec<v1::Cell>) -> v1::ReportRequest {
    v1::ReportRequest {
        sidecar: "host-a".into(),
        incarnation: 1,
        seq: 1,
        finished_before,
        cells,
        ..v1::ReportRequest::default()
    }
}

fn cell(second: u64, epoch: u64, variants: Vec<v1::VariantCell>) -> v1::Cell {
    v1::Cell {
        rollout: "r".into(),
        epoch,
        second,
        variants,
        model: String::new(),
    }
}

fn verdict(report: &v1::ReportRequest, pace: &mut Pace) -> Result<usize, &'static str> {
    let epoch = |rollout: &str| (rollout == "r").then_some(3);
    let read = read(report, pace, NOW, epoch);
    read.map(|read| read.len()).map_err(|why| why.name())
}

#[test]
fn what_cannot_be_is_named() {
    let good = || cell(NOW, 3, vec![variant("v1", 9), variant("v2", 1)]);
    let of = |change: fn(&mut v1::ReportRequest)| {
        let mut report = report(NOW, vec![good()]);
        change(&mut report);
        verdict(&report, &mut Pace::default())
    };
    assert_eq!(of(|_| {}), Ok(1));
    assert_eq!(of(|r| r.finished_before = 0), Ok(1));
    assert_eq!(of(|r| r.cells[0].epoch = 4), Err("epoch"));
    assert_eq!(of(|r| r.cells[0].rollout = "another".into()), Ok(1));
    assert_eq!(of(|r| r.cells[0].second = 0), Err("clock"));
    assert_eq!(of(|r| r.cells[0].second = u64::MAX), Err("clock"));
    assert_eq!(of(|r| r.finished_before = u64::MAX), Err("clock"));
    assert_eq!(
        of(|r| r.cells[0].variants[1].variant = "v1".into()),
        Err("twice")
    );
    assert_eq!(of(|r| r.cells[0].variants[0].ok = u64::MAX), Err("counts"));
    let sketch = |counts: &[u64]| v1::Sketch {
        index_deltas: vec![1; counts.len()],
        counts: counts.to_vec(),
    };
    let mut surplus = report(NOW, vec![good()]);
    surplus.cells[0].variants[0].latency = Some(sketch(&[5, 5]));
    assert_eq!(verdict(&surplus, &mut Pace::default()), Err("counts"));
    assert_eq!(
        of(|r| r.keys = vec![v1::KeyStatistics {
            cluster_requests: vec![1; 63],
            ..Default::default()
        }]),
        Err("keys")
    );
    assert_eq!(
        of(|r| r.keys = vec![v1::KeyStatistics {
            rollout: "r".into(),
            cluster_requests: vec![1; 64],
            cluster_errors: vec![2; 64],
            ..Default::default()
        }]),
        Err("keys")
    );
    let many = report(NOW, vec![good(); CELLS + 1]);
    assert_eq!(verdict(&many, &mut Pace::default()), Err("size"));
}

#[test]
fn a_lie_is_told_from_a_history_that_was_lost() {
    let epoch = Impossible::Epoch {
        rollout: "r".into(),
        epoch: 9,
    };
    assert!(!epoch.is_lie());
    assert!(Impossible::Size(1).is_lie());
    let mut both = report(NOW, vec![cell(NOW, 9, vec![variant("v1", u64::MAX)])]);
    assert_eq!(verdict(&both, &mut Pace::default()), Err("counts"));
    both.cells[0].variants[0].ok = 1;
    both.cells[0].variants[0].assigned = 1;
    assert_eq!(verdict(&both, &mut Pace::default()), Err("epoch"));
}

#[test]
fn a_source_may_rise_fourfold_beyond_what_any_is_believed() {
    let mut pace = Pace::default();
    let send = |pace: &mut Pace, at: u64, n: u64| {
        verdict(
            &report(at, vec![cell(NOW, 3, vec![variant("v1", n)])]),
            pace,
        )
    };
    // The first one may be about a long time.
    assert_eq!(send(&mut pace, NOW, 3_000_000), Ok(1));
    assert_eq!(pace.rate(), 0.0);
    assert_eq!(send(&mut pace, NOW + 1, 50_001), Err("rate"));
    assert_eq!(send(&mut pace, NOW + 1, 50_000), Ok(1));
    assert_eq!(pace.rate(), 50_000.0);
    assert_eq!(send(&mut pace, NOW + 2, 200_001), Err("rate"));
    assert_eq!(send(&mut pace, NOW + 2, 200_000), Ok(1));
    // What was refused makes the next one no more believable.
    assert_eq!(send(&mut pace, NOW + 3, 800_001), Err("rate"));
    // Two minutes without contact may come in one report.
    assert_eq!(send(&mut pace, NOW + 122, 90_000_000), Ok(1));
    assert_eq!(send(&mut pace, NOW + 122, 3_200_001), Err("rate"));
}
