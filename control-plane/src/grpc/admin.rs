//! The control plane about itself.

mod backup;

use super::error;
use super::feed::Feed;
use super::watches::Watches;
use crate::access::guard::caller;
use crate::engine::Handle;
use serinus_proto::v1::{self, admin_server::Admin};
use tonic::{Request, Response, Status};

/// Serves `Admin`.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
    watches: Watches,
}

impl Service {
    pub(super) fn new(handle: Handle, watches: Watches) -> Self {
        Self { handle, watches }
    }
}

#[tonic::async_trait]
impl Admin for Service {
    async fn list_sidecars(
        &self,
        _: Request<v1::ListSidecarsRequest>,
    ) -> Result<Response<v1::ListSidecarsResponse>, Status> {
        let views = self.handle.views();
        let sidecars = views
            .sidecars
            .values()
            .map(|sidecar| (**sidecar).clone())
            .collect();
        Ok(Response::new(v1::ListSidecarsResponse { sidecars }))
    }

    async fn get_info(&self, _: Request<v1::GetInfoRequest>) -> Result<Response<v1::Info>, Status> {
        Ok(Response::new(self.handle.info()))
    }

    type BackupStream = Feed<v1::BackupChunk>;

    async fn backup(
        &self,
        _: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let handle = self.handle.clone();
        let feed = self
            .watches
            .start(move |watcher| backup::run(handle, watcher))?;
        Ok(Response::new(feed))
    }

    async fn release_sidecar(
        &self,
        request: Request<v1::ReleaseSidecarRequest>,
    ) -> Result<Response<v1::SidecarInfo>, Status> {
        let caller = caller(&request)?;
        let released = self
            .handle
            .release(&caller.name, request.into_inner())
            .await;
        super::rollouts::count("release_sidecar", &released);
        released.map(Response::new).map_err(error::command)
    }
}
