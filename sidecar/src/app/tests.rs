use super::start::{Running, start};
use crate::config::Sidecar;
use crate::fake::http::{Answer, call, model_server};
use crate::fake::{Fake, eventually};
use crate::sync::follow::tests::assignment;
use hyper::{Method, StatusCode};
use serinus_common::prediction_id::{IdKey, PredictionId};
use serinus_proto::v1;
use std::path::Path;

const ROLLOUT: &str = "0198c0de-0000-7000-8000-000000000001";

async fn config(directory: &Path, fake: &Fake) -> Sidecar {
    let (v1, v2) = (model_server("v1").await, model_server("v2").await);
    let text = format!(
        "name = \"host-a\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ncontrol_plane = \"{}\"\nstate_dir = \"{}\"\n\
         [[model]]\nname = \"m\"\nstable = [\"{v1}\"]\nstable_name = \"v1\"\nendpoints.v2 = [\"{v2}\"]\n",
        fake.url(),
        directory.display()
    );
    toml::from_str(&text).unwrap()
}

async fn infer(running: &Running, user: &str) -> Answer {
    call(
        running.core.inference[0].tcp().unwrap(),
        Method::POST,
        "/v2/models/m/infer",
        &[("x-user-id", user)],
        "{}",
    )
    .await
}

async fn admin(running: &Running, path: &str) -> Answer {
    call(running.core.admin, Method::GET, path, &[], "").await
}

/// Readiness is looked at every second: asked for until it is there.
async fn ready(running: &Running) {
    while admin(running, "/readyz").await.status != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

/// A canary has nothing before that.
async fn canary_ready(running: &Running) {
    let is_ready = async || {
        let status = admin(running, "/status").await.json();
        status["models"][0]["variants"][1]["ready"] == true
    };
    while !is_ready().await {
        tokio::task::yield_now().await;
    }
}

fn all_to_canary() -> v1::Assignment {
    let bucketing = v1::Bucketing {
        key: "header:x-user-id".into(),
        salt: "s".into(),
        ..v1::Bucketing::default()
    };
    v1::Assignment {
        bucketing: Some(bucketing),
        ..assignment(ROLLOUT, 5, 1_000_000)
    }
}

#[tokio::test]
async fn from_an_assignment_to_counts_and_a_joined_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let running = start(config(directory.path(), &fake).await).await.unwrap();
    ready(&running).await;
    assert_eq!(infer(&running, "ana").await.text(), "v1");
    fake.greet().await;
    fake.push(1, all_to_canary()).await;
    canary_ready(&running).await;
    let answer = infer(&running, "ana").await;
    assert_eq!(answer.text(), "v2");
    assert_eq!(answer.headers["x-serinus-variant"], "v2");
    let id = answer.headers["x-serinus-prediction-id"].to_str().unwrap();
    let key = IdKey {
        id: 1,
        secret: [9; 16],
    };
    let read = PredictionId::parse(id).unwrap().verify(&key).unwrap();
    assert_eq!((read.issuer, read.variant), (7, 1));
    let outcome = format!("{{\"prediction_id\":\"{id}\",\"metric\":\"accuracy\",\"value\":1}}");
    let joined = call(
        running.core.admin,
        Method::POST,
        "/v1/outcomes?wait",
        &[],
        &outcome,
    )
    .await;
    assert_eq!(
        (joined.status, joined.text()),
        (StatusCode::OK, "{\"status\":\"joined\"}")
    );
    let again = call(
        running.core.admin,
        Method::POST,
        "/v1/outcomes",
        &[("content-type", "application/x-ndjson")],
        &outcome,
    )
    .await;
    assert_eq!(
        (again.status, again.text()),
        (StatusCode::ACCEPTED, "{\"statuses\":[\"accepted\"]}")
    );
    let disk = std::sync::Arc::clone(&fake.disk);
    let counted = move || {
        let disk = disk.lock().unwrap();
        let variants = disk
            .cells
            .iter()
            .filter(|cell| cell.rollout == ROLLOUT && cell.epoch == 5);
        variants
            .flat_map(|cell| &cell.variants)
            .filter(|v| v.variant == "v2")
            .map(|v| (v.ok, v.assigned))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    eventually(|| counted() == (1, 1)).await;
    shows(&running).await;
    running.stop().await;
}

async fn shows(running: &Running) {
    let status = admin(running, "/status").await.json();
    let model = &status["models"][0];
    assert_eq!(model["assignment"]["rollout"], ROLLOUT);
    assert_eq!(model["assignment"]["lease"], "fresh");
    assert_eq!(model["variants"][1]["share"], 1.0);
    assert_eq!(model["variants"][1]["requests"]["ok"], 1);
    assert_eq!(status["control_plane"]["connected"], true);
    assert_eq!(status["outcomes"]["by_status"]["joined"], 1);
    let metrics = admin(running, "/metrics").await;
    let line = format!(
        "serinus_sidecar_requests_total{{model=\"m\",rollout=\"{ROLLOUT}\",variant=\"v2\",class=\"ok\"}} 1\n"
    );
    assert!(metrics.text().contains(&line), "{}", metrics.text());
    let bucket = format!(
        "serinus_sidecar_latency_seconds_bucket{{model=\"m\",rollout=\"{ROLLOUT}\",variant=\"v2\",le=\"+Inf\"}} 1\n"
    );
    assert!(metrics.text().contains(&bucket));
    every_family_is_announced_once(metrics.text());
}

fn every_family_is_announced_once(text: &str) {
    let mut known = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(known.insert(name), "{name} is announced twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(
                known.contains(name) || known.contains(family),
                "{name} is not announced"
            );
        }
    }
}

