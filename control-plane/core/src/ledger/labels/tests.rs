use super::*;
use proptest::prelude::*;

fn labels(window_ms: u64) -> Labels {
    let mut labels = Labels::new(2, window_ms);
    labels.begin(1, 0);
    labels
}

#[test]
fn complete_cells_are_sealed_before_the_window_ends() {
    let mut labels = labels(60_000);
    labels.assigned(1, 100, 101_000, 10, 20);
    for _ in 0..10 {
        assert_eq!(
            labels.label(1, 100, 103_000, true, 1_000_000),
            Taken::Joined
        );
    }
    assert!(
        labels.seal(101, 104_000).is_empty(),
        "stable's labels are missing"
    );
    for _ in 0..19 {
        labels.label(1, 100, 103_000, false, 0);
    }
    assert!(
        labels.seal(100, 104_000).is_empty(),
        "the second's reports are not in"
    );
    let slices = labels.seal(101, 104_000);
    assert_eq!(slices.len(), 1);
    let slice = &slices[0];
    assert_eq!(
        (slice.guardrail, slice.canary_labels, slice.stable_labels),
        (2, 10, 19)
    );
    assert_eq!(
        (slice.canary_sum_ppm, slice.stable_sum_ppm),
        (10_000_000, 0)
    );
    assert_eq!(labels.label(1, 100, 103_000, false, 0), Taken::Expired);
}

#[test]
fn the_window_seals_what_is_there() {
    let mut labels = labels(5_000);
    labels.assigned(1, 100, 101_000, 100, 100);
    for _ in 0..30 {
        labels.label(1, 100, 103_000, true, 500_000);
    }
    assert!(labels.seal(110, 105_999).is_empty());
    assert_eq!(labels.seal(110, 106_000).len(), 1);
    assert_eq!(
        labels.label(9, 100, 103_000, true, 0),
        Taken::Expired,
        "unknown epoch"
    );
    assert_eq!(labels.expired(), 1);
}

#[test]
fn small_cells_are_joined_and_the_last_run_of_an_epoch_may_be_smaller() {
    let mut labels = labels(5_000);
    for second in 100..103 {
        for _ in 0..8 {
            labels.label(1, second, 103_000, false, 1_000_000);
        }
    }
    labels.label(1, 103, 103_000, true, 1_000_000);
    labels.begin(2, 104_000);
    let slices = labels.seal(110, 109_000);
    assert_eq!(slices.len(), 1);
    assert_eq!(
        (
            slices[0].first_second,
            slices[0].seconds,
            slices[0].stable_labels
        ),
        (100, 3.0, 24)
    );
    let rest = labels.seal(110, 110_000);
    assert_eq!((rest.len(), rest[0].canary_labels), (1, 1));
}

#[test]
fn labels_that_never_come_do_not_pile_up() {
    let mut labels = labels(5_000);
    let mut slices = 0;
    for second in 100..20_000u64 {
        labels.assigned(1, second, (second + 1) * 1000, 10, 90);
        slices += labels.seal(second, (second + 1) * 1000).len();
        assert!(labels.pending().len() <= 8, "{}", labels.pending().len());
    }
    assert_eq!(slices, 0);
    labels.begin(2, 20_000_000);
    labels.seal(20_000, 20_006_000);
    assert_eq!(labels.pending().len(), 1, "the old epoch is over");
}

#[test]
fn a_label_after_its_window_is_late_even_if_nothing_sealed_its_cell() {
    let mut labels = labels(5_000);
    assert_eq!(labels.label(1, 100, 105_999, true, 0), Taken::Joined);
    assert_eq!(labels.label(1, 100, 106_000, true, 0), Taken::Expired);
}

#[test]
fn clocks_far_ahead_seal_nothing_and_fill_nothing() {
    let mut labels = labels(5_000);
    for second in [u64::MAX, u64::MAX / 1000, 1 << 40, 200] {
        labels.assigned(1, second, 100_000, 1, 1);
        assert_eq!(labels.label(1, second, 100_000, true, 0), Taken::Expired);
    }
    assert!(labels.seal(200, 100_000).is_empty());
    assert_eq!(labels.pending().len(), 1);
    assert_eq!(labels.label(1, 100, 100_000, true, 0), Taken::Joined);
}

proptest! {
    #[test]
    fn restoring_changes_nothing(at in prop::collection::vec((1u64..3, 100u64..120, any::<bool>(), 0u32..=1_000_000), 0..80), cut in 100_000u64..130_000) {
        let mut live = Labels::new(0, 5_000);
        live.begin(1, 0);
        live.begin(2, 110_000);
        let mut restored = live.clone();
        for (epoch, second, canary, value) in at {
            prop_assert_eq!(live.label(epoch, second, 100_000, canary, value), restored.label(epoch, second, 100_000, canary, value));
            live.seal(0, cut);
            restored.seal(0, cut);
            let mut fresh = Labels::new(0, 5_000);
            fresh.begin(1, 0);
            fresh.begin(2, 110_000);
            fresh.restore(&restored.pending());
            // An engine looks once before it takes anything: epochs that were over are over again.
            prop_assert!(fresh.seal(0, cut).is_empty());
            restored = fresh;
        }
        prop_assert_eq!(live.seal(0, 200_000), restored.seal(0, 200_000));
    }
}
