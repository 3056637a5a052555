//! The gRPC surface: thin shells over the engine's [`Handle`]. What they add is the wire: limits, streams that end on a
//! drain, and errors as statuses.

mod admin;
mod auth;
pub(crate) mod deadline;
mod error;
mod events;
mod feed;
mod models;
mod outcomes;
mod page;
mod required;
mod rollouts;
mod sidecars;
pub mod token;
mod watches;

#[cfg(test)]
mod tests;

pub(crate) use error::{bad_field, bad_fields, code_name};
pub use feed::Feed;

use crate::engine::Handle;
use auth::Gate;
use page::Pages;
use serinus_proto::FILE_DESCRIPTOR_SET;
use serinus_proto::v1::{
    admin_server::AdminServer, events_server::EventsServer, models_server::ModelsServer,
    outcomes_server::OutcomesServer, rollouts_server, rollouts_server::RolloutsServer,
    sidecars_server, sidecars_server::SidecarsServer,
};
use serinus_runtime::shutdown::Drain;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use token::{Role, Tokens};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use watches::Watches;

/// A connection whose other end is silent for longer than the two together is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls of one connection at a time; watches and relayed sidecars share one.
const STREAMS: u32 = 1024;
const HEADER_BYTES: u32 = 16 * 1024;
/// Commands and plans are a few kilobytes.
const COMMAND_BYTES: usize = 1024 * 1024;
/// Of one report, and of 10,000 outcomes.
const REPORT_BYTES: usize = 4 * 1024 * 1024;

/// Whose health can be asked for, besides that of the whole.
const SERVICE_NAMES: [&str; 2] = [rollouts_server::SERVICE_NAME, sidecars_server::SERVICE_NAME];

const OPERATOR: &[Role] = &[Role::Operator];
const SIDECAR: &[Role] = &[Role::Sidecar];
const BOTH: &[Role] = &[Role::Operator, Role::Sidecar];

/// How to serve.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who may call; absent: everybody.
    pub tokens: Option<Tokens>,
    /// Whether to answer what services there are.
    pub reflection: bool,
}

/// Why serving ended before it was asked to.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("serve gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The services cannot be described.
    #[error("describe the services: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The services behind their gates, without a port: calls arrive over gRPC, and over HTTP/JSON, and are the same.
#[must_use]
pub fn routes(handle: Handle, tokens: Option<Tokens>, drain: Drain) -> Routes {
    let tokens = tokens.map(Arc::new);
    let gate = |allowed| Gate::new(tokens.clone(), allowed);
    let watches = Watches::new(drain.clone());
    let pages = Pages::new();

    let rollouts = rollouts::Service::new(handle.clone(), watches.clone(), pages.clone());
    let rollouts = RolloutsServer::new(rollouts).max_decoding_message_size(COMMAND_BYTES);
    let models = models::Service::new(handle.clone(), pages.clone());
    let models = ModelsServer::new(models).max_decoding_message_size(COMMAND_BYTES);
    let events = events::Service::new(handle.clone(), watches.clone());
    let events = EventsServer::new(events).max_decoding_message_size(COMMAND_BYTES);
    let outcomes = outcomes::Service::new(handle.clone());
    let outcomes = OutcomesServer::new(outcomes).max_decoding_message_size(REPORT_BYTES);
    let admin = admin::Service::new(handle.clone(), watches, pages);
    let admin = AdminServer::new(admin).max_decoding_message_size(COMMAND_BYTES);
    let sidecars = sidecars::Service::new(handle, drain);
    let sidecars = SidecarsServer::new(sidecars).max_decoding_message_size(REPORT_BYTES);

    let routes = Routes::new(InterceptedService::new(rollouts, gate(OPERATOR)))
        .add_service(InterceptedService::new(models, gate(OPERATOR)))
        .add_service(InterceptedService::new(events, gate(OPERATOR)))
        .add_service(InterceptedService::new(admin, gate(OPERATOR)))
        .add_service(InterceptedService::new(outcomes, gate(BOTH)))
        .add_service(InterceptedService::new(sidecars, gate(SIDECAR)));
    let honour = axum::middleware::from_fn(deadline::honour);
    Routes::from(routes.into_axum_router().layer(honour))
}

/// Serves until the drain, then until every call has ended; streams end by themselves. `routes` are those of
/// [`routes`], whose gate `options` name again for what is served here alone.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    options: Options,
    drain: Drain,
) -> Result<(), ServeError> {
    let gate = Gate::new(options.tokens.map(Arc::new), BOTH);
    let (health, health_service) = tonic_health::server::health_reporter();
    for name in SERVICE_NAMES {
        health
            .set_service_status(name, ServingStatus::Serving)
            .await;
    }
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .build_v1()
    };
    let reflection = options.reflection.then(describe).transpose()?;

    let mut stop = drain.clone();
    builder()
        .add_routes(routes)
        .add_service(health_service)
        .add_optional_service(reflection.map(|service| InterceptedService::new(service, gate)))
        .serve_with_incoming_shutdown(incoming(listener), async move {
            stop.wait().await;
            end(health).await;
        })
        .await?;
    Ok(())
}

/// Tells whoever watches the health, then ends their streams, which would hold the shutdown up.
async fn end(mut health: HealthReporter) {
    let names = ["", SERVICE_NAMES[0], SERVICE_NAMES[1]];
    for name in names {
        health
            .set_service_status(name, ServingStatus::NotServing)
            .await;
        health.clear_service_status(name).await;
    }
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(STREAMS)
}

fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}
