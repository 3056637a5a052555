//! Plans and their executions.

mod history;
mod recording;
mod watch;

use super::feed::Feed;
use super::page::{self, Asked, Pages};
use super::watches::Watches;
use super::{error, required};
use crate::access::guard::caller;
use crate::access::{Caller, Role};
use crate::engine::{Command, CommandError, Handle, Verb};
use crate::metrics::COMMANDS;
use serinus_proto::v1::{self, rollouts_server::Rollouts};
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// Of a page.
const ROLLOUTS: usize = 50;
const MOST_ROLLOUTS: usize = 500;

/// Serves `Rollouts`.
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

    async fn command<T>(
        &self,
        verb: &'static str,
        request: Request<T>,
        command: impl FnOnce(T) -> Command,
    ) -> Result<Response<v1::Rollout>, Status> {
        let caller = caller(&request)?;
        let command = command(request.into_inner());
        let said = required::check(&command, &self.handle.views());
        if let Err(status) = said {
            count::<()>(verb, &Err(status.clone()));
            return Err(status);
        }
        let done = self.handle.command(&caller, command).await;
        let done = done.map_err(|error| refused(&caller, error));
        count(verb, &done);
        done.map(Response::new)
    }

    /// What goes past the steps of a plan that asks for an approval takes whoever may give it.
    fn may_pass<T>(&self, request: &Request<T>, rollout: &str, what: &str) -> Result<(), Status> {
        let views = self.handle.views();
        let plan = views
            .find(rollout)
            .and_then(|rollout| rollout.plan.as_ref());
        if plan.is_some_and(|plan| plan.steps.iter().any(|step| step.approval.is_some())) {
            let what = format!("{what}, where the plan asks for an approval,");
            caller(request)?.has(Role::Approver, &what)?;
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Arc<v1::Rollout>, Status> {
        let name = required::name("rollout", name)?;
        let views = self.handle.views();
        let rollout = views.find(name).cloned();
        rollout.ok_or_else(|| error::not_found("rollout", name))
    }
}

/// The status of a command that was not done; kept with the refused calls.
pub(super) fn refused(caller: &Caller, error: CommandError) -> Status {
    let status = error::command(error);
    caller.was_refused(&status);
    status
}

/// Counts a command by its result.
pub(super) fn count<T>(verb: &'static str, done: &Result<T, Status>) {
    let code = done.as_ref().map_or_else(Status::code, |_| Code::Ok);
    let result = match code {
        Code::Ok => "done",
        Code::Unavailable => "unavailable",
        _ => "refused",
    };
    let code = error::code_name(code);
    metrics::counter!(COMMANDS, "verb" => verb, "result" => result, "code" => code).increment(1);
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
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.page_token);
        let size = std::mem::take(&mut request.page_size);
        let asked = Asked {
            token: &token,
            size: page::size(size, ROLLOUTS, MOST_ROLLOUTS),
            filters: page::filters("rollouts", &request),
            newest_first: true,
        };
        let wanted = |rollout: &v1::Rollout| {
            (request.model.is_empty() || rollout.model == request.model)
                && (request.states.is_empty() || request.states.contains(&rollout.state))
                && !(request.active_only && page::is_over(rollout))
        };
        // Ids sort by age.
        let views = self.handle.views();
        let page = self
            .pages
            .list(views, asked, |views| &views.rollouts, wanted)?;
        Ok(Response::new(v1::ListRolloutsResponse {
            rollouts: page.items,
            next_page_token: page.next,
            revision: page.revision,
        }))
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
        self.may_pass(&request, &request.get_ref().rollout, "promoting")?;
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
        if request.get_ref().force {
            self.may_pass(&request, &request.get_ref().rollout, "a forced split")?;
        }
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
