//! One attempt to deliver one event.

use super::describe::envelope;
use super::load::Webhook;
use crate::outbound::{PostError, now_s};
use prost::Message as _;
use serde_json::json;
use serinus_common::digest::digest;
use serinus_proto::v1;

/// So much of an answer to a test is shown, bytes.
const SHOWN: usize = 512;

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
    let (id, content) = (id(event), envelope(event));
    let posted = webhook.service.post(&id, &content, 0).await;
    posted.map(drop)
}

/// Posts what is no event, to see whether it arrives and is understood; what the receiver says to it.
///
/// # Errors
/// See [`PostError`].
pub(crate) async fn test_message(webhook: &Webhook) -> Result<String, PostError> {
    let content = json!({
        "type": "test",
        "timestamp": serinus_core::rollout::timestamp(1000 * now_s()).to_string(),
        "text": "Serinus can reach you: this is a test, nothing has happened.",
        "data": {},
    });
    let id = format!("test-{}", now_s());
    let answer = webhook.service.post(&id, &content, SHOWN).await?;
    let said = String::from_utf8_lossy(&answer.body);
    let more = if answer.whole { "" } else { " ..." };
    Ok(format!("{} {}{more}", answer.status, said.trim()))
}
