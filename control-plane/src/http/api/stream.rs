//! Streams of messages as server-sent events, or a message per line. Nothing is buffered here: a message is taken when
//! the connection has room for it, and a reader that is too slow fills the service's own bounded queue, which ends it.

use super::answer;
use super::route::Answer;
use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Status, Streaming};

/// A silent connection carries a comment at least this often, so that whoever is between does not take it for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After which a browser comes back.
const RETRY: &[u8] = b"retry: 1000\n\n";

const EVENT_STREAM: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

/// The form that is asked for, else the one of the route.
pub(super) fn form(accept: Option<&HeaderValue>, usual: Answer) -> Answer {
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or("");
    match (accept.contains(EVENT_STREAM), accept.contains(LINES)) {
        (true, false) => Answer::Events,
        (false, true) => Answer::Lines,
        _ => usual,
    }
}

/// The answer, as soon as there is a first message: an error before it is an error of HTTP.
///
/// # Errors
/// The status that ends the stream before its first message.
pub(super) async fn answer(
    mut messages: Streaming<DynamicMessage>,
    form: Answer,
) -> Result<Response<Body>, Status> {
    let first = messages.message().await?;
    let (kind, before) = match form {
        Answer::Lines | Answer::Once => (LINES, &b""[..]),
        Answer::Events => (EVENT_STREAM, RETRY),
    };
    let writer = Writer {
        form,
        messages,
        first: Some(first),
        ended: false,
    };
    let written = stream::unfold(writer, |mut writer| async {
        let bytes = writer.next().await?;
        Some((Ok::<_, Infallible>(bytes), writer))
    });
    let before = stream::iter((!before.is_empty()).then(|| Ok(Bytes::from_static(before))));
    let mut response = Response::new(Body::from_stream(before.chain(written)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Writer {
    form: Answer,
    messages: Streaming<DynamicMessage>,
    /// What was waited for already.
    first: Option<Option<DynamicMessage>>,
    ended: bool,
}

impl Writer {
    /// The bytes of the next message, of a heartbeat, or of the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let message = match self.first.take() {
            Some(first) => Ok(first),
            // A message in part stays where it is: nothing is lost by looking away.
            None => match timeout(HEARTBEAT, self.messages.message()).await {
                Ok(message) => message,
                Err(_) => return Some(self.heartbeat()),
            },
        };
        match message {
            Ok(Some(message)) => Some(self.message(&message)),
            Ok(None) => self.end(&Status::ok("")),
            Err(status) => self.end(&status),
        }
    }

    fn message(&self, message: &DynamicMessage) -> Bytes {
        let text = answer::text(message);
        match self.form {
            Answer::Lines | Answer::Once => line(&text),
            Answer::Events => {
                let (name, id) = event(message);
                frame(&name, id.as_deref(), &text)
            }
        }
    }

    fn heartbeat(&self) -> Bytes {
        match self.form {
            // An empty line is no message.
            Answer::Lines | Answer::Once => Bytes::from_static(b"\n"),
            Answer::Events => Bytes::from_static(b":\n\n"),
        }
    }

    /// Tells a stream that has ended from one that was cut. Lines end by themselves, unless it was an error.
    fn end(&mut self, status: &Status) -> Option<Bytes> {
        self.ended = true;
        let text = answer::status_text(status);
        match self.form {
            Answer::Lines | Answer::Once if status.code() == tonic::Code::Ok => None,
            Answer::Lines | Answer::Once => {
                let mut error = BytesMut::from(&b"{\"error\":"[..]);
                error.put(text);
                error.put_slice(b"}\n");
                Some(error.freeze())
            }
            Answer::Events => Some(frame("end", None, &text)),
        }
    }
}

fn line(text: &Bytes) -> Bytes {
    let mut line = BytesMut::with_capacity(text.len() + 1);
    line.put_slice(text);
    line.put_u8(b'\n');
    line.freeze()
}

/// JSON has no line breaks.
fn frame(name: &str, id: Option<&str>, text: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(text.len() + 64);
    frame.put_slice(format!("event: {name}\n").as_bytes());
    if let Some(id) = id {
        frame.put_slice(format!("id: {id}\n").as_bytes());
    }
    frame.put_slice(b"data: ");
    frame.put_slice(text);
    frame.put_slice(b"\n\n");
    frame.freeze()
}

/// The name of an event, which is that of the alternative it carries or else of its type, and the position to resume
/// from, where it has one: `GENERATION-REVISION`.
fn event(message: &DynamicMessage) -> (String, Option<String>) {
    let descriptor = message.descriptor();
    let carried = descriptor
        .oneofs()
        .filter(|oneof| !oneof.is_synthetic())
        .find_map(|oneof| oneof.fields().find(|field| message.has_field(field)));
    let Some(carried) = carried else {
        return (descriptor.name().to_lowercase(), None);
    };
    let revision = match carried.name() {
        "event" => match message.get_field(&carried).as_ref() {
            Value::Message(event) => number(event, "revision"),
            _ => None,
        },
        "bookmark" | "snapshot_done" => message.get_field(&carried).as_u64(),
        _ => None,
    };
    let generation = number(message, "generation").unwrap_or(0);
    let id = revision.map(|revision| format!("{generation}-{revision}"));
    (carried.name().to_owned(), id)
}

fn number(message: &DynamicMessage, field: &str) -> Option<u64> {
    message.get_field_by_name(field)?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::schema;
    use serinus_proto::v1::{self, watch_events_response::Message};

    fn written(message: Message) -> String {
        let response = v1::WatchEventsResponse {
            message: Some(message),
            generation: 3,
        };
        let descriptor = schema::pool().get_message_by_name("serinus.v1.WatchEventsResponse");
        let mut dynamic = DynamicMessage::new(descriptor.unwrap());
        dynamic.transcode_from(&response).unwrap();
        let (name, id) = event(&dynamic);
        let text = frame(&name, id.as_deref(), &answer::text(&dynamic));
        String::from_utf8(text.to_vec()).unwrap()
    }

    #[test]
    fn events_carry_the_position_to_resume_from() {
        let happened = v1::Event {
            revision: 17,
            ..v1::Event::default()
        };
        assert_eq!(
            written(Message::Event(happened)),
            "event: event\nid: 3-17\ndata: {\"event\":{\"revision\":\"17\"},\"generation\":\"3\"}\n\n"
        );
        assert_eq!(
            written(Message::Bookmark(18)),
            "event: bookmark\nid: 3-18\ndata: {\"bookmark\":\"18\",\"generation\":\"3\"}\n\n"
        );
        let item = written(Message::SnapshotItem(v1::Rollout::default()));
        assert!(item.starts_with("event: snapshot_item\ndata: "), "{item}");
        let done = written(Message::SnapshotDone(9));
        assert!(
            done.starts_with("event: snapshot_done\nid: 3-9\n"),
            "{done}"
        );
    }

    #[test]
    fn the_caller_chooses_the_form() {
        let accept = |text| Some(HeaderValue::from_static(text));
        let cases = [
            (None, Answer::Events),
            (accept("*/*"), Answer::Events),
            (accept("application/x-ndjson"), Answer::Lines),
            (accept("text/event-stream"), Answer::Events),
        ];
        for (accept, expected) in cases {
            assert_eq!(form(accept.as_ref(), Answer::Events), expected);
        }
    }
}
