//! Changing the protocol (WebSocket): once the model agrees, bytes pass both ways untouched.

use super::attempt::Carrier;
use super::hygiene::Found;
use super::refuse::Refusal;
use super::{Answer, Call};
use crate::worker::{Busy, Tunnel};
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Response, Version};
use hyper::body::{Bytes, Incoming};
use serinus_common::class::Class;
use std::task::Poll;

/// The protocol that the caller wants to change to. HTTP/2 by upgrade is not offered, and servers may ignore it.
pub(super) fn wanted(head: &Parts, found: Found) -> Result<Option<HeaderValue>, Refusal> {
    if !found.upgrade {
        return Ok(None);
    }
    let protocol = head.headers.get(UPGRADE).cloned();
    match protocol {
        Some(protocol) if protocol.as_bytes().eq_ignore_ascii_case(b"h2c") => Ok(None),
        Some(_) if head.version != Version::HTTP_11 => Err(Refusal::Upgrade),
        protocol => Ok(protocol),
    }
}

impl Call {
    /// The model has agreed. The call ends here; the connection task moves the bytes.
    pub(super) async fn tunnel(
        mut self: Box<Self>,
        response: Response<Incoming>,
        carrier: Carrier,
        busy: Busy,
    ) -> Response<Answer> {
        let (mut parts, _) = response.into_parts();
        let protocol = parts.headers.get(UPGRADE).cloned();
        super::hygiene::clean_answer(&mut parts.headers);
        if let Some(protocol) = protocol {
            parts.headers.insert(UPGRADE, protocol);
            parts
                .headers
                .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        self.label(&mut parts.headers);
        if let Some(mut upstream) = carrier.upstream {
            std::future::poll_fn(|cx| {
                upstream.drive(cx);
                Poll::Ready(())
            })
            .await;
            let (io, early) = upstream.into_io();
            busy.tunnel(Tunnel { io, early });
        }
        self.ticket.end(Class::Ok);
        Response::from_parts(parts, Answer::own(Bytes::new(), busy))
    }
}
