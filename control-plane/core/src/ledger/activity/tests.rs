use super::*;
use serinus_common::class::Class;

fn pair(canary: u64, stable: u64) -> Pair {
    let mut pair = Pair::default();
    pair.canary.classes[Class::Ok as usize] = canary;
    pair.canary.assigned = canary;
    pair.stable.classes[Class::Ok as usize] = stable;
    pair
}

#[test]
fn rates_are_of_the_last_ten_seconds() {
    let mut activity = Activity::default();
    for second in 100..130 {
        activity.absorb(1, second, second + 1, &pair(10, 90));
    }
    activity.close(130);
    let traffic = activity.traffic(7);
    assert_eq!(
        (traffic.requests_per_second, traffic.canary_per_second),
        (100.0, 10.0)
    );
    assert_eq!(
        (
            traffic.canary_requests,
            traffic.stable_requests,
            traffic.exposed_users
        ),
        (300, 2700, 7)
    );
    assert_eq!(activity.since_epoch(1).canary.judged, 300);
    assert_eq!(activity.since_epoch(2), EpochTotals::default());
}

#[test]
fn streams_and_tokens_are_summed_by_variant() {
    let mut activity = Activity::default();
    let mut pair = pair(3, 4);
    pair.canary.contents.streams = 3;
    pair.canary.contents.failed_streams = 2;
    pair.canary.contents.output_tokens = 70;
    pair.stable.contents.streams = 4;
    pair.stable.contents.output_tokens = 90;
    for second in 100..102 {
        activity.absorb(1, second, second, &pair);
    }
    let totals = activity.totals();
    assert_eq!((totals.canary_streams, totals.stable_streams), (6, 8));
    assert_eq!(
        (totals.canary_failed_streams, totals.stable_failed_streams),
        (4, 0)
    );
    assert_eq!(
        (totals.canary_output_tokens, totals.stable_output_tokens),
        (140, 180)
    );
}

#[test]
fn silence_is_measured_against_the_usual_rate() {
    let mut activity = Activity::default();
    activity.begin(1, 1);
    assert_eq!(
        activity.expected_canary(0.1, 0, 1_000, false),
        0.0,
        "nothing is expected of a model without traffic"
    );
    for second in 100..120 {
        activity.absorb(1, second, second, &pair(10, 90));
    }
    activity.close(120);
    let expected = |since, now| activity.expected_canary(0.1, since, now, false);
    assert_eq!(expected(0, 122), 0.0, "reports may be on their way");
    assert!((expected(0, 132) - 100.0).abs() < 1e-9);
    assert!((expected(127, 132) - 20.0).abs() < 1e-9);
}

#[test]
fn what_comes_counts_by_what_came() {
    let mut activity = Activity::default();
    activity.begin(1, 1);
    for second in 100..200 {
        activity.absorb(1, second, second, &pair(100, 900));
        activity.close(second);
    }
    // Traffic falls to a hundredth: a few seconds without the canary are chance.
    for second in 200..210 {
        activity.absorb(1, second, second, &pair(0, 10));
        assert!(activity.expected_canary(0.1, 0, second, false) <= 10.0);
    }
    // As before, but all of it to stable.
    activity.absorb(1, 210, 210, &pair(0, 1000));
    assert!(activity.expected_canary(0.1, 0, 210, false) > 100.0);
    activity.absorb(1, 211, 211, &pair(1, 9));
    assert_eq!(activity.expected_canary(0.1, 0, 211, false), 0.0);
}

#[test]
fn a_wrong_clock_is_no_silence() {
    for skew in [-86_400, -10, 10, 86_400] {
        let mut activity = Activity::default();
        activity.begin(1, 1);
        for now in 200_000..200_020u64 {
            let second = now.saturating_add_signed(skew);
            activity.absorb(1, second, now, &pair(10, 90));
            activity.close(second + 1);
        }
        assert_eq!(activity.expected_canary(0.1, 0, 200_021, false), 0.0);
        assert!(activity.expected_canary(0.1, 0, 200_042, false) > 100.0);
    }
}

#[test]
fn a_restart_forgets_nothing_and_is_no_sign_of_life() {
    let mut before = Activity::default();
    before.begin(3, 3);
    for second in 100..120 {
        before.absorb(3, second, second, &pair(10, 90));
    }
    before.close(120);
    let mut after = Activity::default();
    after.begin(3, 3);
    after.restore(&before.to_stored());
    after.listen(500);
    assert_eq!(after.to_stored(), before.to_stored());
    assert_eq!(after.since_epoch(3), before.since_epoch(3));
    assert_eq!(after.expected_canary(0.1, 0, 500, false), 0.0);
    assert!(after.expected_canary(0.1, 0, 500, true) > 20.0);
    assert!(after.expected_canary(0.1, 0, 510, false) > 20.0);
}

#[test]
fn epochs_before_the_step_are_forgotten_and_those_within_it_summed() {
    let mut activity = Activity::default();
    for epoch in 1..100 {
        activity.absorb(epoch, 100, 100, &pair(1, 2));
    }
    activity.begin(10, 99);
    assert_eq!(activity.to_stored().epochs.len(), 2);
    assert_eq!(activity.since_epoch(10).canary.judged, 90);
    assert_eq!(activity.since_epoch(99).canary.judged, 1);
    activity.begin(99, 99);
    assert_eq!(activity.since_epoch(0).stable.judged, 2);
}
