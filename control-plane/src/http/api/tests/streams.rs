use super::{Harness, get, post};
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// One event of a stream.
#[derive(Debug)]
struct Sent {
    name: String,
    id: Option<String>,
    data: Value,
}

/// Reads a stream of events.
struct Reader {
    body: BodyDataStream,
    text: String,
}

impl Reader {
    fn new(body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            text: String::new(),
        }
    }

    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(sent) = parse(&frame) {
                    return Some(sent);
                }
                continue;
            }
            let more = tokio::time::timeout(LIMIT, self.body.next());
            let bytes = more.await.expect("something comes in time")?.unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
    }

    async fn until(&mut self, name: &str) -> Sent {
        loop {
            let sent = self.next().await.unwrap_or_else(|| panic!("{name} comes"));
            if sent.name == name {
                return sent;
            }
        }
    }
}

fn parse(frame: &str) -> Option<Sent> {
    let field = |name: &str| {
        let prefix = format!("{name}: ");
        frame
            .lines()
            .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    };
    Some(Sent {
        name: field("event")?,
        id: field("id"),
        data: serde_json::from_str(&field("data")?).unwrap(),
    })
}

fn resumed(path: &str, id: &str) -> Request<Body> {
    let request = Request::get(path).header("last-event-id", id);
    request.body(Body::empty()).unwrap()
}

async fn pause(harness: &Harness, rollout: &str) {
    let path = format!("/v1/rollouts/{rollout}:pause");
    harness.post(&path, json!({"requestId": "p"})).await;
}

#[tokio::test]
async fn events_are_followed_and_resumed() {
    let harness = Harness::start();
    let id = harness.apply("m").await;
    let response = harness.send(get("/v1/events")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut reader = Reader::new(response.into_body());
    let first = reader.next().await.unwrap();
    assert_eq!(first.name, "event");
    assert_eq!(first.data["event"]["rollout"], id.as_str());
    reader.until("bookmark").await;
    pause(&harness, &id).await;
    let paused = reader.until("event").await;
    assert!(paused.data["event"]["paused"].is_object(), "{paused:?}");
    drop(reader);

    let again = harness
        .send(resumed("/v1/events", first.id.as_deref().unwrap()))
        .await;
    let mut again = Reader::new(again.into_body());
    let mut last = again.next().await.unwrap();
    assert_eq!(last.name, "event");
    assert_ne!(last.id, first.id, "what was had is not sent again");
    while last.id != paused.id {
        last = again.next().await.unwrap();
    }
    assert_eq!(last.data, paused.data);
    // The rollout goes on; its stream ends with the drain, and says so.
    harness.surfaces.drain();
    let end = again.until("end").await;
    assert_eq!(end.data["code"], 14, "{end:?}");
    assert!(again.next().await.is_none());
    harness.stop().await;
}

#[tokio::test]
async fn a_position_of_another_history() {
    let harness = Harness::start();
    harness.apply("m").await;
    let refused = harness.ask(resumed("/v1/events", "1-999")).await;
    assert_eq!(refused.status, 400, "{}", refused.json);
    assert_eq!(refused.json["code"], 11);
    assert_eq!(refused.json["details"][0]["reason"], "HISTORY_CHANGED");
    let other = harness.ask(resumed("/v1/events", "77-1")).await;
    assert_eq!(other.json["details"][0]["reason"], "HISTORY_CHANGED");
    let none = harness.ask(resumed("/v1/events", "yesterday")).await;
    assert_eq!((none.status.as_u16(), &none.json["code"]), (400, &json!(3)));

    // Whoever asked for a snapshot at first gets one when that is all there is, and else goes on.
    let path = "/v1/events?snapshot=true&follow=false";
    let fresh = harness.send(resumed(path, "1-999")).await;
    let mut fresh = Reader::new(fresh.into_body());
    assert_eq!(fresh.next().await.unwrap().name, "snapshot_item");
    let done = fresh.next().await.unwrap();
    assert_eq!(done.name, "snapshot_done");
    assert_eq!(fresh.until("end").await.data, json!({}));
    let known = harness
        .send(resumed(path, done.id.as_deref().unwrap()))
        .await;
    let mut known = Reader::new(known.into_body());
    assert_eq!(known.next().await.unwrap().name, "bookmark");
    harness.stop().await;
}

#[tokio::test]
async fn a_rollout_is_watched_to_its_end() {
    let harness = Harness::start();
    let id = harness.apply("m").await;
    let response = harness.send(get(&format!("/v1/rollouts/{id}:watch"))).await;
    let mut reader = Reader::new(response.into_body());
    assert_eq!(reader.next().await.unwrap().name, "rollout");
    let path = format!("/v1/rollouts/{id}:rollback");
    harness.ask(post(&path, &json!({"requestId": "b"}))).await;
    let mut last = None;
    while let Some(sent) = reader.next().await {
        if sent.name == "end" {
            assert_eq!(sent.data, json!({}));
            break;
        }
        last = Some(sent.data);
    }
    assert_eq!(last.unwrap()["state"], "STATE_ROLLED_BACK");
    let nobody = harness.ask(get("/v1/rollouts/nobody:watch")).await;
    assert_eq!(nobody.status, 404);
    harness.stop().await;
}

#[tokio::test]
async fn streams_end_at_the_deadline() {
    let harness = Harness::start();
    harness.apply("m").await;
    let mut request = get("/v1/events");
    let headers = request.headers_mut();
    headers.insert("grpc-timeout", "300m".parse().unwrap());
    let mut reader = Reader::new(harness.send(request).await.into_body());
    let end = reader.until("end").await;
    assert_eq!(end.data["code"], 4, "{end:?}");
    harness.stop().await;
}

#[tokio::test]
async fn a_message_per_line() {
    let harness = Harness::start();
    let id = harness.apply("m").await;
    let response = harness
        .send(get(&format!("/v1/rollouts/{id}/recording")))
        .await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let lines = std::str::from_utf8(&bytes).unwrap().lines();
    let chunks: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(chunks[0]["header"]["rollout"], id.as_str());
    let mut request = get("/v1/events?follow=false");
    let headers = request.headers_mut();
    headers.insert("accept", "application/x-ndjson".parse().unwrap());
    let response = harness.send(request).await;
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.starts_with("{\"event\":"), "{text}");
    harness.stop().await;
}
