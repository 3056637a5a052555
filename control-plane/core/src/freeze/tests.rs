use super::*;
use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn freeze(cron: &str, hours: i64, zone: &str) -> v1::Freeze {
    v1::Freeze {
        cron: cron.to_owned(),
        duration: Some(prost_types::Duration {
            seconds: hours * 3600,
            nanos: 0,
        }),
        time_zone: zone.to_owned(),
    }
}

fn freezes(all: &[v1::Freeze]) -> Freezes {
    Freezes::of(&v1::Plan {
        freeze: all.to_vec(),
        ..v1::Plan::default()
    })
}

/// Unix milliseconds of a moment written in UTC.
fn ms(text: &str) -> u64 {
    let at: Timestamp = text.parse().unwrap();
    u64::try_from(at.as_millisecond()).unwrap()
}

#[test]
fn a_weekend_is_frozen_from_friday_evening_to_monday_morning() {
    let mut of = freezes(&[freeze("0 18 * * FRI", 62, "Europe/Berlin")]);
    let friday = ms("2026-12-04T17:00:00Z");
    let monday = ms("2026-12-07T07:00:00Z");
    assert_eq!(
        of.at(friday - 1),
        Freezing {
            until_ms: None,
            changes_ms: Some(friday)
        }
    );
    assert_eq!(of.until(friday - 1), None);
    assert_eq!(of.until(friday), Some(monday));
    assert_eq!(of.until(monday - 1), Some(monday));
    assert_eq!(of.until(monday), None);
    assert_eq!(
        of.until(friday + 1),
        Some(monday),
        "a clock that was set back"
    );
}

#[test]
fn elapsed_time_counts_over_a_weekend_in_which_clocks_change() {
    let of = freezes(&[freeze("0 18 * * FRI", 62, "Europe/Berlin")]);
    // Summer time ends on Sunday the 25th of October 2026, and begins on the 29th of March 2026.
    let autumn = of.at(ms("2026-10-24T12:00:00Z")).until_ms;
    assert_eq!(
        autumn,
        Some(ms("2026-10-26T06:00:00Z")),
        "07:00 by the clock"
    );
    let spring = of.at(ms("2026-03-28T12:00:00Z")).until_ms;
    assert_eq!(
        spring,
        Some(ms("2026-03-30T07:00:00Z")),
        "09:00 by the clock"
    );
}

#[test]
fn a_time_that_is_skipped_begins_where_the_clock_skips_it() {
    let of = freezes(&[freeze("30 2 * * *", 1, "Europe/Berlin")]);
    let skipped = ms("2026-03-29T01:00:00Z");
    assert_eq!(of.at(skipped - 1).until_ms, None);
    assert_eq!(of.at(skipped).until_ms, Some(skipped + HOUR));
}

#[test]
fn a_time_that_comes_twice_begins_twice() {
    let of = freezes(&[freeze("30 2 * * *", 1, "Europe/Berlin")]);
    let first = ms("2026-10-25T00:30:00Z");
    assert_eq!(of.at(first - 1).until_ms, None);
    // The second window begins when the first one ends.
    assert_eq!(of.at(first).until_ms, Some(first + 2 * HOUR));
    let midnight = freezes(&[freeze("30 0 * * *", 1, "America/Havana")]);
    let first = ms("2026-11-01T04:30:00Z");
    assert_eq!(midnight.at(first).until_ms, Some(first + 2 * HOUR));
}

#[test]
fn windows_that_follow_each_other_are_one() {
    let friday = ms("2026-12-04T17:00:00Z");
    let of = freezes(&[
        freeze("0 18 * * FRI", 24, "Europe/Berlin"),
        freeze("0 12 * * SAT", 30, "Europe/Berlin"),
    ]);
    assert_eq!(of.at(friday).until_ms, Some(ms("2026-12-06T17:00:00Z")));
}

#[test]
fn what_cannot_be_read_freezes() {
    let mut of = freezes(&[freeze("0 18 * * FRI", 1, "Atlantis/Capital")]);
    let now = ms("2026-12-02T12:10:00Z");
    assert_eq!(of.until(now), Some(ms("2026-12-02T13:00:00Z")));
    assert_eq!(of.until(now + HOUR), Some(ms("2026-12-02T14:00:00Z")));
}

