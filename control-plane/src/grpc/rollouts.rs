//! Plans and their executions.

mod history;
mod recording;
mod watch;

use super::auth::actor;
use super::feed::Feed;
use super::watches::Watches;
use super::{error, page};
use crate::engine::{Command, CommandError, Handle, Verb};
use crate::metrics::COMMANDS;
use serinus_proto::v1::{self, rollouts_server::Rollouts};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves `Rollouts`.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
    watches: Watches,
}

impl Service {
    pub(super) fn new(handle: Handle, watches: Watches) -> Self {
        Self { handle, watches }
    }

    async fn command<T>(
        &self,
        verb: &'static str,
        request: Request<T>,
        command: impl FnOnce(T) -> Command,
    ) -> Result<Response<v1::Rollout>, Status> {
        let actor = actor(&request);
        let done = self
            .handle
            .command(&actor, command(request.into_inner()))
            .await;
        count(verb, &done);
        done.map(Response::new).map_err(error::command)
    }

    fn find(&self, name: &str) -> Result<Arc<v1::Rollout>, Status> {
        let views = self.handle.views();
        let rollout = views.find(name).cloned();
        rollout.ok_or_else(|| error::not_found("rollout", name))
    }
}

/// Counts a command by its result.
pub(super) fn count<T>(verb: &'static str, done: &Result<T, CommandError>) {
    let result = match done {
        Ok(_) => "done",
        Err(CommandError::Stopping | CommandError::Full(_)) => "unavailable",
        Err(_) => "refused",
    };
    metrics::counter!(COMMANDS, "verb" => verb, "result" => result).increment(1);
}

#[tonic::async_trait]
impl Rollouts for Service {
    type WatchStream = Feed<v1::Rollout>;

    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("apply", request, Command::Apply).await
    }

    async fn get(
        &self,
        request: Request<v1::GetRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        let rollout = self.find(&request.into_inner().rollout)?;
        Ok(Response::new((*rollout).clone()))
    }

    async fn list(
        &self,
        request: Request<v1::ListRolloutsRequest>,
    ) -> Result<Response<v1::ListRolloutsResponse>, Status> {
        page::rollouts(&self.handle.views(), request.get_ref()).map(Response::new)
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRolloutRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let id = self.find(&request.rollout)?.id.clone();
        let interval = watch::interval(request.min_interval.as_ref());
        let views = self.handle.watch_views();
        let feed = self
            .watches
            .start(move |watcher| watch::run(views, watcher, id, interval))?;
        Ok(Response::new(feed))
    }

    type GetRecordingStream = Feed<v1::RecordingChunk>;

    async fn get_recording(
        &self,
        request: Request<v1::GetRecordingRequest>,
    ) -> Result<Response<Self::GetRecordingStream>, Status> {
        let id = self.find(&request.into_inner().rollout)?.id.clone();
        let handle = self.handle.clone();
        let feed = self
            .watches
            .start(move |watcher| recording::run(handle, watcher, id))?;
        Ok(Response::new(feed))
    }

    async fn pause(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("pause", request, |r| Command::Verb(Verb::Pause, r))
            .await
    }

    async fn resume(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("resume", request, |r| Command::Verb(Verb::Resume, r))
            .await
    }

    async fn approve(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("approve", request, |r| Command::Verb(Verb::Approve, r))
            .await
    }

    async fn reject(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("reject", request, |r| Command::Verb(Verb::Reject, r))
            .await
    }

    async fn promote(
        &self,
        request: Request<v1::PromoteRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("promote", request, Command::Promote).await
    }

    async fn rollback(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("rollback", request, |r| Command::Verb(Verb::Rollback, r))
            .await
    }

    async fn undo(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("undo", request, Command::Undo).await
    }

    async fn cancel(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("cancel", request, Command::Cancel).await
    }

    async fn set_split(
        &self,
        request: Request<v1::SetSplitRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        self.command("set_split", request, Command::SetSplit).await
    }

    async fn validate(
        &self,
        request: Request<v1::ValidateRequest>,
    ) -> Result<Response<v1::ValidateResponse>, Status> {
        let plan = request.into_inner().plan;
        let plan = plan.ok_or_else(|| error::bad_field("plan", "is missing"))?;
        let response = match self.handle.complete(plan) {
            Ok(plan) => v1::ValidateResponse {
                plan: Some(plan),
                violations: Vec::new(),
            },
            Err(violations) => v1::ValidateResponse {
                plan: None,
                violations,
            },
        };
        Ok(Response::new(response))
    }

    async fn history(
        &self,
        request: Request<v1::HistoryRequest>,
    ) -> Result<Response<v1::HistoryResponse>, Status> {
        let request = request.into_inner();
        let rollout = self.find(&request.rollout)?;
        history::page(&self.handle, &rollout.id, &request)
            .await
            .map(Response::new)
    }
}
