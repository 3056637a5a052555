//! One attempt to deliver one event.

use super::describe::envelope;
use super::load::Webhook;
use crate::outbound::{Answer, CallError};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use prost::Message as _;
use serde_json::json;
use serinus_common::digest::digest;
use serinus_proto::v1;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// So much of an answer to a test is shown, bytes.
const SHOWN: usize = 512;

/// Why an event is not delivered yet.
#[derive(Debug, Error)]
pub(crate) enum PostError {
    /// Nobody answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It was not taken.
    #[error("answered {status}{}", redirected(.status))]
    Status {
        /// The answer.
        status: StatusCode,
        /// How long the receiver asks to wait.
        retry_after: Duration,
    },
    /// It cannot be sent.
    #[error("{0}")]
    Request(#[from] http::Error),
}

fn redirected(status: &StatusCode) -> &'static str {
    match status.is_redirection() {
        true => "; redirects are not followed: name the address that takes events",
        false => "",
    }
}

impl PostError {
    /// Not sooner, says the receiver.
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Call(_) | Self::Request(_) => Duration::ZERO,
        }
    }
}

/// By which a receiver tells that it has an event already: its revision, and a digest of its content, since the same
/// revision may be of another event after a backup was put back.
fn id(event: &v1::Event) -> String {
    let digest = digest(&event.encode_to_vec());
    format!("{}-{digest:016x}", event.revision)
}

/// Posts an event; taken is 2xx.
///
/// # Errors
/// See [`PostError`].
pub(super) async fn post(webhook: &Webhook, event: &v1::Event) -> Result<(), PostError> {
    let body = envelope(event).to_string();
    send(webhook, &id(event), body, 0).await.map(drop)
}

/// Posts what is no event, to see whether it arrives and is understood; what the receiver says to it.
///
/// # Errors
/// See [`PostError`].
pub(crate) async fn test_message(webhook: &Webhook) -> Result<String, PostError> {
    let now = serinus_core::rollout::timestamp(1000 * now_s());
    let body = json!({
        "type": "test",
        "timestamp": now.to_string(),
        "text": "Serinus can reach you: this is a test, nothing has happened.",
        "data": {},
    });
    let answer = send(
        webhook,
        &format!("test-{}", now_s()),
        body.to_string(),
        SHOWN,
    )
    .await?;
    let said = String::from_utf8_lossy(&answer.body);
    let more = if answer.whole { "" } else { " ..." };
    Ok(format!("{} {}{more}", answer.status, said.trim()))
}

async fn send(webhook: &Webhook, id: &str, body: String, read: usize) -> Result<Answer, PostError> {
    let timestamp = now_s();
    let mut request = Request::post("/")
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp);
    if let Some(signature) = webhook.secrets.sign(id, timestamp, body.as_bytes()) {
        request = request.header("webhook-signature", signature);
    }
    let request = request.body(Bytes::from(body))?;
    let answer = webhook.caller.call(request, read).await?;
    match answer.status.is_success() {
        true => Ok(answer),
        false => Err(PostError::Status {
            status: answer.status,
            retry_after: retry_after(&answer.headers),
        }),
    }
}

/// In seconds; the other form, a date, is rare and says nothing that our own waits do not.
fn retry_after(headers: &HeaderMap) -> Duration {
    let value = headers.get(header::RETRY_AFTER);
    let seconds = value.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