#[test]
fn zones_are_known_or_guessed_at() {
    let wrong = |zone: &str| {
        let wrong = check(&freeze("0 18 * * FRI", 1, zone)).err().unwrap();
        (wrong.field, wrong.message)
    };
    assert!(check(&freeze("0 18 * * FRI", 1, "UTC")).is_ok());
    assert!(check(&freeze("0 18 * * FRI", 1, "Asia/Kolkata")).is_ok());
    assert_eq!(
        wrong("Europe/Belrin"),
        (
            "time_zone",
            "Europe/Belrin is no known time zone; did you mean Europe/Berlin?".to_owned()
        )
    );
    assert!(
        wrong("Berlin time")
            .1
            .contains("such as Europe/Berlin or UTC")
    );
    let never = check(&freeze("0 0 30 2 *", 1, "UTC")).err().unwrap();
    assert_eq!(never.message, "never comes: there is no such day");
    assert!(check(&freeze("0 0 29 2 *", 1, "UTC")).is_ok());
}

#[test]
fn a_plan_must_leave_some_time() {
    assert!(leave_time(&[freeze("0 18 * * *", 23, "UTC")]));
    assert!(!leave_time(&[freeze("0 18 * * *", 24, "UTC")]));
    assert!(leave_time(&[freeze("0 0 * 1-11 *", 24, "UTC")]));
}

#[test]
fn the_outlook_names_the_next_window() {
    let plan = v1::Plan {
        freeze: vec![freeze("0 18 * * FRI", 62, "Europe/Berlin")],
        ..v1::Plan::default()
    };
    assert_eq!(
        outlook(&plan, ms("2026-12-02T12:00:00Z")),
        ["freeze: next from 2026-12-04 17:00 UTC until 2026-12-07 07:00 UTC (Europe/Berlin)"]
    );
    assert_eq!(
        outlook(&plan, ms("2026-12-05T12:00:00Z")),
        ["freeze: now, until 2026-12-07 07:00 UTC"]
    );
}

/// Whether a minute is in a window, told by looking at every minute before it, in which some local clock shows the
/// beginning, or skips it.
fn by_hand(of: &v1::Freeze, zone: &TimeZone, at_ms: u64) -> bool {
    let cron = Cron::parse(&of.cron).unwrap();
    let minutes = std_duration(of.duration.as_ref()).as_secs() / 60;
    let local = |ms: u64| -> DateTime {
        let at = Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap();
        zone.to_datetime(at)
    };
    let shows = |clock: DateTime| cron.is_on(clock.date()) && cron.times().contains(&clock.time());
    (0..minutes).any(|back| {
        let ms = at_ms - back * MINUTE;
        let (now, before) = (local(ms), local(ms - MINUTE));
        if shows(now) {
            return true;
        }
        // The clock was set forward between the two.
        let mut skipped = before.saturating_add(jiff::Span::new().minutes(1));
        while skipped < now {
            if shows(skipped) {
                return true;
            }
            skipped = skipped.saturating_add(jiff::Span::new().minutes(1));
        }
        false
    })
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Havana",
        "Asia/Kathmandu",
        "Pacific/Apia",
    ])
}

/// Days around which clocks change somewhere, and one on which none does.
fn days() -> impl Strategy<Value = jiff::civil::Date> {
    prop::sample::select(vec![
        date(2026, 3, 8),
        date(2026, 3, 29),
        date(2026, 4, 5),
        date(2026, 7, 1),
        date(2026, 10, 4),
        date(2026, 10, 25),
        date(2026, 11, 1),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The same as looking at the clock every minute.
    #[test]
    fn it_is_frozen_exactly_while_a_window_is_open(
        zone in zones(),
        day in days(),
        minute in 0u64..60,
        hour in 0u64..24,
        lasts in 1i64..5,
        offset in 0u64..(36 * 60),
    ) {
        let of = freeze(&format!("{minute} {hour} * * *"), lasts, zone);
        let start = day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond();
        let now_ms = u64::try_from(start).unwrap() - 12 * HOUR + offset * MINUTE;
        let found = freezes(std::slice::from_ref(&of)).at(now_ms);
        let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
        prop_assert_eq!(found.until_ms.is_some(), by_hand(&of, &tz, now_ms));
        // And what it promises holds: nothing changes before that, and something does then.
        let changes_ms = found.changes_ms.unwrap();
        prop_assert_eq!(by_hand(&of, &tz, changes_ms - MINUTE), found.until_ms.is_some());
        prop_assert_ne!(by_hand(&of, &tz, changes_ms), found.until_ms.is_some());
    }

    /// What is remembered is what would be computed.
    #[test]
    fn asked_again_it_answers_the_same(steps in prop::collection::vec(0u64..(20 * 60), 1..60)) {
        let mut of = freezes(&[
            freeze("0 18 * * FRI", 62, "Europe/Berlin"),
            freeze("15 3 * * *", 2, "America/New_York"),
        ]);
        let mut now_ms = ms("2026-10-20T00:00:00Z");
        for minutes in steps {
            now_ms += minutes * MINUTE;
            prop_assert_eq!(of.until(now_ms), of.at(now_ms).until_ms);
        }
    }
}
