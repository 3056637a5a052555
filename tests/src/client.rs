//! Typed calls to a control plane, with the request ids and revisions that they need.

use anyhow::{Context as _, Result};
use serinus_proto::v1;
use serinus_proto::v1::admin_client::AdminClient;
use serinus_proto::v1::events_client::EventsClient;
use serinus_proto::v1::outcomes_client::OutcomesClient;
use serinus_proto::v1::rollouts_client::RolloutsClient;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

use crate::cluster::trace::Trace;
use crate::eventually::eventually;

static REQUEST: AtomicU64 = AtomicU64::new(0);

/// A new request id.
#[must_use]
pub fn request_id() -> String {
    format!(
        "test-{}-{}",
        std::process::id(),
        REQUEST.fetch_add(1, Ordering::Relaxed)
    )
}

/// A command that carries nothing but itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Stop the ramp.
    Pause,
    /// Go on.
    Resume,
    /// Let the step be left.
    Approve,
    /// Do not let it.
    Reject,
    /// To stable.
    Rollback,
    /// Take a promotion back.
    Undo,
    /// Out of the queue.
    Cancel,
}

/// A connection that is made anew when the control plane comes back.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    /// Where answers are written down.
    trace: Option<Trace>,
}

impl Client {
    /// For the gRPC address `host:port`.
    ///
    /// # Errors
    /// If that is no address.
    pub fn new(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(10));
        Ok(Self {
            channel: endpoint.connect_lazy(),
            trace: None,
        })
    }

    /// The same, and what is answered is written down.
    #[must_use]
    pub fn traced(self, trace: &Trace) -> Self {
        let trace = Some(trace.clone());
        Self { trace, ..self }
    }

    /// For whoever makes clients of other kinds.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn acknowledged(&self, request_id: &str, answer: &v1::Rollout) {
        if let Some(trace) = &self.trace {
            trace.acknowledged(request_id, answer);
        }
    }

    /// The service of rollouts.
    #[must_use]
    pub fn rollouts(&self) -> RolloutsClient<Channel> {
        RolloutsClient::new(self.channel.clone())
    }

    /// The service of events.
    #[must_use]
    pub fn events(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel.clone())
    }

    /// The control plane about itself.
    #[must_use]
    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone())
    }

    /// The service of outcomes.
    #[must_use]
    pub fn outcomes(&self) -> OutcomesClient<Channel> {
        OutcomesClient::new(self.channel.clone())
    }

    /// Applies a plan written in YAML.
    ///
    /// # Errors
    /// If the plan has mistakes or is refused.
    pub async fn apply(&self, plan: &str) -> Result<v1::Rollout> {
        let plan =
            serinus_core::plan::parse(plan).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
        let request = v1::ApplyRequest {
            request_id: request_id(),
            plan: Some(plan),
            ..Default::default()
        };
        Ok(self.apply_request(request).await?)
    }

    /// Applies as it is asked.
    ///
    /// # Errors
    /// If it is refused, or nobody answers.
    pub async fn apply_request(
        &self,
        request: v1::ApplyRequest,
    ) -> Result<v1::Rollout, tonic::Status> {
        let (id, dry) = (request.request_id.clone(), request.validate_only);
        let answer = self.rollouts().apply(request).await?.into_inner();
        if !dry {
            self.acknowledged(&id, &answer);
        }
        Ok(answer)
    }

    /// A rollout by its id or its model.
    ///
    /// # Errors
    /// If there is none, or nobody answers.
    pub async fn get(&self, rollout: &str) -> Result<v1::Rollout, tonic::Status> {
        let request = v1::GetRolloutRequest {
            rollout: rollout.to_owned(),
        };
        Ok(self.rollouts().get(request).await?.into_inner())
    }

    /// A command at the present revision.
    ///
    /// # Errors
    /// If there is no such rollout.
    pub async fn ask(&self, rollout: &str, reason: &str) -> Result<v1::CommandRequest> {
        Ok(v1::CommandRequest {
            rollout: rollout.to_owned(),
            request_id: request_id(),
            expected_revision: self.get(rollout).await?.revision,
            reason: reason.to_owned(),
            validate_only: false,
            ..v1::CommandRequest::default()
        })
    }

    /// Sends a command at the present revision, again with a newer one if the rollout changed meanwhile: a guarded
    /// rollout writes events of its own. Returns the command that was done, and its answer.
    ///
    /// # Errors
    /// If it is refused for another reason.
    pub async fn command(
        &self,
        verb: Verb,
        rollout: &str,
        reason: &str,
    ) -> Result<(v1::CommandRequest, v1::Rollout)> {
        loop {
            let request = self.ask(rollout, reason).await?;
            match self.send(verb, request.clone()).await {
                Ok(rollout) => return Ok((request, rollout)),
                Err(status) if status.code() == tonic::Code::Aborted => {}
                Err(status) => return Err(status.into()),
            }
        }
    }

    /// Sends a command as it is.
    ///
    /// # Errors
    /// If it is refused, or nobody answers.
    pub async fn send(
        &self,
        verb: Verb,
        request: v1::CommandRequest,
    ) -> Result<v1::Rollout, tonic::Status> {
        let mut rollouts = self.rollouts();
        let (id, dry) = (request.request_id.clone(), request.validate_only);
        let answer = match verb {
            Verb::Pause => rollouts.pause(request).await,
            Verb::Resume => rollouts.resume(request).await,
            Verb::Approve => rollouts.approve(request).await,
            Verb::Reject => rollouts.reject(request).await,
            Verb::Rollback => rollouts.rollback(request).await,
            Verb::Undo => rollouts.undo(request).await,
            Verb::Cancel => rollouts.cancel(request).await,
        };
        let answer = answer?.into_inner();
        if !dry {
            self.acknowledged(&id, &answer);
        }
        Ok(answer)
    }

    /// Waits until a rollout is as `wanted` says. An outage meanwhile is waited out.
    ///
    /// # Errors
    /// If that does not happen within `limit`; the error shows the rollout as it was last.
    pub async fn until(
        &self,
        rollout: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&v1::Rollout) -> bool,
    ) -> Result<v1::Rollout> {
        let found = eventually(what, limit, || async {
            Ok(self
                .get(rollout)
                .await
                .ok()
                .filter(|rollout| wanted(rollout)))
        });
        match found.await {
            Ok(rollout) => Ok(rollout),
            Err(error) => {
                let last = self.get(rollout).await;
                Err(error).with_context(|| format!("the rollout was last: {last:#?}"))
            }
        }
    }

    /// Every event after a revision.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn events_after(&self, after_revision: u64) -> Result<Vec<v1::Event>> {
        use v1::watch_events_response::Message;
        let request = v1::WatchEventsRequest {
            rollout: String::new(),
            after_revision,
            follow: false,
            ..v1::WatchEventsRequest::default()
        };
        let mut stream = self.events().watch(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(response) = stream.message().await? {
            if let Some(Message::Event(event)) = response.message {
                events.push(event);
            }
        }
        Ok(events)
    }
}
