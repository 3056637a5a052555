//! Commands that only look.

use super::*;
use crate::view::fixture;
use serinus_proto::v1::{self, Cause, State, event::Kind};
use std::io::Write as _;

fn event(revision: u64, kind: Kind) -> v1::Event {
    v1::Event {
        revision,
        kind: Some(kind),
        ..fixture::event()
    }
}

fn decided(revision: u64, sentence: &str) -> v1::Event {
    let decision = v1::Decision {
        kind: v1::DecisionKind::Advance.into(),
        sentence: sentence.into(),
        ..fixture::rollout().decision.unwrap()
    };
    event(
        revision,
        Kind::DecisionMade(v1::DecisionMade {
            decision: Some(decision),
        }),
    )
}

fn split_changed(revision: u64, end: u32) -> v1::Event {
    let shares = vec![v1::Share {
        variant: "v2".into(),
        ppm: end,
        ranges: vec![v1::BucketRange { start: 0, end }],
    }];
    event(
        revision,
        Kind::SplitChanged(v1::SplitChanged {
            epoch: revision,
            split: Default::default(),
            shares,
            ..v1::SplitChanged::default()
        }),
    )
}

fn rolled_back(revision: u64, decision: Option<v1::Decision>) -> v1::Event {
    event(
        revision,
        Kind::RolledBack(v1::RolledBack {
            cause: Cause::Operator.into(),
            variants: vec!["v2".into()],
            decision,
        }),
    )
}

#[tokio::test]
async fn get_shows_the_screen_and_the_same_as_json_and_yaml() {
    let fake = Fake::start().await;
    let ran = serinus(&fake, &["rollout", "get", "r-1"]).await;
    assert!(
        ran.out
            .contains("\nerror rate    0.48%    0.52%    +0.04pp"),
        "{ran:?}"
    );
    let json = serinus(&fake, &["rollout", "get", "r-1", "-o", "json"])
        .await
        .json();
    assert_eq!(json["decision"]["guardrails"][0]["verdict"], "SAFE");
    let yaml = serinus(&fake, &["rollout", "get", "r-1", "-o", "yaml"])
        .await
        .out;
    let back: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(back, json);
}

