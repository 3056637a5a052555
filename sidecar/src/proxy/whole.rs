//! Short answers of a canary are held back until they are whole: as long as nothing of one is passed on, stable can still
//! answer.

use super::attempt::{Attempted, Carrier, Failure, Unanswered};
use super::body::Early;
use super::{Call, SHORT};
use crate::classify::{self, Protocol};
use crate::pool::Upstream;
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use hyper::body::{Bytes, Incoming};
use serinus_common::class::Class;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// What was held back of an answer's body.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) frames: Early,
    /// It is all of it.
    is_whole: bool,
}

impl Call {
    /// Class of an answer by what is here of it: gRPC has its last word in the trailers.
    pub(super) fn class_of(&self, response: &Response<Incoming>, carrier: &Carrier) -> Class {
        let class = classify::of_head(self.found.protocol(), response.status(), response.headers());
        let awaits_status = self.found.grpc
            && class == Class::Ok
            && classify::grpc_status(response.headers()).is_none();
        match carrier.held.as_deref() {
            Some(held) if awaits_status && held.is_whole => {
                let status = held.frames.trailers().and_then(classify::grpc_status);
                // Without one it is UNKNOWN to its caller.
                status.unwrap_or(Class::Model)
            }
            _ => class,
        }
    }

    /// Whether an answer is short, or is if nothing is wrong with it, and no stream.
    pub(super) fn is_short(&self, response: &Response<Incoming>) -> bool {
        let body = response.body();
        match self.found.protocol() {
            Protocol::Grpc => self.unary && !body.is_end_stream(),
            Protocol::Http => {
                matches!(body.size_hint().exact(), Some(1..=SHORT))
                    && !classify::is_event_stream(response.headers())
            }
        }
    }

    /// Whether an answer that has begun may wait for its end, since stable could still answer instead.
    pub(super) fn may_wait(&self, response: &Response<Incoming>) -> bool {
        let class = |response: &Response<Incoming>| {
            let headers = response.headers();
            classify::of_head(self.found.protocol(), response.status(), headers)
        };
        let over = || self.source.as_ref().is_none_or(|source| source.has_ended());
        !self.unbounded.get()
            && self.is_rescuable()
            && self.is_short(response)
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
            && !class(response).is_failure()
            && over()
            && (self.rescue_granted.get()
                || self.ticket.is_probe()
                || self.route.could_spend(&self.worker))
    }

    /// Waits for an answer's end, until the bound of the attempt has passed or the answer turns out not to be short.
    pub(super) async fn whole(
        &self,
        response: Response<Incoming>,
        mut carrier: Carrier,
    ) -> Attempted {
        let (head, mut body) = response.into_parts();
        let announced = body.size_hint().exact();
        let mut held = Box::<Held>::default();
        std::future::poll_fn(|cx| {
            let upstream = carrier.upstream.as_deref_mut();
            self.poll_whole(upstream, &mut body, &mut held, cx)
        })
        .await?;
        if held.is_whole && announced.is_some_and(|bytes| held.frames.bytes() < bytes) {
            return Err(Failure::Broken.into());
        }
        carrier.held = Some(held);
        Ok((Response::from_parts(head, body), carrier))
    }

    fn poll_whole(
        &self,
        mut upstream: Option<&mut Upstream>,
        body: &mut Incoming,
        held: &mut Held,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unanswered>> {
        while !(self.unbounded.get() || held.is_whole || held.frames.bytes() > SHORT) {
            match ready!(poll_frame(upstream.as_deref_mut(), body, cx)) {
                None => held.is_whole = true,
                Some(Ok(frame)) => {
                    held.frames.push(frame);
                    held.is_whole = body.is_end_stream();
                }
                Some(Err(error)) => return Poll::Ready(Err(self.broken(&error).into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The next part of an answer's body.
pub(super) fn poll_frame(
    upstream: Option<&mut Upstream>,
    body: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    let mut body = Pin::new(body);
    let Some(upstream) = upstream else {
        return body.poll_frame(cx);
    };
    // Parts come only from driving the connection here, which has the waker: to be woken by a part as well would be one
    // poll of everything for nothing.
    let mut quiet = Context::from_waker(Waker::noop());
    let polled = body.as_mut().poll_frame(&mut quiet);
    if polled.is_ready() {
        return polled;
    }
    upstream.drive(cx);
    body.poll_frame(&mut quiet)
}