#[tokio::test]
async fn the_last_second_is_reported_at_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let running = start(config(directory.path(), &fake).await).await.unwrap();
    fake.greet().await;
    fake.push(1, all_to_canary()).await;
    canary_ready(&running).await;
    for user in ["ana", "ben", "cem"] {
        assert_eq!(infer(&running, user).await.text(), "v2");
    }
    running.stop().await;
    let disk = fake.disk.lock().unwrap();
    let ok: u64 = disk
        .cells
        .iter()
        .flat_map(|cell| &cell.variants)
        .map(|v| v.ok)
        .sum();
    assert_eq!(ok, 3);
}

#[tokio::test]
async fn it_serves_without_its_control_plane() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let config = config(directory.path(), &fake).await;
    fake.kill();
    let running = start(config).await.unwrap();
    ready(&running).await;
    let answer = infer(&running, "ana").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "v1"));
    let running = running;
    let outcome = "{\"prediction_id\":\"x\",\"metric\":\"accuracy\",\"value\":1}";
    let bad = call(
        running.core.admin,
        Method::POST,
        "/v1/outcomes",
        &[],
        outcome,
    )
    .await;
    assert_eq!(bad.text(), "{\"status\":\"bad_id\"}");
    assert_eq!(
        admin(&running, "/status").await.json()["control_plane"]["connected"],
        false
    );
}

#[tokio::test]
async fn the_admin_port_refuses_what_it_should() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let running = start(config(directory.path(), &fake).await).await.unwrap();
    let rebound = call(
        running.core.admin,
        Method::GET,
        "/status",
        &[("host", "evil.example")],
        "",
    )
    .await;
    assert_eq!(rebound.status, StatusCode::FORBIDDEN);
    let local = call(
        running.core.admin,
        Method::GET,
        "/healthz",
        &[("host", "localhost:1")],
        "",
    )
    .await;
    assert_eq!(local.text(), "ok\n");
    let shape = call(
        running.core.admin,
        Method::POST,
        "/v1/outcomes",
        &[],
        "{\"items\":[{}]}",
    )
    .await;
    assert_eq!(shape.status, StatusCode::BAD_REQUEST);
    assert!(
        shape
            .text()
            .contains("items[0]: missing field `prediction_id`"),
        "{}",
        shape.text()
    );
    let long = "x".repeat(9 << 20);
    let large = call(running.core.admin, Method::POST, "/v1/outcomes", &[], &long).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_state_directory_belongs_to_one_sidecar() {
    let directory = tempfile::tempdir().unwrap();
    let held = std::fs::File::create(directory.path().join("lock")).unwrap();
    held.lock().unwrap();
    let fake = Fake::start();
    let error = start(config(directory.path(), &fake).await)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("in use by another sidecar"),
        "{error}"
    );
}

#[tokio::test]
async fn without_contact_a_stop_is_short() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut config = config(directory.path(), &fake).await;
    config.drain = std::time::Duration::from_secs(3600);
    fake.kill();
    start(config).await.unwrap().stop().await;
}
