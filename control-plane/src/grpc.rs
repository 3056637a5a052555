//! The gRPC surface: thin shells over the engine's [`Handle`]. What they add is the wire: limits, streams that end on a
//! drain, and errors as statuses.

mod admin;
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
mod watches;

#[cfg(test)]
mod tests;

pub(crate) use error::{bad_field, bad_fields, code_name};
pub use feed::Feed;

use crate::access::{Access, Guard};
use crate::engine::Handle;
use crate::listen::{Incoming, Opening};
use page::Pages;
use serinus_proto::FILE_DESCRIPTOR_SET;
use serinus_proto::v1::{
    admin_server::AdminServer, events_server::EventsServer, models_server::ModelsServer,
    outcomes_server::OutcomesServer, rollouts_server, rollouts_server::RolloutsServer,
    sidecars_server, sidecars_server::SidecarsServer,
};
use serinus_runtime::shutdown::Drain;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use watches::Watches;

/// A connection whose other end is silent for longer than the two together is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls of one connection at a time; watches and relayed sidecars share one.
const STREAMS: u32 = 1024;
const HEADER_BYTES: u32 = 16 * 1024;
/// What a caller may send before it is read: of one call, and of all calls of a connection.
const CALL_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Calls of a connection that were cancelled before anybody looked at them, and those that we have cancelled for a
/// mistake in them: with more the connection ends. A flood of either is cheap to send and dear to serve.
const RESETS: usize = 20;
/// Until a call has its answer, or the head of it where that is a stream. Who sends a request slowly is not waited for.
const ANSWER: Duration = Duration::from_secs(60);
/// The preface of HTTP/2, and the head of the frame that has to follow.
pub const BEGINNING: Opening = Opening {
    bytes: 24 + 9,
    frames: true,
};
/// Commands and plans are a few kilobytes.
const COMMAND_BYTES: usize = 1024 * 1024;
/// Of one report, and of 10,000 outcomes.
const REPORT_BYTES: usize = 4 * 1024 * 1024;

/// Whose health can be asked for, besides that of the whole.
const SERVICE_NAMES: [&str; 2] = [rollouts_server::SERVICE_NAME, sidecars_server::SERVICE_NAME];

/// How to serve.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who may call.
    pub access: Arc<Access>,
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

/// The services behind their guard, without a port: calls arrive over gRPC, and over HTTP/JSON, and are the same.
#[must_use]
pub fn routes(handle: Handle, access: &Arc<Access>, drain: Drain) -> Routes {
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

    let routes = Routes::new(Guard::new(access, rollouts))
        .add_service(Guard::new(access, models))
        .add_service(Guard::new(access, events))
        .add_service(Guard::new(access, admin))
        .add_service(Guard::new(access, outcomes))
        .add_service(Guard::new(access, sidecars));
    let honour = axum::middleware::from_fn(deadline::honour);
    Routes::from(routes.into_axum_router().layer(honour))
}

/// Serves until the drain, then until every call has ended; streams end by themselves. `routes` are those of
/// [`routes`], whose callers `options` name again for what is served here alone.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    incoming: Incoming,
    routes: Routes,
    options: Options,
    drain: Drain,
) -> Result<(), ServeError> {
    let access = &options.access;
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

    let incoming = ReceiverStream::new(incoming).map(Ok::<_, Infallible>);
    let mut stop = drain.clone();
    builder()
        .add_routes(routes)
        .add_service(Guard::new(access, health_service))
        .add_optional_service(reflection.map(|service| Guard::new(access, service)))
        .serve_with_incoming_shutdown(incoming, async move {
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
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_pending_accept_reset_streams(Some(RESETS))
        .http2_max_local_error_reset_streams(Some(RESETS))
        .timeout(ANSWER)
}
