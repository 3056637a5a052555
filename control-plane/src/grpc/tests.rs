//! The surfaces over loopback, in front of a real engine with a store in memory.

mod audit;
mod commands;
mod recordings;
mod streams;
mod sync;

use super::{BEGINNING, Options, ServeError, routes, serve};
use crate::access::{Access, Callers};
use crate::engine::{Engine, EngineError};
use crate::listen::{Limits, open};
use crate::store::memory::{Disk, MemoryStore};
use serinus_proto::v1::{
    self, events_client::EventsClient, rollouts_client::RolloutsClient,
    sidecars_client::SidecarsClient,
};
use serinus_runtime::shutdown::{self, Trigger};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// A control plane in this process.
struct Harness {
    store: Arc<MemoryStore>,
    channel: Channel,
    server: JoinHandle<Result<(), ServeError>>,
    engine: JoinHandle<Result<(), EngineError>>,
    surfaces: Trigger,
    stop_engine: Trigger,
}

impl Harness {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let store = Arc::new(MemoryStore::open(Disk::default()));
        let (engine, handle) = Engine::start(store.clone(), "test").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let incoming = open(listener, None, Limits::default(), BEGINNING);
        let (surfaces, drain) = shutdown::channel();
        let (stop_engine, engine_drain) = shutdown::channel();
        let engine = tokio::spawn(engine.run(engine_drain));
        let routes = routes(handle, &options.access, drain.clone());
        let server = tokio::spawn(serve(incoming, routes, options, drain));
        let channel = Channel::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self {
            store,
            channel,
            server,
            engine,
            surfaces,
            stop_engine,
        }
    }

    /// Drains and waits until everything has ended; a stream that does not end would hang here.
    async fn stop(self) {
        self.surfaces.drain();
        self.server.await.unwrap().unwrap();
        self.stop_engine.drain();
        self.engine.await.unwrap().unwrap();
    }

    fn rollouts(&self) -> RolloutsClient<Channel> {
        RolloutsClient::new(self.channel.clone())
    }

    fn events(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel.clone())
    }

    fn sidecars(&self) -> SidecarsClient<Channel> {
        SidecarsClient::new(self.channel.clone())
    }

    /// Starts a rollout of `model`.
    async fn apply(&self, model: &str) -> v1::Rollout {
        let applied = self.rollouts().apply(apply(model)).await;
        applied.unwrap().into_inner()
    }
}

fn apply(model: &str) -> v1::ApplyRequest {
    let stable = Some(("v1", "http://127.0.0.1:9001"));
    let plan = serinus_core::plan::short_form(model, stable, ("v2", "http://127.0.0.1:9002"), 5.0);
    v1::ApplyRequest {
        request_id: format!("apply {model}"),
        plan: Some(plan.unwrap()),
        ..v1::ApplyRequest::default()
    }
}

fn command(rollout: &v1::Rollout, request_id: &str) -> v1::CommandRequest {
    v1::CommandRequest {
        rollout: rollout.id.clone(),
        request_id: request_id.into(),
        expected_revision: 0,
        ..v1::CommandRequest::default()
    }
}

fn tokens(lines: &[&str]) -> Arc<Access> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    let callers = Callers::read(file.path()).unwrap();
    Arc::new(Access::of(file.path().into(), callers))
}
