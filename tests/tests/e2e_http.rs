//! A rollout by HTTP and JSON alone, and a stream of events over a crash. Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use serinus_proto::v1;
use serinus_tests::client::{Client, request_id};
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::web::{Events, Web};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Kills in a row.
const KILLS: u64 = 3;

/// An event of gRPC as the proto3 JSON mapping has it, made by other means than the server's own.
fn written(event: &v1::Event) -> Result<Value> {
    let pool = DescriptorPool::decode(serinus_proto::FILE_DESCRIPTOR_SET)?;
    let descriptor = pool.get_message_by_name("serinus.v1.Event");
    let mut message = DynamicMessage::new(descriptor.context("there are events")?);
    message.transcode_from(event)?;
    Ok(serde_json::to_value(&message)?)
}

fn plan(cluster: &Cluster) -> Result<Value> {
    let variant = |name: &str, address: String| json!({"name": name, "endpoints": [format!("http://{address}")]});
    Ok(json!({
        "requestId": request_id(),
        "plan": {
            "model": MODEL,
            "stable": variant("v1", cluster.stable.address("listening")?),
            "canaries": [variant("v2", cluster.canary.address("listening")?)],
            "steps": [
                {"split": {"v2": 0.3, "v1": 0.7}, "minDuration": "3600s"},
                {"split": {"v2": 1.0}},
            ],
            "bake": {"duration": "1s", "holdback": 0},
            "guardrails": [{"errorRate": {"margin": 0.02}}],
        },
    }))
}

/// Sends a command at the revision that is read; a decision of the engine may come between.
async fn command(web: &Web, path: &str, verb: &str, more: &Value) -> Result<Value> {
    loop {
        let rollout = web.get(path).await?;
        let mut body = json!({"requestId": request_id(), "expectedRevision": rollout["revision"]});
        for (key, value) in more.as_object().context("an object")? {
            body[key] = value.clone();
        }
        let (status, json) = web
            .ask(http::Method::POST, &format!("{path}:{verb}"), &body)
            .await?;
        if status == 409 {
            continue;
        }
        ensure!(status == 200, "{verb}: {status} {json}");
        return Ok(json);
    }
}

/// What both sides have of a rollout, once it does not change any more.
async fn is_the_same(web: &Web, client: &Client, id: &str) -> Result<()> {
    let over_grpc = client.get(id).await?;
    let over_http = web.get(&format!("/v1/rollouts/{id}")).await?;
    ensure!(over_http["state"] == over_grpc.state().as_str_name());
    ensure!(over_http["revision"] == over_grpc.revision.to_string());
    ensure!(over_http["epoch"] == over_grpc.epoch.to_string());
    ensure!(over_http["split"] == serde_json::to_value(&over_grpc.split)?);
    ensure!(over_http["actor"] == over_grpc.actor.as_str());
    let of = over_grpc.plan.context("it has a plan")?;
    ensure!(over_http["plan"]["steps"].as_array().map(Vec::len) == Some(of.steps.len()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_rollout_lives_by_http_alone() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let (web, client) = (Web::new(cluster.http()), cluster.client()?);
    let applied = web.post("/v1/rollouts", &plan(&cluster)?).await?;
    let id = applied["id"].as_str().context("it has an id")?.to_owned();
    let path = format!("/v1/rollouts/{id}");
    let current = |rollout: &Value| rollout["fleet"]["current"] == 1;
    web.until(&path, "the sidecar follows", LIMIT, current)
        .await?;
    let paused = command(&web, &path, "pause", &json!({"reason": "lunch"})).await?;
    ensure!(paused["state"] == "STATE_PAUSED", "{paused}");
    let resumed = command(&web, &path, "resume", &json!({})).await?;
    ensure!(resumed["state"] == "STATE_RUNNING", "{resumed}");
    command(&web, &path, "promote", &json!({"all": true})).await?;
    let promoted = |rollout: &Value| rollout["state"] == "STATE_PROMOTED";
    web.until(&path, "it is promoted", LIMIT, promoted).await?;
    is_the_same(&web, &client, &id).await?;
    let model = web.get(&format!("/v1/models/{MODEL}")).await?;
    ensure!(model["stable"]["name"] == "v2", "{model}");
    let undone = command(&web, &path, "undo", &json!({"reason": "after all"})).await?;
    ensure!(undone["undoes"] == id.as_str(), "{undone}");

    // Everything that happened, by both ways.
    let over_grpc = client.events_after(0).await?;
    let last = over_grpc.last().context("something happened")?.revision;
    let mut stream = web.events("/v1/events", None).await?;
    let mut over_http = Vec::new();
    while over_http.len() < over_grpc.len() {
        let sent = stream.next().await?.context("the stream goes on")?;
        if sent.name == "event" {
            over_http.push(sent.data["event"].clone());
        }
    }
    let expected: Result<Vec<Value>> = over_grpc.iter().map(written).collect();
    ensure!(over_http == expected?, "up to {last}");
    cluster.finish().await
}

/// Reads on until the event of a revision; what came is added.
async fn read_to(stream: &mut Events, had: &mut Vec<(String, Value)>, revision: u64) -> Result<()> {
    let wanted = revision.to_string();
    while had
        .last()
        .is_none_or(|(_, event)| event["revision"] != wanted.as_str())
    {
        let sent = stream.next().await?.context("the stream goes on")?;
        if sent.name == "event" {
            let id = sent.id.context("an event has a position")?;
            had.push((id, sent.data["event"].clone()));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_stream_of_events_resumes_over_a_crash() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let web = Web::new(cluster.http());
    let applied = web.post("/v1/rollouts", &plan(&cluster)?).await?;
    let path = format!("/v1/rollouts/{}", applied["id"].as_str().context("an id")?);
    let mut had: Vec<(String, Value)> = Vec::new();
    let mut stream = web.events("/v1/events", None).await?;
    for round in 0..KILLS {
        let verb = if round % 2 == 0 { "pause" } else { "resume" };
        let answer = command(
            &web,
            &path,
            verb,
            &json!({"reason": format!("round {round}")}),
        )
        .await?;
        let revision: u64 = answer["revision"].as_str().context("text")?.parse()?;
        read_to(&mut stream, &mut had, revision).await?;
        cluster.kill_control_plane().await?;
        // Whatever was on its way when it was killed counts as had.
        while let Some(sent) = stream.next().await? {
            if sent.name == "event" {
                had.push((sent.id.context("a position")?, sent.data["event"].clone()));
            }
        }
        cluster.start_control_plane().await?;
        let last = had.last().map(|(id, _)| id.clone());
        stream = web.events("/v1/events", last.as_deref()).await?;
    }
    let ended = command(&web, &path, "rollback", &json!({})).await?;
    let revision: u64 = ended["revision"].as_str().context("text")?.parse()?;
    read_to(&mut stream, &mut had, revision).await?;
    let all = cluster.client()?.events_after(0).await?;
    let all = all.iter().take_while(|event| event.revision <= revision);
    let expected: Result<Vec<Value>> = all.map(written).collect();
    let had: Vec<Value> = had.into_iter().map(|(_, event)| event).collect();
    ensure!(had == expected?, "each once, in order, over {KILLS} kills");
    println!("{} events, each once, over {KILLS} kills", had.len());
    cluster.finish().await
}
