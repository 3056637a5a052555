use super::{Call, World};
use serinus_proto::v1::{
    self, CommandRequest, Rollout, admin_server::Admin, events_server::Events,
    models_server::Models, rollouts_server::Rollouts, watch_events_response::Message,
};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Boxed<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone, Debug)]
pub(super) struct Services(pub(super) Arc<Mutex<World>>);

impl Services {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn command(&self, verb: &'static str, request: Request<CommandRequest>) -> Answer<Rollout> {
        let request = request.into_inner();
        let call = Call {
            verb,
            request_id: request.request_id,
            expected_revision: request.expected_revision,
            reason: request.reason,
        };
        self.world().change(call, &request.rollout)
    }
}

#[tonic::async_trait]
impl Rollouts for Services {
    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<Rollout> {
        let request = request.into_inner();
        let mut world = self.world();
        world.calls.push(Call {
            verb: "apply",
            request_id: request.request_id.clone(),
            expected_revision: 0,
            reason: request.reason.clone(),
        });
        if let Some(status) = world.refusals.pop_front() {
            return Err(status);
        }
        let mut rollout = world.rollout.clone().unwrap_or_default();
        rollout.plan.clone_from(&request.plan);
        world.applied = Some(request);
        world.rollout = Some(rollout.clone());
        Ok(Response::new(rollout))
    }

    async fn get(&self, request: Request<v1::GetRolloutRequest>) -> Answer<Rollout> {
        let token = request.metadata().get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        self.world().tokens.extend(token);
        self.world()
            .rollout(&request.into_inner().rollout)
            .map(Response::new)
    }

    /// Two rollouts on two pages, however long the page may be.
    async fn list(
        &self,
        request: Request<v1::ListRolloutsRequest>,
    ) -> Answer<v1::ListRolloutsResponse> {
        let request = request.into_inner();
        let mut rollout = self.world().rollout.clone().unwrap_or_default();
        let first = request.page_token.is_empty();
        if !first {
            rollout.id = "r-0".to_owned();
        }
        Ok(Response::new(v1::ListRolloutsResponse {
            rollouts: vec![rollout],
            next_page_token: if first { "2" } else { "" }.to_owned(),
            ..Default::default()
        }))
    }

    type WatchStream = Boxed<Rollout>;
    async fn watch(&self, request: Request<v1::WatchRolloutRequest>) -> Answer<Boxed<Rollout>> {
        let mut world = self.world();
        world.rollout(&request.into_inner().rollout)?;
        let states = world.streams.pop_front().unwrap_or_default();
        let sent = tokio_stream::iter(states.into_iter().map(Ok));
        if world.streams.is_empty() {
            return Ok(Response::new(Box::pin(sent.chain(tokio_stream::pending()))));
        }
        let broken = tokio_stream::once(Err(Status::unavailable("restarting")));
        Ok(Response::new(Box::pin(sent.chain(broken))))
    }

    type GetRecordingStream = Boxed<v1::RecordingChunk>;
    async fn get_recording(
        &self,
        request: Request<v1::GetRecordingRequest>,
    ) -> Answer<Boxed<v1::RecordingChunk>> {
        let world = self.world();
        world.rollout(&request.into_inner().rollout)?;
        let chunks = tokio_stream::iter(world.chunks.clone().into_iter().map(Ok));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn pause(&self, request: Request<CommandRequest>) -> Answer<Rollout> {
        self.command("pause", request)
    }

    async fn resume(&self, request: Request<CommandRequest>) -> Answer<Rollout> {
        self.command("resume", request)
    }

    async fn approve(&self, request: Request<CommandRequest>) -> Answer<Rollout> {
        self.command("approve", request)
    }

    async fn reject(&self, request: Request<CommandRequest>) -> Answer<Rollout> {
        self.command("reject", request)
    }

    async fn cancel(&self, request: Request<CommandRequest>) -> Answer<Rollout> {
        self.command("cancel", request)
    }

    async fn undo(&self, request: Request<CommandRequest>) -> Answer<Rollout> {
        self.command("undo", request)
    }

    async fn rollback(&self, request: Request<CommandRequest>) -> Answer<Rollout> {
        self.command("rollback", request)
    }

    async fn promote(&self, request: Request<v1::PromoteRequest>) -> Answer<Rollout> {
        let request = request.into_inner();
        let call = Call {
            verb: "promote",
            request_id: request.request_id.clone(),
            expected_revision: request.expected_revision,
            reason: request.reason.clone(),
        };
        let mut world = self.world();
        let changed = world.change(call, &request.rollout);
        world.promoted = Some(request);
        changed
    }

    async fn set_split(&self, request: Request<v1::SetSplitRequest>) -> Answer<Rollout> {
        let request = request.into_inner();
        let call = Call {
            verb: "set_split",
            request_id: request.request_id.clone(),
            expected_revision: request.expected_revision,
            reason: request.reason.clone(),
        };
        let mut world = self.world();
        let changed = world.change(call, &request.rollout);
        world.split = Some(request);
        changed
    }

    async fn validate(&self, _: Request<v1::ValidateRequest>) -> Answer<v1::ValidateResponse> {
        Err(Status::unimplemented("plans are checked by apply here"))
    }

    /// Pages of at most two events.
    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        let request = request.into_inner();
        let world = self.world();
        world.rollout(&request.rollout)?;
        let size = request.page_size.min(2) as usize;
        let left = world
            .events
            .iter()
            .filter(|event| event.revision > request.after_revision);
        let mut events: Vec<v1::Event> = left.cloned().collect();
        let more = events.len() > size;
        events.truncate(size);
        Ok(Response::new(v1::HistoryResponse { events, more }))
    }
}

