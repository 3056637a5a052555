use super::{Harness, get, plan, post};
use crate::http::api::schema;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use serinus_proto::v1;
use std::sync::Arc;

/// What a message of gRPC is as JSON.
fn written(rollout: &v1::Rollout) -> Value {
    let descriptor = schema::pool().get_message_by_name("serinus.v1.Rollout");
    let mut message = DynamicMessage::new(descriptor.unwrap());
    message.transcode_from(rollout).unwrap();
    serde_json::to_value(&message).unwrap()
}

/// A rollout over HTTP is what it is over gRPC. The engine looks at it meanwhile, so that one is read until the other has
/// not changed.
async fn is_the_same(harness: &Harness, path: &str, id: &str) {
    let served = || harness.handle.views().find(id).unwrap().clone();
    loop {
        let before = served();
        let answered = harness.get(path).await;
        if Arc::ptr_eq(&before, &served()) {
            assert_eq!(answered, written(&before));
            return;
        }
    }
}

/// Resumes at the revision that is read; a decision of the engine may come between.
async fn resume(harness: &Harness, path: &str) {
    for attempt in 0.. {
        let revision = harness.get(path).await["revision"].clone();
        assert!(revision.is_string(), "64 bits: {revision}");
        let body = json!({"requestId": format!("r{attempt}"), "expectedRevision": revision});
        let answered = harness.ask(post(&format!("{path}:resume"), &body)).await;
        if answered.status != 409 {
            assert_eq!(answered.status, 200, "{}", answered.json);
            return;
        }
        assert_eq!(answered.json["details"][0]["reason"], "REVISION_MISMATCH");
    }
}

#[tokio::test]
async fn the_life_of_a_rollout() {
    let harness = Harness::start();
    let checked = harness
        .post("/v1/rollouts:validate", json!({"plan": plan("m")["plan"]}))
        .await;
    assert_eq!(checked["plan"]["model"], "m");
    let id = harness.apply("m").await;
    assert_eq!(harness.apply("m").await, id, "the same request, once more");
    let path = format!("/v1/rollouts/{id}");
    let by_model = harness.get("/v1/rollouts/m").await;
    assert_eq!(by_model["id"], id.as_str());

    let command = |request_id: &str| json!({"requestId": request_id, "reason": "a look"});
    let paused = harness.post(&format!("{path}:pause"), command("p")).await;
    assert_eq!(paused["state"], "STATE_PAUSED");
    assert_eq!(paused["reason"], "a look");
    resume(&harness, &path).await;
    let lower = json!({"request_id": "s", "split": {"v2": 0, "v1": 1}});
    let lowered = harness.post(&format!("{path}:setSplit"), lower).await;
    assert_eq!(lowered["cause"], "CAUSE_MANUAL");

    is_the_same(&harness, &path, &id).await;
    let list = harness.get("/v1/rollouts?model=m&page_size=1").await;
    assert_eq!(list["rollouts"][0]["id"], id.as_str());
    let history = harness.get(&format!("{path}/history?pageSize=2")).await;
    assert_eq!(history["events"].as_array().unwrap().len(), 2);
    assert_eq!(history["more"], true);

    let ended = harness
        .post(&format!("{path}:rollback"), command("b"))
        .await;
    assert_eq!(ended["state"], "STATE_ROLLED_BACK");
    let model = harness.get("/v1/models/m").await;
    assert_eq!(model["stable"]["name"], "v1");
    assert_eq!(model["latestRollout"], id.as_str());
    assert_eq!(harness.get("/v1/models").await["models"][0], model);
    harness.stop().await;
}

#[tokio::test]
async fn the_rest_of_the_surface_answers() {
    let harness = Harness::start();
    assert_eq!(harness.get("/v1/info").await["version"], "test");
    assert_eq!(harness.get("/v1/sidecars").await, json!({}));
    let stable = json!({
        "requestId": "s", "stable": {"name": "v1", "endpoints": ["http://127.0.0.1:1"]}
    });
    let model = harness.post("/v1/models/m:setStable", stable).await;
    assert_eq!(model["name"], "m");
    let outcome = json!({"items": [{"predictionId": "x", "metric": "accuracy", "value": 1}]});
    let recorded = harness.post("/v1/outcomes", outcome).await;
    assert_eq!(recorded["statuses"], json!(["OUTCOME_STATUS_BAD_ID"]));
    let hello = json!({"sidecar": "s", "incarnation": "1", "models": ["m"], "protocol": 1});
    let fetched = harness.ask(post("/v1/sidecars:fetch", &hello)).await;
    assert!(
        fetched.status == 200 || fetched.json["code"] == 3,
        "{}",
        fetched.json
    );
    harness.stop().await;
}

#[tokio::test]
async fn the_header_names_the_attempt() {
    let harness = Harness::start();
    let id = harness.apply("m").await;
    let path = format!("/v1/rollouts/{id}:pause");
    let request = || {
        let mut request = post(&path, &json!({}));
        let headers = request.headers_mut();
        headers.insert("x-request-id", "p-1".parse().unwrap());
        request
    };
    let first = harness.ask(request()).await;
    assert_eq!(first.status, 200, "{}", first.json);
    assert_eq!(first.headers["x-request-id"], "p-1");
    let again = harness.ask(request()).await;
    assert_eq!(again.json["state"], "STATE_PAUSED");
    let events = harness.get(&format!("/v1/rollouts/{id}/history")).await;
    let events = events["events"].as_array().unwrap().clone();
    let pauses = events.iter().filter(|event| event["paused"].is_object());
    assert_eq!(pauses.count(), 1, "done once");
    let mut other = post(&path, &json!({"requestId": "p-2"}));
    let headers = other.headers_mut();
    headers.insert("x-request-id", "p-1".parse().unwrap());
    let refused = harness.ask(other).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.json["message"]
            .as_str()
            .unwrap()
            .starts_with("requestId: is not what the header"),
        "{}",
        refused.json
    );
    // A header is no field of what has none.
    let mut list = get("/v1/rollouts");
    let headers = list.headers_mut();
    headers.insert("x-request-id", "l-1".parse().unwrap());
    assert_eq!(harness.ask(list).await.status, 200);
    harness.stop().await;
}
