use super::*;
use proptest::prelude::*;
use serinus_common::class::Class;

fn pair(canary: u64, stable: u64) -> Pair {
    let mut pair = Pair::default();
    pair.canary.classes[Class::Ok as usize] = canary;
    pair.stable.classes[Class::Ok as usize] = stable;
    pair
}

fn cells() -> Cells {
    let mut cells = Cells::new("v1", "v2");
    cells.begin(1, 0);
    cells
}

fn totals(slices: &[stored::Slice]) -> (u64, u64) {
    let n = |arm: &Option<stored::Arm>| arm.as_ref().unwrap().requests;
    slices.iter().fold((0, 0), |(c, s), slice| {
        (c + n(&slice.canary), s + n(&slice.stable))
    })
}

#[test]
fn a_slice_is_the_shortest_run_of_closed_cells() {
    let mut cells = cells();
    for second in 10..14 {
        cells.absorb(1, second, &pair(2, 10));
    }
    assert!(cells.close(11, 0, 1000).is_empty());
    let slices = cells.close(13, 0, 1000);
    assert_eq!(slices.len(), 1);
    assert_eq!((slices[0].first_second, slices[0].last_second), (10, 11));
    assert_eq!(totals(&slices), (4, 20));
    assert_eq!(cells.pending().len(), 2);
}

#[test]
fn a_late_cell_joins_the_next_open_one() {
    let mut cells = cells();
    cells.absorb(1, 10, &pair(5, 20));
    assert_eq!(cells.close(11, 0, 1000).len(), 1);
    assert!(cells.absorb(1, 10, &pair(1, 30)));
    let slices = cells.close(12, 0, 1000);
    assert_eq!(totals(&slices), (1, 30));
    assert_eq!(slices[0].first_second, 11);
}

#[test]
fn an_ended_epoch_keeps_slow_failures_and_then_is_over() {
    let mut cells = cells();
    cells.absorb(1, 10, &pair(1, 2));
    cells.begin(2, 11_000);
    assert!(
        cells.absorb(1, 11, &pair(1, 0)),
        "slow answers of the old epoch still count"
    );
    assert!(cells.close(12, 11_500, 1000).is_empty());
    let slices = cells.close(13, 12_000, 1000);
    assert_eq!(totals(&slices), (2, 2));
    assert!(!cells.absorb(1, 12, &pair(1, 1)));
    assert_eq!(cells.dropped(), 1);
}

#[test]
fn seconds_in_which_nothing_finished_do_not_pile_up() {
    let mut cells = cells();
    let mut cancelled = Pair::default();
    cancelled.canary.classes[Class::Cancelled as usize] = 3;
    for second in 10..10_000 {
        cells.absorb(1, second, &cancelled);
        assert!(cells.close(second, 0, 1000).is_empty());
        assert!(cells.pending().len() <= 1);
    }
}

#[test]
fn sums_above_the_limit_of_a_report_come_back_from_disk() {
    let mut before = cells();
    before.absorb(1, 10, &pair(1 << 31, 1 << 31));
    before.absorb(1, 10, &pair(1 << 31, 1 << 31));
    let mut after = cells();
    after.restore(&before.pending(), 0);
    assert_eq!(after.pending(), before.pending());
}

#[test]
fn what_is_pending_can_be_restored() {
    let mut before = cells();
    before.absorb(1, 10, &pair(1, 2));
    before.begin(2, 11_000);
    before.absorb(2, 11, &pair(3, 4));
    let mut after = Cells::new("v1", "v2");
    after.begin(2, 11_000);
    after.restore(&before.pending(), 12_000);
    assert_eq!(after.pending(), before.pending());
    assert_eq!(totals(&after.close(12, 13_000, 1000)), (1, 2));
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_counted_twice(
        steps in prop::collection::vec((0u64..30, 0u64..40, 0u64..40, 0u64..32), 1..60),
    ) {
        let mut cells = cells();
        let (mut sent, mut got) = ((0, 0), (0, 0));
        let mut closed = 0;
        for (second, canary, stable, close) in steps {
            sent = (sent.0 + canary, sent.1 + stable);
            prop_assert!(cells.absorb(1, second, &pair(canary, stable)));
            closed = closed.max(close);
            let slices = cells.close(closed, 0, 1000);
            let part = totals(&slices);
            got = (got.0 + part.0, got.1 + part.1);
        }
        cells.begin(2, 0);
        let rest = totals(&cells.close(closed, 1000, 1000));
        prop_assert_eq!((got.0 + rest.0, got.1 + rest.1), sent);
    }
}
