//! `POST /v1/outcomes`.

use super::Admin;
use crate::outcomes::Refused;
use crate::outcomes::spool::SpoolError;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[derive(Debug, Deserialize)]
pub(super) struct Options {
    /// `?wait`, `?wait=true`, `?wait=1`: final answers are wanted.
    wait: Option<String>,
}

impl Options {
    fn wait(&self) -> bool {
        self.wait
            .as_deref()
            .is_some_and(|text| !matches!(text, "false" | "0"))
    }
}

pub(super) async fn take(
    State(Admin(parts)): State<Admin>,
    Query(options): Query<Options>,
    Extension(memory): Extension<Arc<Semaphore>>,
    request: Request,
) -> Response {
    let Some(desk) = &parts.desk else {
        let text = "this sidecar has no control plane to send outcomes to; set control_plane";
        return error(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let Ok(_room) = memory.try_acquire_many(kib(&request, parts.request_bytes)) else {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many outcomes at once; send again later",
        );
    };
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let lines = kind.contains("ndjson") || kind.contains("jsonl");
    let bytes = match Bytes::from_request(request, &()).await {
        Ok(bytes) => bytes,
        Err(rejection) => {
            let text = format!(
                "the body cannot be read: {}; send at most {} bytes at once",
                rejection.body_text(),
                parts.request_bytes
            );
            return error(rejection.status(), &text);
        }
    };
    match desk.take(&bytes, lines, options.wait()).await {
        Ok(answer) => {
            let code = if answer.is_provisional() {
                StatusCode::ACCEPTED
            } else {
                StatusCode::OK
            };
            let body = match (answer.single, answer.statuses.first()) {
                (true, Some(status)) => json!({ "status": status }),
                _ => json!({ "statuses": answer.statuses }),
            };
            (code, Json(body)).into_response()
        }
        Err(refused @ Refused::Shape(_)) => error(StatusCode::BAD_REQUEST, &refused.to_string()),
        Err(Refused::Spool(
            refused @ (SpoolError::Full { .. } | SpoolError::Closed | SpoolError::Io(_)),
        )) => error(StatusCode::SERVICE_UNAVAILABLE, &refused.to_string()),
    }
}

/// Memory that a body may need, by its announced length; without one, as much as is allowed.
fn kib(request: &Request, most: usize) -> u32 {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let bytes = length.map_or(most, |length| length.min(most));
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

fn error(code: StatusCode, text: &str) -> Response {
    let body = Json(json!({ "error": text }));
    if code == StatusCode::SERVICE_UNAVAILABLE {
        return (code, [(header::RETRY_AFTER, "1")], body).into_response();
    }
    (code, body).into_response()
}
