//! `PUT` and `DELETE` of `/v1/kill`: the local operator's word over the canaries of this host.

use super::Admin;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;

/// Which canaries.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// Absent: of every model.
    model: Option<String>,
}

/// Stops canaries here, until they are let go on here.
pub(super) async fn put(
    State(Admin(parts)): State<Admin>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Query(which): Query<Which>,
) -> Response {
    if !from.ip().is_loopback() {
        return elsewhere();
    }
    let table = parts.shared.table();
    if let Some(model) = &which.model
        && !table.routes().iter().any(|route| route.model == *model)
    {
        let text = format!("no model named {model} is served here\n");
        return (StatusCode::NOT_FOUND, text).into_response();
    }
    done(parts.kill.kill(which.model.as_deref()), "stopped\n")
}

/// Lets all of them go on.
pub(super) async fn delete(
    State(Admin(parts)): State<Admin>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Response {
    if !from.ip().is_loopback() {
        return elsewhere();
    }
    done(parts.kill.release(), "released\n")
}

/// The port may be open to probes from elsewhere; this is for the host alone.
fn elsewhere() -> Response {
    let text = "only from this host: run it there, or make or remove the kill file\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

fn done(result: io::Result<()>, text: &'static str) -> Response {
    match result {
        Ok(()) => text.into_response(),
        Err(error) => {
            let text = format!("the kill file: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
