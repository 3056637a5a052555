//! A caller's deadline: what has not been answered by then is answered DEADLINE_EXCEEDED. The transport knows the same
//! header, but says CANCELLED, forgets streams, and is not there for calls that come over HTTP/JSON.

use super::error;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::{Code, Status};

/// As the protocol names it: up to eight digits and a unit, such as `500m` or `5S`.
pub(crate) const HEADER: &str = "grpc-timeout";
/// So much earlier than the caller's own clock, at most, that it hears the reason.
const AHEAD: Duration = Duration::from_millis(5);

/// Ends a call, or its stream, at the deadline that it names.
pub(super) async fn honour(request: Request, next: Next) -> Response {
    let timeout = match timeout(request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(timeout)) => timeout,
        Err(status) => return status.into_http(),
    };
    let until = Instant::now() + (timeout - AHEAD.min(timeout / 10));
    match timeout_at(until, next.run(request)).await {
        Ok(response) => response.map(|body| Body::new(Bounded::new(body, until))),
        Err(_) => passed().into_http(),
    }
}

fn passed() -> Status {
    let message = "the deadline of the call has passed; whether a command was done is not known: send it again with the \
                   same request_id";
    error::status(Code::DeadlineExceeded, "DEADLINE", message, [])
}

/// The time that the caller gives.
///
/// # Errors
/// INVALID_ARGUMENT if the header is no timeout.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let parsed = parse(value).ok_or_else(|| {
        let message = "is no timeout: write up to eight digits and one of H, M, S, m (milliseconds), u, n, such as 500m";
        error::bad_field(HEADER, message)
    });
    parsed.map(Some)
}

fn parse(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A body that ends with DEADLINE_EXCEEDED if it has not ended before.
struct Bounded {
    body: Body,
    until: Pin<Box<Sleep>>,
    ended: bool,
}

impl Bounded {
    fn new(body: Body, until: Instant) -> Self {
        Self {
            body,
            until: Box::pin(sleep_until(until)),
            ended: false,
        }
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // The clock first: a stream that is never idle has a deadline too.
        if self.until.as_mut().poll(context).is_ready() {
            self.ended = true;
            let mut trailers = HeaderMap::new();
            // A status of ours is legal in headers.
            let _ = passed().add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.ended = matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_what_the_protocol_says() {
        let cases = [
            ("5S", Some(Duration::from_secs(5))),
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("500m", Some(Duration::from_millis(500))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("", None),
            ("S", None),
            ("5", None),
            ("123456789S", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("5s", None),
        ];
        for (text, expected) in cases {
            let value = HeaderValue::from_static(text);
            assert_eq!(parse(&value), expected, "{text}");
        }
    }
}