#[tonic::async_trait]
impl Models for Services {
    async fn list_models(
        &self,
        _: Request<v1::ListModelsRequest>,
    ) -> Answer<v1::ListModelsResponse> {
        let models = self.world().model.clone().into_iter().collect();
        Ok(Response::new(v1::ListModelsResponse {
            models,
            ..Default::default()
        }))
    }

    async fn get_model(&self, _: Request<v1::GetModelRequest>) -> Answer<v1::Model> {
        let model = self.world().model.clone();
        model
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such model"))
    }

    async fn set_stable(&self, request: Request<v1::SetStableRequest>) -> Answer<v1::Model> {
        let request = request.into_inner();
        let model = v1::Model {
            name: request.model.clone(),
            stable: request.stable.clone(),
            revision: 1,
            ..Default::default()
        };
        let mut world = self.world();
        world.model = Some(model.clone());
        world.stable = Some(request);
        Ok(Response::new(model))
    }
}

#[tonic::async_trait]
impl Events for Services {
    type WatchStream = Boxed<v1::WatchEventsResponse>;
    /// The first follower is cut off after two events.
    async fn watch(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Answer<Boxed<v1::WatchEventsResponse>> {
        let request = request.into_inner();
        let mut world = self.world();
        let cut = request.follow && world.event_requests.is_empty();
        let after = request.after_revision;
        world.event_requests.push(request);
        let left = world.events.iter().filter(|event| event.revision > after);
        let take = if cut { 2 } else { usize::MAX };
        let message = |event: v1::Event| v1::WatchEventsResponse {
            message: Some(Message::Event(event)),
            generation: 1,
        };
        let sent: Vec<_> = left
            .take(take)
            .cloned()
            .map(|event| Ok(message(event)))
            .collect();
        let sent = tokio_stream::iter(sent);
        let end = match (cut, world.events.is_empty()) {
            (true, _) => Some(Err(Status::resource_exhausted("too slow"))),
            (false, true) => Some(Err(Status::out_of_range("revision 1 is no longer kept"))),
            (false, false) => None,
        };
        Ok(Response::new(Box::pin(sent.chain(tokio_stream::iter(end)))))
    }
}

#[tonic::async_trait]
impl Admin for Services {
    /// A sidecar a page, however long the page may be.
    async fn list_sidecars(
        &self,
        request: Request<v1::ListSidecarsRequest>,
    ) -> Answer<v1::ListSidecarsResponse> {
        let request = request.into_inner();
        let at: usize = request.page_token.parse().unwrap_or(0);
        let wanted = |of: &&v1::SidecarInfo| {
            let serves = of.models.iter().any(|served| served.model == request.model);
            let mut labels = request.labels.iter();
            (request.model.is_empty() || serves)
                && labels.all(|(name, value)| of.labels.get(name) == Some(value))
        };
        let world = self.world();
        let all: Vec<_> = world.sidecars.iter().filter(wanted).cloned().collect();
        let more = at + 1 < all.len();
        Ok(Response::new(v1::ListSidecarsResponse {
            sidecars: all.into_iter().skip(at).take(1).collect(),
            next_page_token: if more {
                (at + 1).to_string()
            } else {
                String::new()
            },
            ..Default::default()
        }))
    }

    async fn get_info(&self, _: Request<v1::GetInfoRequest>) -> Answer<v1::Info> {
        Ok(Response::new(self.world().info.clone()))
    }

    async fn release_sidecar(
        &self,
        request: Request<v1::ReleaseSidecarRequest>,
    ) -> Answer<v1::SidecarInfo> {
        let request = request.into_inner();
        let mut world = self.world();
        let known = world
            .sidecars
            .iter_mut()
            .find(|of| of.sidecar == request.sidecar);
        let sidecar = known.ok_or_else(|| Status::not_found("no such sidecar"))?;
        sidecar.quarantined.clear();
        Ok(Response::new(sidecar.clone()))
    }

    type ListAuditStream = Boxed<v1::ListAuditResponse>;

    async fn list_audit(
        &self,
        _: Request<v1::ListAuditRequest>,
    ) -> Answer<Boxed<v1::ListAuditResponse>> {
        let messages = self.world().audit.clone();
        let messages = tokio_stream::iter(messages.into_iter().map(Ok));
        Ok(Response::new(Box::pin(messages)))
    }

    type BackupStream = Boxed<v1::BackupChunk>;

    /// Two chunks, and an error instead of the rest where a refusal is waiting.
    async fn backup(&self, _: Request<v1::BackupRequest>) -> Answer<Boxed<v1::BackupChunk>> {
        let cut = self.world().refusals.pop_front();
        let chunk = |text: &str| Ok(v1::BackupChunk { data: text.into() });
        let chunks = [chunk("one "), chunk("two")];
        let chunks = tokio_stream::iter(chunks).chain(tokio_stream::iter(cut.map(Err)));
        Ok(Response::new(Box::pin(chunks)))
    }
}
