use super::*;
use proptest::prelude::*;
use serinus_common::class::Class;
use serinus_evidence::{Engine, Guardrail, Metric};

fn counts(ok: u64, model: u64, cancelled: u64, bucket: u16) -> Counts {
    let mut counts = Counts::default();
    counts.classes[Class::Ok as usize] = ok;
    counts.classes[Class::Model as usize] = model;
    counts.classes[Class::Cancelled as usize] = cancelled;
    counts.latency.add(bucket, ok + model);
    counts
}

fn settings() -> Settings {
    Settings::new(vec![Guardrail {
        metric: Metric::ErrorRate { margin: 0.01 },
        on_breach: serinus_evidence::Action::Rollback,
        weight: None,
        required: true,
    }])
}

#[test]
fn sidecars_are_summed_and_gaps_are_seconds_without_requests() {
    let mut history = History::default();
    history.absorb(1_000, 1_001, &counts(0, 0, 5, 300), 0);
    for source in 1..=2 {
        history.absorb(1_003, 1_004, &counts(8, source, 3, 300), 0);
    }
    history.absorb(1_005, 1_006, &counts(1, 0, 0, 301), 0);
    // A report of second 1,007 may be under way.
    history.absorb(1_007, 1_008, &counts(9, 0, 0, 301), 0);
    let frozen = history.freeze(1_008).unwrap();
    assert_eq!(frozen.requests, [19, 0, 1, 0]);
    assert_eq!(frozen.errors, [3, 0, 0, 0]);
    let with = begin_with(settings(), Some(&frozen));
    let baseline = with.baseline.unwrap();
    assert_eq!((baseline.requests, baseline.errors), (20, 3));
    // Latencies are kept by ten seconds, the newest one among them.
    assert_eq!(baseline.latency, [(300, 19), (301, 10)]);
    assert_eq!(with.stable_history[0], Events { x: 3, n: 19 });
}

#[test]
fn twenty_minutes_are_kept_and_one_of_them_is_the_baseline() {
    let mut history = History::default();
    for second in 0..3_000u64 {
        let bucket = if second < 2_900 { 100 } else { 200 };
        history.absorb(second, second + 1, &counts(10, 1, 0, bucket), 4);
    }
    let frozen = history.freeze(3_001).unwrap();
    assert_eq!(frozen.requests.len(), SECONDS as usize);
    let with = begin_with(settings(), Some(&frozen));
    let baseline = with.baseline.clone().unwrap();
    assert_eq!((baseline.requests, baseline.errors), (660, 60));
    assert_eq!(baseline.latency, [(200, 660)]);
    assert_eq!(history.rate(3_001), Some(15.0));
    Engine::new(with).unwrap();
    let timed = history.latencies.len();
    assert!(timed <= 8, "older latencies are forgotten");
    assert!(!history.is_over(3_100) && history.is_over(4_300));
}

#[test]
fn a_rate_needs_ten_seconds_and_silence_lowers_it() {
    let mut history = History::default();
    assert_eq!((history.rate(50), history.freeze(50)), (None, None));
    for second in 100..110u64 {
        assert_eq!(history.rate(second + 1), None);
        history.absorb(second, second + 1, &counts(20, 0, 0, 9), 0);
    }
    assert_eq!(history.rate(111), Some(20.0));
    assert_eq!(history.rate(131), Some(200.0 / 30.0));
    assert_eq!(history.rate(200), None, "nothing came for a minute");
    let quiet = begin_with(settings(), history.freeze(200).as_ref());
    assert!(quiet.baseline.is_none() && quiet.stable_history.len() == 99);
}

#[test]
fn of_another_stable_nothing_is_known_but_the_traffic() {
    let mut history = History::default();
    for second in 0..30u64 {
        history.absorb(second, second + 1, &counts(20, 5, 0, 9), 10);
    }
    history.begin_anew();
    assert_eq!((history.freeze(31), history.rate(31)), (None, Some(35.0)));
    history.absorb(31, 32, &counts(35, 0, 0, 9), 0);
    let frozen = history.freeze(33).unwrap();
    assert_eq!((frozen.requests, frozen.errors), (vec![35], vec![0]));
    assert_eq!(frozen.latency.unwrap().counts, [35]);
}

#[test]
fn a_clock_that_is_ahead_or_far_behind_changes_nothing_else() {
    let mut history = History::default();
    history.absorb(5_000, 5_001, &counts(1, 0, 0, 9), 0);
    history.absorb(99_999, 5_001, &counts(1, 0, 0, 9), 0);
    history.absorb(1, 5_001, &counts(1, 0, 0, 9), 0);
    assert_eq!(history.freeze(5_003).unwrap().requests, [1, 1]);
}

#[test]
fn counts_that_cannot_be_true_are_no_knowledge() {
    let mut history = History::default();
    for _ in 0..4 {
        history.absorb(10, 11, &counts(1 << 31, 0, 0, 9), 0);
    }
    assert_eq!(history.freeze(12), None);
    assert_eq!(begin_with(settings(), None), settings());
}

proptest! {
    /// Whatever is frozen, an engine starts from it, and it survives the disk.
    #[test]
    fn an_engine_starts_from_whatever_was_counted(
        cells in prop::collection::vec((0u64..2_000, 0u64..1_000_000_000, 0u64..5, 0u16..1_120), 0..60),
        now in 0u64..2_500,
    ) {
        let mut history = History::default();
        for (second, ok, model, bucket) in cells {
            history.absorb(second, now, &counts(ok, model, 0, bucket), ok);
        }
        let frozen = history.freeze(now);
        let with = begin_with(settings(), frozen.as_ref());
        prop_assert!(with.stable_history.len() <= SECONDS as usize);
        prop_assert!(with.stable_history.first().is_none_or(|first| first.n > 0));
        prop_assert!(Engine::new(with).is_ok());
        if let Some(frozen) = frozen {
            let bytes = prost::Message::encode_to_vec(&frozen);
            let back = <stored::StableHistory as prost::Message>::decode(bytes.as_slice());
            prop_assert_eq!(back.unwrap(), frozen);
        }
    }
}
