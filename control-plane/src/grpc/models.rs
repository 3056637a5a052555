//! Models and their stable variants.

use super::page::{self, Asked, Pages};
use super::rollouts::refused;
use super::{error, required};
use crate::access::guard::caller;
use crate::engine::Handle;
use serinus_proto::v1::{self, models_server::Models};
use tonic::{Request, Response, Status};

/// Serves `Models`.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
    pages: Pages,
}

impl Service {
    pub(super) fn new(handle: Handle, pages: Pages) -> Self {
        Self { handle, pages }
    }
}

#[tonic::async_trait]
impl Models for Service {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.page_token);
        let size = std::mem::take(&mut request.page_size);
        let asked = Asked {
            token: &token,
            size: page::size(size, page::NAMED, page::MOST_NAMED),
            filters: page::filters("models", &request),
            newest_first: false,
        };
        let wanted = |model: &v1::Model| !request.active_only || !model.active_rollout.is_empty();
        let views = self.handle.views();
        let page = self
            .pages
            .list(views, asked, |views| &views.models, wanted)?;
        Ok(Response::new(v1::ListModelsResponse {
            models: page.items,
            next_page_token: page.next,
            revision: page.revision,
        }))
    }

    async fn get_model(
        &self,
        request: Request<v1::GetModelRequest>,
    ) -> Result<Response<v1::Model>, Status> {
        let name = request.into_inner().model;
        required::name("model", &name)?;
        let views = self.handle.views();
        let model = views
            .models
            .get(&name)
            .ok_or_else(|| error::not_found("model", &name))?;
        Ok(Response::new((**model).clone()))
    }

    async fn set_stable(
        &self,
        request: Request<v1::SetStableRequest>,
    ) -> Result<Response<v1::Model>, Status> {
        let caller = caller(&request)?;
        let set = self.handle.set_stable(&caller, request.into_inner()).await;
        let set = set.map_err(|error| refused(&caller, error));
        super::rollouts::count("set_stable", &set);
        set.map(Response::new)
    }
}
