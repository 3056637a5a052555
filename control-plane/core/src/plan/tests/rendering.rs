use super::super::{parse, to_yaml};
use super::completed;

#[test]
fn what_is_written_reads_like_the_product() {
    let text = to_yaml(&completed(
        "steps: [{split: {v2: 0.1, v1: 0.9}, min_duration: 90s}]\nbake: {duration: 30m, holdback: 0}",
    ));
    assert!(
        text.starts_with("model: m\nstable: {name: v1, endpoints: [http://h:1]}\n"),
        "{text}"
    );
    assert!(
        text.contains("\n  - {split: {v1: 0.9, v2: 0.1}, min_duration: 1m30s}\n"),
        "{text}"
    );
    assert!(
        text.contains("\nbake: {duration: 30m, holdback: 0.0}\n"),
        "{text}"
    );
}

#[test]
fn awkward_text_survives() {
    let mut plan = completed("");
    for salt in [
        "null",
        "yes",
        "a: b",
        "7",
        "é\u{7}\u{10FFFF}",
        "\"\\",
        "#x",
        " ",
        "a:",
        "\u{feff}x",
    ] {
        plan.bucketing.as_mut().unwrap().salt = salt.into();
        assert_eq!(parse(&to_yaml(&plan)), Ok(plan.clone()), "{salt:?}");
    }
}
