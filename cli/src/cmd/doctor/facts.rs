//! What there is to know: asked for once, from everywhere, and then looked at in peace.

use super::metrics::Metrics;
use super::web::{self, Page};
use crate::client::{Client, lists};
use crate::session::now_ms;
use serde_json::Value;
use serinus_proto::v1::{self, watch_events_response::Message};
use std::time::Duration;
use tokio::time::timeout;
use tonic::Code;

/// Rollouts that are looked at, newest first; the others have long been over.
const ROLLOUTS: usize = 1000;
/// Of the log, the last so many events.
const EVENTS: u64 = 2000;
const WITHIN: Duration = Duration::from_secs(10);

/// Everything that was learnt.
#[derive(Debug)]
pub(super) struct Facts {
    /// Unix milliseconds here.
    pub(super) now_ms: u64,
    pub(super) server: String,
    pub(super) control_plane: Result<ControlPlane, Refused>,
    pub(super) http: String,
    pub(super) web: Result<Web, String>,
    /// By address.
    pub(super) sidecars: Vec<(String, Result<Sidecar, String>)>,
}

/// Why the control plane said nothing.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: Code,
    pub(super) message: String,
}

/// What is known over gRPC.
#[derive(Debug, Default)]
pub(super) struct ControlPlane {
    pub(super) info: v1::Info,
    pub(super) models: Vec<v1::Model>,
    pub(super) rollouts: Vec<v1::Rollout>,
    pub(super) sidecars: Vec<v1::SidecarInfo>,
    pub(super) log: Log,
}

/// The end of the event log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// It was read behind this revision.
    pub(super) after: u64,
    pub(super) events: Vec<v1::Event>,
    /// Why it could not be read to its end.
    pub(super) broken: Option<String>,
}

/// What the HTTP port says.
#[derive(Debug)]
pub(super) struct Web {
    pub(super) alive: Page,
    pub(super) ready: Page,
    pub(super) metrics: Metrics,
}

/// What a sidecar's admin port says.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) ready: Page,
    /// `/status`.
    pub(super) status: Value,
}

impl Facts {
    /// For people: where the answers are from.
    pub(super) fn looked_at(&self) -> Vec<String> {
        let mut places = vec![
            format!("control plane {}", self.server),
            format!("its HTTP port {}", self.http),
        ];
        if let Ok(known) = &self.control_plane {
            places.push(format!("{} events", known.log.events.len()));
        }
        let sidecars = self.sidecars.iter();
        places.extend(sidecars.map(|(address, _)| format!("sidecar {address}")));
        places
    }
}

/// Asks everywhere.
pub(super) async fn gather(client: &Client, http: &str, sidecars: &[String]) -> Facts {
    let mut asked = Vec::new();
    for address in sidecars {
        let address = web::address(address);
        asked.push((address.to_owned(), sidecar(address).await));
    }
    Facts {
        now_ms: now_ms(),
        server: client.server().to_owned(),
        control_plane: control_plane(client).await,
        http: http.to_owned(),
        web: self::web(http).await,
        sidecars: asked,
    }
}

async fn control_plane(client: &Client) -> Result<ControlPlane, Refused> {
    let info = client
        .try_ask(|| {
            let mut admin = client.admin();
            async move { admin.get_info(v1::GetInfoRequest {}).await }
        })
        .await
        .map_err(|status| Refused {
            code: status.code(),
            message: client.failure(&status).to_string(),
        })?;
    let failed = |failure: crate::failure::Failure| Refused {
        code: Code::Unknown,
        message: failure.to_string(),
    };
    let models = lists::models(client).await.map_err(failed)?;
    let sidecars = lists::sidecars(client, v1::ListSidecarsRequest::default()).await;
    let request = v1::ListRolloutsRequest::default();
    let rollouts = lists::rollouts(client, request, ROLLOUTS).await;
    let rollouts = rollouts.map_err(failed)?;
    let last = rollouts.iter().map(|rollout| rollout.revision).max();
    Ok(ControlPlane {
        info,
        models,
        rollouts,
        sidecars: sidecars.map_err(failed)?,
        log: log(client, last.unwrap_or(0).saturating_sub(EVENTS)).await,
    })
}

/// The events behind a revision, or behind the oldest that is kept.
async fn log(client: &Client, after: u64) -> Log {
    let mut log = Log {
        after,
        ..Log::default()
    };
    let read = timeout(WITHIN, read(client, &mut log)).await;
    log.broken = match read {
        Ok(Ok(())) => None,
        Ok(Err(status)) => Some(status.message().to_owned()),
        Err(_) => Some(format!("it was not read within {} s", WITHIN.as_secs())),
    };
    log
}

async fn read(client: &Client, log: &mut Log) -> Result<(), tonic::Status> {
    let request = |after_revision| v1::WatchEventsRequest {
        after_revision,
        ..v1::WatchEventsRequest::default()
    };
    let begun = client.events().watch(request(log.after)).await;
    let mut stream = match begun {
        Err(status) if status.code() == Code::OutOfRange => {
            log.after = oldest(&status).saturating_sub(1);
            client.events().watch(request(log.after)).await?
        }
        begun => begun?,
    }
    .into_inner();
    while let Some(response) = stream.message().await? {
        if let Some(Message::Event(event)) = response.message {
            log.events.push(event);
        }
    }
    Ok(())
}

/// What is kept, by the status that says that something is not.
fn oldest(status: &tonic::Status) -> u64 {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let oldest = details
        .error_info()
        .and_then(|info| info.metadata.get("oldest"));
    oldest.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn web(http: &str) -> Result<Web, String> {
    Ok(Web {
        alive: web::get(http, "/healthz").await?,
        ready: web::get(http, "/readyz").await?,
        metrics: Metrics::parse(&web::get(http, "/metrics").await?.text),
    })
}

async fn sidecar(address: &str) -> Result<Sidecar, String> {
    let ready = web::get(address, "/readyz").await?;
    let status = web::get(address, "/status").await?;
    let parsed = serde_json::from_str(&status.text);
    Ok(Sidecar {
        ready,
        status: parsed.map_err(|_| {
            format!(
                "it is no sidecar's admin port: /status answers {}",
                status.status
            )
        })?,
    })
}
