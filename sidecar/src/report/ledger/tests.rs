use super::*;

pub(crate) fn cell(epoch: u64, second: u64, ok: u64) -> v1::Cell {
    v1::Cell {
        rollout: "r".into(),
        epoch,
        second,
        variants: vec![v1::VariantCell {
            variant: "v2".into(),
            ok,
            ..v1::VariantCell::default()
        }],
        model: String::new(),
    }
}

/// Counted outside of rollouts.
fn idle(model: &str, second: u64, ok: u64) -> v1::Cell {
    v1::Cell {
        rollout: String::new(),
        epoch: 0,
        model: model.into(),
        ..cell(0, second, ok)
    }
}

pub(super) fn share(worker: usize, finished_before: u64, cells: Vec<v1::Cell>) -> Share {
    Share {
        worker,
        finished_before,
        cells,
        keys: Vec::new(),
    }
}

pub(crate) fn total(cells: &[v1::Cell]) -> u64 {
    cells
        .iter()
        .flat_map(|cell| &cell.variants)
        .map(|v| v.ok)
        .sum()
}

fn committed(seq: u64) -> v1::ReportAck {
    v1::ReportAck {
        committed_seq: seq,
        ..v1::ReportAck::default()
    }
}

fn ledger_with(reports: u64) -> Ledger {
    let mut ledger = Ledger::new(1);
    for second in 0..reports {
        ledger.seal(share(0, second + 1, vec![cell(1, second, 1)]));
    }
    ledger
}

#[test]
fn a_second_waits_for_every_worker() {
    let mut ledger = Ledger::new(2);
    ledger.seal(share(0, 11, vec![cell(1, 10, 3)]));
    assert!(ledger.next_report().is_none());
    ledger.seal(share(1, 11, vec![cell(1, 10, 4)]));
    let report = ledger.next_report().unwrap();
    assert_eq!((report.seq, report.finished_before), (1, 11));
    assert_eq!((report.cells.len(), total(&report.cells)), (1, 7));
    // The faster worker is a second ahead: only what both have finished goes out.
    ledger.seal(share(0, 12, vec![cell(1, 11, 1)]));
    ledger.seal(share(0, 13, vec![cell(1, 12, 1)]));
    ledger.seal(share(1, 12, vec![cell(1, 11, 1)]));
    let report = ledger.next_report().unwrap();
    assert_eq!((report.finished_before, total(&report.cells)), (12, 2));
}

#[test]
fn an_idle_second_is_an_empty_report() {
    let mut ledger = Ledger::new(1);
    ledger.seal(share(0, 11, Vec::new()));
    let report = ledger.next_report().unwrap();
    assert_eq!((report.seq, report.finished_before), (1, 11));
    assert!(report.cells.is_empty());
    assert!(ledger.next_report().is_none());
}

#[test]
fn a_longer_interval_gathers_seconds() {
    let mut ledger = Ledger::new(1);
    ledger.set_interval(3);
    for second in 0..5 {
        ledger.seal(share(0, second + 1, vec![cell(1, second, 1)]));
    }
    let report = ledger.next_report().unwrap();
    assert_eq!((report.cells.len(), report.finished_before), (3, 3));
    assert!(ledger.next_report().is_none());
    ledger.close();
    assert_eq!(ledger.next_report().unwrap().cells.len(), 2);
}

#[test]
fn a_clock_that_goes_back_stops_nothing() {
    let mut ledger = ledger_with(1000);
    while ledger.next_report().is_some() {}
    ledger.welcome(BOUND as u64).unwrap();
    while ledger.next_report().is_some() {}
    ledger.ack(&committed(u64::MAX)).unwrap();
    assert!(ledger.is_empty());
    ledger.seal(share(0, 500, vec![cell(1, 499, 2)]));
    let report = ledger.next_report().unwrap();
    assert_eq!((report.finished_before, total(&report.cells)), (1000, 2));
}

#[test]
fn what_was_never_sent_is_summed_and_nothing_is_lost() {
    let mut ledger = ledger_with(1000);
    ledger.seal(share(0, 1001, vec![cell(2, 1000, 5)]));
    let first = ledger.next_report().unwrap();
    assert_eq!(first.seq, 1);
    assert_eq!(
        (first.cells.len(), total(&first.cells)),
        (1, 1002 - BOUND as u64)
    );
    let mut sum = total(&first.cells);
    while let Some(report) = ledger.next_report() {
        sum += total(&report.cells);
    }
    assert_eq!(sum, 1005);
}

