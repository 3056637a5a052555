//! A control plane that remembers what it was asked and answers as the test says.

mod services;

use crate::view::fixture;
use serinus_proto::v1::{
    self, admin_server::AdminServer, events_server::EventsServer, models_server::ModelsServer,
    rollouts_server::RolloutsServer,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Response, Status};

/// One mutation that arrived.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) verb: &'static str,
    pub(super) request_id: String,
    pub(super) expected_revision: u64,
    pub(super) reason: String,
}

/// What the fake knows; tests change it between runs.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) rollout: Option<v1::Rollout>,
    pub(super) model: Option<v1::Model>,
    pub(super) sidecars: Vec<v1::SidecarInfo>,
    pub(super) info: v1::Info,
    pub(super) events: Vec<v1::Event>,
    /// What is sent of a recording.
    pub(super) chunks: Vec<v1::RecordingChunk>,
    /// Answers to the next mutations, before any is done.
    pub(super) refusals: VecDeque<Status>,
    /// What happens to the rollout behind the back of whoever was refused with ABORTED.
    pub(super) meanwhile: Option<v1::Rollout>,
    /// What watchers see, stream after stream; each ends when its states are sent, the last one stays open.
    pub(super) streams: VecDeque<Vec<v1::Rollout>>,
    pub(super) calls: Vec<Call>,
    pub(super) applied: Option<v1::ApplyRequest>,
    pub(super) promoted: Option<v1::PromoteRequest>,
    pub(super) split: Option<v1::SetSplitRequest>,
    pub(super) stable: Option<v1::SetStableRequest>,
    pub(super) event_requests: Vec<v1::WatchEventsRequest>,
    pub(super) tokens: Vec<String>,
    pub(super) audit: Vec<v1::ListAuditResponse>,
}

impl World {
    fn rollout(&self, name: &str) -> Result<v1::Rollout, Status> {
        let known = self.rollout.clone();
        known
            .filter(|rollout| rollout.id == name || rollout.model == name)
            .ok_or_else(|| Status::not_found(format!("no rollout `{name}`")))
    }

    /// Does a mutation: refused if the test says so or the revision differs.
    fn change(&mut self, call: Call, name: &str) -> Result<Response<v1::Rollout>, Status> {
        let expected = call.expected_revision;
        self.calls.push(call);
        if let Some(status) = self.refusals.pop_front() {
            if let Some(rollout) = self.meanwhile.take() {
                self.rollout = Some(rollout);
            }
            return Err(status);
        }
        let mut rollout = self.rollout(name)?;
        if expected != 0 && expected != rollout.revision {
            return Err(Status::aborted(format!(
                "the rollout is at revision {}",
                rollout.revision
            )));
        }
        rollout.revision += 1;
        self.rollout = Some(rollout.clone());
        Ok(Response::new(rollout))
    }
}

/// The fake and its server, which ends with it.
#[derive(Debug)]
pub(super) struct Fake {
    world: Arc<Mutex<World>>,
    address: String,
    server: JoinHandle<()>,
}

impl Fake {
    /// Starts one that runs the product's example.
    pub(super) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World {
            rollout: Some(fixture::rollout()),
            ..World::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = services::Services(world.clone());
        let server = Server::builder()
            .add_service(RolloutsServer::new(service.clone()))
            .add_service(ModelsServer::new(service.clone()))
            .add_service(EventsServer::new(service.clone()))
            .add_service(AdminServer::new(service));
        let server = tokio::spawn(async move {
            server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            world,
            address,
            server,
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}
