//! The control plane about itself.

mod audit;
mod backup;

use super::feed::Feed;
use super::page::{self, Asked, Pages};
use super::rollouts::refused;
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
    pages: Pages,
}

impl Service {
    pub(super) fn new(handle: Handle, watches: Watches, pages: Pages) -> Self {
        Self {
            handle,
            watches,
            pages,
        }
    }
}

#[tonic::async_trait]
impl Admin for Service {
    async fn list_sidecars(
        &self,
        request: Request<v1::ListSidecarsRequest>,
    ) -> Result<Response<v1::ListSidecarsResponse>, Status> {
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.page_token);
        let size = std::mem::take(&mut request.page_size);
        let asked = Asked {
            token: &token,
            size: page::size(size, page::NAMED, page::MOST_NAMED),
            filters: page::filters("sidecars", &request),
            newest_first: false,
        };
        let wanted = |sidecar: &v1::SidecarInfo| {
            let serves = |of: &v1::SidecarModel| of.model == request.model;
            let mut labels = request.labels.iter();
            (request.model.is_empty() || sidecar.models.iter().any(serves))
                && (sidecar.connected || !request.connected_only)
                && labels.all(|(name, value)| sidecar.labels.get(name) == Some(value))
        };
        let views = self.handle.views();
        let page = self
            .pages
            .list(views, asked, |views| &views.sidecars, wanted)?;
        Ok(Response::new(v1::ListSidecarsResponse {
            sidecars: page.items,
            next_page_token: page.next,
            revision: page.revision,
        }))
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

    type ListAuditStream = Feed<v1::ListAuditResponse>;

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<Self::ListAuditStream>, Status> {
        let refusals = caller(&request)?.refusals();
        let after = request.into_inner().after_revision;
        let handle = self.handle.clone();
        let feed = self
            .watches
            .start(move |watcher| audit::run(handle, watcher, after, refusals))?;
        Ok(Response::new(feed))
    }

    async fn release_sidecar(
        &self,
        request: Request<v1::ReleaseSidecarRequest>,
    ) -> Result<Response<v1::SidecarInfo>, Status> {
        let caller = caller(&request)?;
        let released = self.handle.release(&caller, request.into_inner()).await;
        let released = released.map_err(|error| refused(&caller, error));
        super::rollouts::count("release_sidecar", &released);
        released.map(Response::new)
    }
}
