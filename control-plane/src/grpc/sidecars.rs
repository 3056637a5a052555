//! What sidecars speak.

mod hello;
mod pusher;
mod report;
mod sync;

use super::feed::{Feed, feed};
use crate::engine::Handle;
use serinus_proto::v1::{self, sidecars_server::Sidecars};
use serinus_runtime::shutdown::Drain;
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

/// Messages that wait for a sidecar: a push, a heartbeat and latches.
const SYNC_ROOM: usize = 8;
const ACK_ROOM: usize = 64;
/// A sidecar that takes nothing for this long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves `Sidecars`.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
    drain: Drain,
}

impl Service {
    pub(super) fn new(handle: Handle, drain: Drain) -> Self {
        Self { handle, drain }
    }
}

#[tonic::async_trait]
impl Sidecars for Service {
    type SyncStream = Feed<v1::ControlMessage>;
    type ReportStream = Feed<v1::ReportAck>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::SidecarMessage>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (handle, drain) = (self.handle.clone(), self.drain.clone());
        let inbound = request.into_inner();
        let feed = feed(SYNC_ROOM, PATIENCE, |filler| {
            sync::run(handle, inbound, filler, drain)
        });
        Ok(Response::new(feed))
    }

    async fn report(
        &self,
        request: Request<Streaming<v1::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (handle, drain) = (self.handle.clone(), self.drain.clone());
        let inbound = request.into_inner();
        let feed = feed(ACK_ROOM, PATIENCE, |filler| {
            report::run(handle, inbound, filler, drain)
        });
        Ok(Response::new(feed))
    }
}
