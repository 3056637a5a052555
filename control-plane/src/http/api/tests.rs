//! The API in front of a real engine with a store in memory.

mod codes;
mod commands;
mod refusals;
mod streams;

use super::Api;
use crate::access::Access;
use crate::engine::{Engine, EngineError, Handle};
use crate::grpc::routes;
use crate::store::memory::{Disk, MemoryStore};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;
use serinus_runtime::shutdown::{self, Trigger};
use std::sync::Arc;
use tokio::task::JoinHandle;

struct Harness {
    api: Api,
    handle: Handle,
    engine: JoinHandle<Result<(), EngineError>>,
    surfaces: Trigger,
    stop_engine: Trigger,
}

/// An answer that has ended.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
}

impl Harness {
    fn start() -> Self {
        Self::with(&Arc::default(), false)
    }

    fn with(access: &Arc<Access>, local: bool) -> Self {
        let store = Arc::new(MemoryStore::open(Disk::default()));
        let (engine, handle) = Engine::start(store, "test").unwrap();
        let (surfaces, drain) = shutdown::channel();
        let (stop_engine, engine_drain) = shutdown::channel();
        let engine = tokio::spawn(engine.run(engine_drain));
        let api = Api::new(routes(handle.clone(), access, drain), local);
        Self {
            api,
            handle,
            engine,
            surfaces,
            stop_engine,
        }
    }

    async fn stop(self) {
        self.surfaces.drain();
        self.stop_engine.drain();
        self.engine.await.unwrap().unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.api.answer(request).await
    }

    async fn ask(&self, request: Request<Body>) -> Answered {
        let (parts, body) = self.send(request).await.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answered {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_slice(&bytes).unwrap(),
        }
    }

    /// What is asked for, which is there.
    async fn get(&self, path: &str) -> Value {
        let answered = self.ask(get(path)).await;
        assert_eq!(answered.status, 200, "{path}: {}", answered.json);
        answered.json
    }

    /// What a command answers, which is done.
    async fn post(&self, path: &str, body: Value) -> Value {
        let answered = self.ask(post(path, &body)).await;
        assert_eq!(answered.status, 200, "{path}: {}", answered.json);
        answered.json
    }

    /// Starts a rollout of `model`; its id.
    async fn apply(&self, model: &str) -> String {
        let applied = self.post("/v1/rollouts", plan(model)).await;
        applied["id"].as_str().unwrap().to_owned()
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

fn plan(model: &str) -> Value {
    serde_json::json!({
        "requestId": format!("apply {model}"),
        "plan": {
            "model": model,
            "stable": {"name": "v1", "endpoints": ["http://127.0.0.1:9001"]},
            "canaries": [{"name": "v2", "endpoints": ["http://127.0.0.1:9002"]}],
            "steps": [
                {"split": {"v2": 0.1, "v1": 0.9}, "minDuration": "3600s"},
                {"split": {"v2": 1.0}},
            ],
            "guardrails": [{"errorRate": {"margin": 0.01}}],
        },
    })
}