#[tokio::test]
async fn what_is_not_there_points_to_the_lists() {
    let fake = Fake::start().await;
    let ran = serinus(&fake, &["rollout", "get", "nothing"]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(
        ran.error
            .starts_with("error: no rollout `nothing`\nhint: `serinus rollout list`"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn the_token_is_sent() {
    let fake = Fake::start().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "s3cret").unwrap();
    let path = file.path().to_str().unwrap();
    serinus(&fake, &["rollout", "get", "r-1", "--token-file", path]).await;
    assert_eq!(fake.world().tokens, ["Bearer s3cret"]);
}

#[tokio::test]
async fn lists_go_over_all_pages_up_to_the_limit() {
    let fake = Fake::start().await;
    let ran = serinus(&fake, &["rollout", "list"]).await;
    let rows: Vec<&str> = ran.out.lines().collect();
    assert_eq!(rows.len(), 3, "{ran:?}");
    assert_eq!(
        rows[1],
        "recommender  v1 -> v2  CANARY step 2/4  25.00%  2026-09-21T14:13:20.000Z  r-1"
    );
    assert!(rows[2].ends_with("r-0"));
    let ran = serinus(&fake, &["rollout", "list", "--limit", "1", "-o", "json"]).await;
    assert_eq!(ran.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn history_goes_over_all_pages() {
    let fake = Fake::start().await;
    fake.world().events = (1..=5).map(|revision| decided(revision, "on")).collect();
    let ran = serinus(&fake, &["rollout", "history", "recommender"]).await;
    assert_eq!(ran.out.lines().count(), 5, "{ran:?}");
    let ran = serinus(
        &fake,
        &["rollout", "history", "r-1", "--after", "3", "-o", "json"],
    )
    .await;
    let json = ran.json();
    assert_eq!(
        (json.as_array().unwrap().len(), &json[0]["revision"]),
        (2, &4.into())
    );
}

#[tokio::test]
async fn why_shows_the_present_assessment_while_it_runs() {
    let fake = Fake::start().await;
    fake.world().events = vec![decided(3, "the first step is safe")];
    let ran = serinus(&fake, &["rollout", "why", "recommender"]).await;
    assert!(ran.out.contains("present assessment"), "{ran:?}");
    assert!(ran.out.contains("accuracy   NEED_MORE"), "{ran:?}");
}

#[tokio::test]
async fn why_shows_the_decision_of_a_revision() {
    let fake = Fake::start().await;
    fake.world().events = vec![
        split_changed(2, 50_000),
        decided(3, "the first step is safe"),
    ];
    let ran = serinus(
        &fake,
        &[
            "rollout",
            "why",
            "recommender",
            "--revision",
            "3",
            "-o",
            "json",
        ],
    )
    .await;
    let json = ran.json();
    assert_eq!(json["revision"], 3);
    assert_eq!(json["decision"]["sentence"], "the first step is safe");
    let ran = serinus(&fake, &["rollout", "why", "recommender", "--revision", "2"]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(
        ran.error.contains("no decision is behind this event: 2 "),
        "{ran:?}"
    );
    let ran = serinus(&fake, &["rollout", "why", "recommender", "--revision", "9"]).await;
    assert!(ran.error.contains("no event with revision 9"), "{ran:?}");
}

#[tokio::test]
async fn why_of_an_ended_rollout_is_what_ended_it() {
    let fake = Fake::start().await;
    fake.world()
        .rollout
        .as_mut()
        .unwrap()
        .set_state(State::RolledBack);
    let decision = fixture::rollout().decision;
    fake.world().events = vec![
        decided(3, "on"),
        rolled_back(4, decision),
        decided(5, "late"),
    ];
    let ran = serinus(&fake, &["rollout", "why", "recommender", "-o", "json"]).await;
    assert_eq!(ran.json()["revision"], 4, "{ran:?}");
    fake.world().events = vec![decided(3, "on"), rolled_back(4, None)];
    let ran = serinus(&fake, &["rollout", "why", "recommender", "-o", "json"]).await;
    assert_eq!(ran.json()["revision"], 3, "{ran:?}");
    assert!(ran.notes.contains("on an operator's word: 4 "), "{ran:?}");
    fake.world().events.clear();
    fake.world().rollout.as_mut().unwrap().decision = None;
    let ran = serinus(&fake, &["rollout", "why", "recommender"]).await;
    assert!(ran.error.contains("nothing has been decided"), "{ran:?}");
}

#[tokio::test]
async fn why_of_a_verdict_shows_that_guardrail() {
    let fake = Fake::start().await;
    let evidence = fixture::rollout().decision.unwrap().guardrails[0].clone();
    let changed = v1::VerdictChanged {
        before: v1::Verdict::NeedMore.into(),
        evidence: Some(evidence),
    };
    fake.world().events = vec![event(6, Kind::VerdictChanged(changed))];
    let ran = serinus(&fake, &["rollout", "why", "recommender", "--revision", "6"]).await;
    assert!(
        ran.out
            .contains("revision 6: error rate: NEED_MORE -> SAFE"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("proof of safe log e 3.20 of 3.00"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn buckets_tell_the_variant_of_the_last_split() {
    let fake = Fake::start().await;
    fake.world().events = vec![
        split_changed(2, 50_000),
        decided(3, "on"),
        split_changed(4, 930_000),
    ];
    let args = [
        "bucket",
        "--model",
        "recommender",
        "--salt",
        "s",
        "--key",
        "user-1",
        "-o",
        "json",
    ];
    let json = serinus(&fake, &args).await.json();
    assert_eq!(
        json,
        serde_json::json!({"bucket": 929_407, "variant": "v2"})
    );
    fake.world().events.pop();
    assert_eq!(serinus(&fake, &args).await.json()["variant"], "v1");
}

#[tokio::test]
async fn buckets_use_the_rollouts_id_as_salt_and_stable_after_the_end() {
    let fake = Fake::start().await;
    fake.world()
        .rollout
        .as_mut()
        .unwrap()
        .set_state(State::Promoted);
    fake.world().model = Some(v1::Model {
        name: "recommender".into(),
        stable: Some(v1::Variant {
            name: "v2".into(),
            endpoints: vec![],
            ..Default::default()
        }),
        ..Default::default()
    });
    let with_model = [
        "bucket",
        "--model",
        "recommender",
        "--key",
        "ana",
        "-o",
        "json",
    ];
    let json = serinus(&fake, &with_model).await.json();
    let alone = serinus_with(
        &["bucket", "--salt", "r-1", "--key", "ana", "-o", "json"],
        "",
    )
    .await
    .json();
    assert_eq!(
        json,
        serde_json::json!({"bucket": alone["bucket"], "variant": "v2"})
    );
}

#[tokio::test]
async fn the_split_of_a_model_with_and_without_a_rollout() {
    let fake = Fake::start().await;
    let ran = serinus(&fake, &["split", "get", "recommender"]).await;
    assert_eq!(
        ran.out,
        "VARIANT  SHARE\nv1       75.00%\nv2       25.00%\n"
    );
    fake.world().rollout = None;
    fake.world().model = Some(v1::Model {
        name: "recommender".into(),
        stable: Some(v1::Variant {
            name: "v1".into(),
            endpoints: vec![],
            ..Default::default()
        }),
        ..Default::default()
    });
    let json = serinus(&fake, &["split", "get", "recommender", "-o", "json"])
        .await
        .json();
    assert_eq!(
        (&json["split"], &json["rollout"]),
        (&serde_json::json!({"v1": 1.0}), &Value::Null)
    );
}

#[tokio::test]
async fn sidecars_can_be_narrowed_to_a_model() {
    let fake = Fake::start().await;
    let sidecar = |name: &str, model: &str| v1::SidecarInfo {
        sidecar: name.into(),
        models: vec![v1::SidecarModel {
            model: model.into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    fake.world().sidecars = vec![sidecar("host-a", "m"), sidecar("host-b", "other")];
    // The fake sends them on a page each.
    let all = serinus(&fake, &["sidecars", "-o", "json"]).await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    fake.world().sidecars[1].labels = [("ring".into(), "0".into())].into();
    let ring = serinus(&fake, &["sidecars", "--label", "ring=0", "-o", "json"]).await;
    assert_eq!(ring.json()[0]["sidecar"], "host-b");
    let json = serinus(&fake, &["sidecars", "--model", "m", "-o", "json"])
        .await
        .json();
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(json[0]["sidecar"], "host-a");
}

#[tokio::test]
async fn a_quarantined_sidecar_is_released_by_name() {
    let fake = Fake::start().await;
    fake.world().sidecars = vec![v1::SidecarInfo {
        sidecar: "host-a".into(),
        quarantined: "its clock is off".into(),
        ..Default::default()
    }];
    let listed = serinus(&fake, &["sidecars", "-o", "json"]).await.json();
    assert_eq!(listed[0]["quarantined"], "its clock is off");
    let released = serinus(&fake, &["sidecars", "--release", "host-a", "-o", "json"]).await;
    assert_eq!(released.json()["quarantined"], "");
    let unknown = serinus(&fake, &["sidecars", "--release", "host-b"]).await;
    assert_ne!(unknown.exit, Exit::Ok);
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_ends_with_it() {
    let fake = Fake::start().await;
    fake.world().sidecars = vec![v1::SidecarInfo {
        sidecar: "host-a".into(),
        connected: true,
        quarantined: "its clock is off".into(),
        ..Default::default()
    }];
    // Nobody listens on port 9.
    let args = ["doctor", "--http", "127.0.0.1:9", "--json"];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::Unwell, "{ran:?}");
    let json = ran.json();
    assert_eq!(json["healthy"], false);
    let findings = json["findings"].as_array().unwrap();
    let of = |code: &str| findings.iter().find(|finding| finding["code"] == code);
    let quarantined = of("QUARANTINED").unwrap();
    assert_eq!(quarantined["severity"], "problem");
    let way_out = quarantined["way_out"].as_str().unwrap();
    assert!(way_out.contains("--release host-a"), "{way_out}");
    assert_eq!(of("HTTP_UNREACHABLE").unwrap()["severity"], "warning");

    fake.world().sidecars.clear();
    fake.world().rollout = None;
    fake.world().events = vec![split_changed(1, 10)];
    let ran = serinus(&fake, &["doctor", "--http", "127.0.0.1:9"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    assert!(ran.out.contains("1 warning"), "{ran:?}");
}
