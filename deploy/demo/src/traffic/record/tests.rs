//! Counting and flips.

use std::sync::{Arc, Mutex};

use super::*;

/// A user's request at target 0, sent and ended at these milliseconds, answered with 200 by `variant`.
fn answered(start: Instant, user: u32, at_ms: (u64, u64), variant: &str) -> Ended<'_> {
    Ended {
        user: Some(user),
        target: 0,
        sent: start + Duration::from_millis(at_ms.0),
        ended: start + Duration::from_millis(at_ms.1),
        result: Ok(Answered {
            status: 200,
            variant: Some(variant),
            right: None,
        }),
    }
}

#[test]
fn requests_errors_users_and_truths_are_counted_by_variant() {
    let start = Instant::now();
    let mut recorder = Recorder::new(2, None);
    for (user, right) in [(1, true), (2, false), (2, true)] {
        let mut seen = answered(start, user, (0, 10), "v2");
        seen.result = Ok(Answered {
            status: 200,
            variant: Some("v2"),
            right: Some(right),
        });
        recorder.record(&seen);
    }
    let failed = |result| Ended {
        target: 1,
        result,
        ..answered(start, 3, (0, 1), "v2")
    };
    recorder.record(&failed(Ok(Answered {
        status: 503,
        variant: None,
        right: None,
    })));
    recorder.record(&failed(Err("cut".to_owned())));

    let stats = recorder.stats();
    let v2 = stats.variant("v2");
    assert_eq!((v2.requests, v2.errors, v2.exposed_users), (3, 0, 2));
    assert_eq!(
        (v2.judged, v2.right, v2.latency.count, v2.latency.max_ms),
        (3, 2, 3, 10.0)
    );
    let unknown = stats.variant(UNKNOWN_VARIANT);
    assert_eq!(
        (unknown.requests, unknown.errors, unknown.exposed_users),
        (2, 2, 1)
    );
    assert_eq!(
        (stats.ended, stats.errors, stats.transport_errors),
        (5, 2, 1)
    );
    assert_eq!(stats.last_transport_error.as_deref(), Some("cut"));
    assert_eq!(stats.statuses, BTreeMap::from([(200, 3), (503, 1)]));
    let [first, second] = stats.targets.as_slice() else {
        panic!("{stats:?}")
    };
    assert_eq!(
        (first.requests, first.errors, second.requests, second.errors),
        (3, 0, 2, 2)
    );
}

#[test]
fn a_user_who_goes_back_is_a_flip_and_another_user_is_not() {
    let start = Instant::now();
    let mut recorder = Recorder::new(1, None);
    for seen in [
        answered(start, 1, (0, 5), "v1"),
        answered(start, 1, (10, 15), "v2"),
        answered(start, 2, (16, 17), "v1"),
        answered(start, 1, (20, 25), "v2"),
        answered(start, 1, (30, 35), "v1"),
    ] {
        recorder.record(&seen);
    }
    let stats = recorder.stats();
    assert_eq!((stats.flips("v2", "v1"), stats.flips("v1", "v2")), (1, 1));
}

#[test]
fn overlapping_requests_other_targets_and_errors_are_no_flips() {
    let start = Instant::now();
    let mut recorder = Recorder::new(2, None);
    recorder.record(&answered(start, 1, (10, 20), "v2"));
    recorder.record(&answered(start, 1, (5, 30), "v1"));
    recorder.record(&Ended {
        target: 1,
        ..answered(start, 1, (40, 41), "v1")
    });
    let nobody = Ok(Answered {
        status: 503,
        variant: None,
        right: None,
    });
    recorder.record(&Ended {
        result: nobody,
        ..answered(start, 1, (50, 51), "v1")
    });
    recorder.record(&answered(start, 1, (60, 61), "v2"));
    assert_eq!(recorder.stats().moves, []);
}

#[test]
fn the_observer_is_told_who_answered_before() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let observed = log.clone();
    let observer: Observer = Box::new(move |seen| {
        let previous = seen.previous.map(str::to_owned);
        observed
            .lock()
            .unwrap()
            .push((seen.user, seen.variant.to_owned(), previous));
    });
    let start = Instant::now();
    let mut recorder = Recorder::new(1, Some(observer));
    recorder.record(&answered(start, 7, (0, 1), "v2"));
    recorder.record(&answered(start, 7, (2, 3), "v1"));
    let seen = |variant: &str, previous: Option<&str>| {
        (Some(7), variant.to_owned(), previous.map(str::to_owned))
    };
    assert_eq!(
        *log.lock().unwrap(),
        [seen("v2", None), seen("v1", Some("v2"))]
    );
}
