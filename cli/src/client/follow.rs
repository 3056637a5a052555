//! A rollout as it changes, across lost connections.

use super::Client;
use crate::failure::{self, Failure};
use serinus_proto::v1;
use serinus_runtime::backoff::Backoff;
use std::time::Duration;
use tonic::{Code, Status, Streaming};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The states of one rollout. Loses no end: after a reconnect the first message is the rollout as it is then.
#[derive(Debug)]
pub(crate) struct Follow {
    client: Client,
    rollout: String,
    stream: Option<Streaming<v1::Rollout>>,
    backoff: Backoff,
    lost: bool,
}

/// What a follower hears.
#[derive(Debug)]
pub(crate) enum Update {
    /// The rollout as it is now.
    State(Box<v1::Rollout>),
    /// The connection is gone, and why; what was heard last may be old by now.
    Lost(String),
}

impl Follow {
    /// Finds the rollout by id or model, so that a later rollout of the model is not mixed up with it.
    pub(crate) async fn open(client: &Client, name: &str) -> Result<(Self, v1::Rollout), Failure> {
        let first = get(client, name).await?;
        let follow = Self {
            client: client.clone(),
            rollout: first.id.clone(),
            stream: None,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            lost: false,
        };
        Ok((follow, first))
    }

    /// The next change, or, once, that the connection is lost. Waits through lost connections for as long as it is
    /// asked.
    ///
    /// # Errors
    /// If the server refuses, e.g. because the rollout is gone.
    pub(crate) async fn next(&mut self) -> Result<Update, Failure> {
        loop {
            if self.lost {
                tokio::time::sleep(self.backoff.next_delay()).await;
            }
            let why = match self.receive().await {
                Ok(Some(rollout)) => {
                    self.lost = false;
                    self.backoff.reset();
                    return Ok(Update::State(Box::new(rollout)));
                }
                Ok(None) => "the control plane ended the stream".to_owned(),
                Err(status) if is_lost(&status) => status.message().to_owned(),
                Err(status) => return Err(self.client.failure(&status)),
            };
            self.stream = None;
            if !std::mem::replace(&mut self.lost, true) {
                return Ok(Update::Lost(format!(
                    "connection lost: {why}; trying again"
                )));
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<v1::Rollout>, Status> {
        if self.stream.is_none() {
            let request = v1::WatchRolloutRequest {
                rollout: self.rollout.clone(),
                min_interval: None,
            };
            self.stream = Some(self.client.rollouts().watch(request).await?.into_inner());
        }
        match &mut self.stream {
            Some(stream) => stream.message().await,
            None => Ok(None),
        }
    }
}

/// One rollout by id or model.
pub(crate) async fn get(client: &Client, name: &str) -> Result<v1::Rollout, Failure> {
    try_get(client, name)
        .await
        .map_err(|status| client.failure(&status))
}

/// As [`get`], for callers that act on the code.
pub(crate) async fn try_get(client: &Client, name: &str) -> Result<v1::Rollout, Status> {
    client
        .try_ask(|| {
            let mut rollouts = client.rollouts();
            let request = v1::GetRolloutRequest {
                rollout: name.to_owned(),
            };
            async move { rollouts.get(request).await }
        })
        .await
}

/// Whether the stream may be opened again: broken on the way, or the server restarts.
pub(crate) fn is_lost(status: &Status) -> bool {
    failure::is_unreachable(status)
        || matches!(
            status.code(),
            Code::Unavailable | Code::Cancelled | Code::ResourceExhausted
        )
}
