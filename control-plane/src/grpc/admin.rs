//! The control plane about itself.

use crate::engine::Handle;
use serinus_proto::v1::{self, admin_server::Admin};
use tonic::{Request, Response, Status};

/// Serves `Admin`.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
}

impl Service {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
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
}
