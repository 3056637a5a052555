//! What sidecars speak.

mod admission;
mod hello;
mod pusher;
mod report;
mod scope;
mod sync;

use super::error;
use super::feed::{Feed, feed};
use crate::access::guard::caller;
use crate::engine::Handle;
use crate::metrics::STREAMS_REFUSED;
use admission::Bucket;
use rand::RngExt as _;
use serinus_proto::v1::{self, sidecars_server::Sidecars};
use serinus_runtime::shutdown::Drain;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
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
    bucket: Mutex<Bucket>,
}

impl Service {
    pub(super) fn new(handle: Handle, drain: Drain) -> Self {
        let cores = available_parallelism().map_or(1, Into::into);
        Self {
            handle,
            drain,
            bucket: Mutex::new(Bucket::new(cores, Instant::now())),
        }
    }

    /// Before any work is done for a new stream.
    fn admit(&self) -> Result<(), Status> {
        let spread = rand::rng().random_range(0.0..=1.0);
        // A bucket has no state that a panic could leave half done.
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.admit(Instant::now(), spread).map_err(|wait| {
            metrics::counter!(STREAMS_REFUSED).increment(1);
            error::too_many(wait)
        })
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
        let caller = caller(&request)?;
        self.admit()?;
        let (handle, drain) = (self.handle.clone(), self.drain.clone());
        let inbound = request.into_inner();
        let feed = feed(SYNC_ROOM, PATIENCE, |filler| {
            sync::run(handle, caller, inbound, filler, drain)
        });
        Ok(Response::new(feed))
    }

    async fn fetch(&self, request: Request<v1::Hello>) -> Result<Response<v1::Push>, Status> {
        let caller = caller(&request)?;
        self.admit()?;
        let hello = hello::check(request.into_inner())?;
        scope::hello(&caller, &hello)?;
        let push = self.handle.fetch(hello).await;
        push.map(Response::new).ok_or_else(error::stopping)
    }

    async fn report(
        &self,
        request: Request<Streaming<v1::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let caller = caller(&request)?;
        let (handle, drain) = (self.handle.clone(), self.drain.clone());
        let inbound = request.into_inner();
        let feed = feed(ACK_ROOM, PATIENCE, |filler| {
            report::run(handle, caller, inbound, filler, drain)
        });
        Ok(Response::new(feed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::store::memory::{Disk, MemoryStore};
    use serinus_runtime::shutdown;
    use std::sync::Arc;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    #[test]
    fn streams_that_come_all_at_once_are_told_when_to_come_back() {
        let store = Arc::new(MemoryStore::open(Disk::default()));
        let (_engine, handle) = Engine::start(store, "test").unwrap();
        let (_trigger, drain) = shutdown::channel();
        let service = Service::new(handle, drain);
        service.bucket.lock().unwrap().empty();
        let status = service.admit().unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        let wait = details.retry_info().unwrap().retry_delay.unwrap();
        assert!(wait >= Duration::from_millis(500));
    }
}
