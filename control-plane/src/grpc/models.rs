//! Models and their stable variants.

use super::error;
use crate::access::guard::caller;
use crate::engine::Handle;
use serinus_proto::v1::{self, models_server::Models};
use tonic::{Request, Response, Status};

/// Serves `Models`.
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
impl Models for Service {
    async fn list_models(
        &self,
        _: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let views = self.handle.views();
        let models = views
            .models
            .values()
            .map(|model| (**model).clone())
            .collect();
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn get_model(
        &self,
        request: Request<v1::GetModelRequest>,
    ) -> Result<Response<v1::Model>, Status> {
        let name = request.into_inner().model;
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
        let set = self
            .handle
            .set_stable(&caller.name, request.into_inner())
            .await;
        super::rollouts::count("set_stable", &set);
        set.map(Response::new).map_err(error::command)
    }
}
