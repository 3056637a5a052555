use super::{completed, mistake, mistakes, with};

#[test]
fn freezes_are_read_and_filled_in() {
    let plan = completed(
        "freeze: [{cron: \"0 18 * * FRI\", duration: 62h, time_zone: Europe/Berlin}, {cron: \"0 0 24 12 *\", duration: 72h}]",
    );
    let zones: Vec<&str> = plan.freeze.iter().map(|of| of.time_zone.as_str()).collect();
    assert_eq!(zones, ["Europe/Berlin", "UTC"]);
    assert_eq!(plan.freeze[0].cron, "0 18 * * FRI");
}

#[test]
fn each_mistake_of_a_freeze_is_named() {
    assert_eq!(
        mistakes(&with(
            "freeze: [{cron: \"0 18 * * FRY\", duration: 62h}, {cron: \"0 18 * * FRI\", duration: 1h, time_zone: Europe/Berln}, {cron: \"0 18 * * FRI\"}]"
        )),
        [
            "freeze[0].cron: weekday: \"FRY\" is no number from 0 to 7 or SUN to SAT",
            "freeze[1].time_zone: Europe/Berln is no known time zone; did you mean Europe/Berlin?",
            "freeze[2].duration: missing; write it with a unit, such as 500ms, 60s, 1h30m or 7d",
        ]
    );
    assert!(mistake("freeze: [{cron: \"0 0 1 1 *\", duration: 100d}]").contains("longer than 92d"));
    assert_eq!(
        mistake("freeze: [{cron: \"0 0 * * *\", duration: 24h}]"),
        "freeze: freezes always, so that nothing could ever move; write shorter windows"
    );
    assert!(
        mistake("freeze: [{cron: \"0 0 1 1 *\", duration: 1h, zone: UTC}]")
            .contains("unknown field zone")
    );
}
