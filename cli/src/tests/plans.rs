//! `plan check` on files.

use super::*;
use std::io::Write as _;

const GOOD: &str = "
model: recommender
stable: {name: v1, endpoints: [http://127.0.0.1:9001]}
canary: {name: v2, endpoints: [http://127.0.0.1:9002]}
steps:
  - {split: {v2: 0.05, v1: 0.95}}
  - {split: {v2: 1.0}}
";

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_split(split: &str) -> tempfile::NamedTempFile {
    file(&GOOD.replace("{v2: 0.05, v1: 0.95}", split))
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[tokio::test]
async fn a_good_plan_is_ok() {
    let good = file(GOOD);
    let ran = serinus_with(&["plan", "check", path(&good)], "").await;
    assert_eq!(
        (ran.exit, ran.out),
        (Exit::Ok, format!("{}: ok\n", path(&good)))
    );
    let ran = serinus_with(&["plan", "check", "-"], GOOD).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "-: ok\n"));
}

#[tokio::test]
async fn all_mistakes_of_each_file_come_with_their_paths() {
    let bad = [
        with_split("{v2: 10, v1: 90}"),
        with_split("{v2: \"10%\", v1: \"90%\"}"),
        with_split("{v2: 0.6, v1: 0.5}"),
        with_split("{v3: 0.05, v1: 0.95}"),
    ];
    let good = file(GOOD);
    let mut args = vec!["plan", "check", path(&good)];
    args.extend(bad.iter().map(path));
    let ran = serinus_with(&args, "").await;
    assert_eq!(ran.exit, Exit::BadInput, "{ran:?}");
    let of = |file: &tempfile::NamedTempFile| {
        let head = format!("{}: ", path(file));
        ran.out
            .lines()
            .filter_map(|line| line.strip_prefix(&head))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&good), ["ok"]);
    for file in &bad {
        assert!(
            of(file)
                .iter()
                .any(|line| line.starts_with("steps[0].split")),
            "{:?}",
            of(file)
        );
    }
    assert!(of(&bad[0]).len() >= 2, "{:?}", of(&bad[0]));
    assert!(of(&bad[1]).len() >= 2, "{:?}", of(&bad[1]));
}

#[tokio::test]
async fn json_has_violations_per_file() {
    let bad = with_split("{v2: 10, v1: 90}");
    let good = file(GOOD);
    let ran = serinus_with(
        &["plan", "check", path(&good), path(&bad), "-o", "json"],
        "",
    )
    .await;
    assert_eq!(ran.exit, Exit::BadInput);
    let json = ran.json();
    assert_eq!(json[0]["ok"], true);
    assert_eq!(json[0]["plan"]["model"], "recommender");
    assert_eq!(json[0]["violations"], Value::Array(vec![]));
    assert_eq!(json[1]["ok"], false);
    assert_eq!(json[1]["file"], path(&bad));
    let violations = json[1]["violations"].as_array().unwrap();
    assert!(
        violations.iter().any(|v| v["path"] == "steps[0].split.v2"),
        "{json}"
    );
}

#[tokio::test]
async fn what_is_no_plan_file_is_told_apart() {
    let ran = serinus_with(&["plan", "check", "/does/not/exist.yaml"], "").await;
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(ran.error.contains("read /does/not/exist.yaml"), "{ran:?}");
    let huge = "x".repeat((1 << 20) + 1);
    let ran = serinus_with(&["plan", "check", "-"], &huge).await;
    assert!(ran.error.contains("larger than 1 MiB"), "{ran:?}");
    let ran = serinus_with(&["plan", "check", "-"], "{").await;
    assert_eq!(ran.exit, Exit::BadInput, "{ran:?}");
}

#[tokio::test]
async fn what_an_automatic_ramp_would_do_is_told() {
    let steps = GOOD.find("steps:").unwrap();
    let auto = file(&format!("{}ramp: auto\n", &GOOD[..steps]));
    let ran = serinus_with(&["plan", "check", path(&auto)], "").await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    assert!(
        ran.out
            .starts_with(&format!("{}: ok\n  ramp: begins at ", path(&auto))),
        "{ran:?}"
    );
    assert!(ran.out.contains("then 10% (tolerance 5), "), "{ran:?}");
}