#[test]
fn what_was_sent_keeps_its_number_and_content() {
    let mut ledger = ledger_with(3);
    let first: Vec<_> = std::iter::from_fn(|| ledger.next_report()).collect();
    ledger.rewind();
    let again: Vec<_> = std::iter::from_fn(|| ledger.next_report()).collect();
    assert_eq!(first, again);
    ledger.welcome(2).unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| ledger.next_report()).collect();
    assert_eq!(rest, first[2..]);
}

#[test]
fn at_most_so_many_are_under_way() {
    let mut ledger = ledger_with(BOUND as u64);
    while ledger.next_report().is_some() {}
    ledger.seal(share(0, 1000, Vec::new()));
    assert!(ledger.next_report().is_none());
    ledger.ack(&committed(1)).unwrap();
    assert_eq!(ledger.next_report().unwrap().seq, BOUND as u64 + 1);
}

#[test]
fn a_gap_is_filled_once() {
    let mut ledger = ledger_with(5);
    while ledger.next_report().is_some() {}
    let gap = v1::ReportAck {
        committed_seq: 1,
        resend_after: 2,
        resend: true,
        ..v1::ReportAck::default()
    };
    ledger.ack(&gap).unwrap();
    assert_eq!(ledger.next_report().unwrap().seq, 3);
    ledger.ack(&gap).unwrap();
    assert_eq!(ledger.next_report().unwrap().seq, 4);
    ledger.ack(&committed(5)).unwrap();
    assert!(ledger.is_empty());
}

#[test]
fn a_control_plane_that_lost_history_gets_a_new_incarnation() {
    let mut ledger = ledger_with(5);
    while ledger.next_report().is_some() {}
    ledger.ack(&committed(3)).unwrap();
    assert_eq!(ledger.welcome(1), Err(LostHistory { theirs: 1, ours: 3 }));
    ledger.restart();
    ledger.welcome(0).unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| ledger.next_report()).collect();
    assert_eq!(rest.len(), 2);
    assert_eq!((rest[0].seq, rest[0].cells[0].second), (1, 3));
}

#[test]
fn keys_are_summed_over_workers() {
    let keys = |n: u64| v1::KeyStatistics {
        rollout: "r".into(),
        epoch: 1,
        variant: "v2".into(),
        registers: vec![0; 4096],
        cluster_requests: vec![n; 64],
        cluster_errors: vec![0; 64],
    };
    let mut ledger = Ledger::new(2);
    let with = |worker, second, n| Share {
        keys: vec![keys(n)],
        ..share(worker, second, Vec::new())
    };
    ledger.seal(with(0, 10, 1));
    ledger.seal(with(1, 10, 2));
    assert_eq!(ledger.next_report().unwrap().keys, vec![keys(3)]);
    ledger.seal(with(0, 11, 5));
    ledger.seal(share(1, 11, Vec::new()));
    assert_eq!(ledger.next_report().unwrap().keys, vec![keys(7)]);
}

#[test]
fn models_without_a_rollout_are_kept_apart_and_by_the_second() {
    let mut ledger = Ledger::new(2);
    let of_worker = |worker| share(worker, 8, vec![idle("a", 7, 1), idle("b", 7, 10)]);
    ledger.seal(of_worker(0));
    ledger.seal(of_worker(1));
    let report = ledger.next_report().unwrap();
    let sums: Vec<_> = report
        .cells
        .iter()
        .map(|c| (&*c.model, total(std::slice::from_ref(c))))
        .collect();
    assert_eq!(sums, [("a", 2), ("b", 20)]);
}

#[test]
fn a_long_outage_keeps_the_newest_seconds_of_models_without_a_rollout() {
    let mut ledger = Ledger::new(1);
    let seconds = BOUND as u64 + 30;
    for second in 0..seconds {
        ledger.seal(share(
            0,
            second + 1,
            vec![idle("a", second, 1), cell(1, second, 1)],
        ));
    }
    let mut cells = Vec::new();
    while let Some(report) = ledger.next_report() {
        cells.extend(report.cells);
    }
    let (idle, of_rollout): (Vec<_>, Vec<_>) =
        cells.into_iter().partition(|c| c.rollout.is_empty());
    assert_eq!(total(&of_rollout), seconds, "nothing of a rollout is lost");
    let kept: Vec<_> = idle
        .iter()
        .map(|c| (c.second, total(std::slice::from_ref(c))))
        .collect();
    let newest: Vec<_> = (30..seconds).map(|second| (second, 1)).collect();
    assert_eq!(kept, newest);
}
