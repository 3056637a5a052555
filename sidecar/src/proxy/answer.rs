//! The answer on its way back. Its body drives the upstream connection, gives it back after the last part, and books
//! the call.

use super::attempt::Carrier;
use super::{Call, hygiene};
use crate::classify::{self, Protocol};
use crate::worker::Busy;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use serinus_common::class::Class;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use thiserror::Error;

/// The body of an answer: our own, or the model's.
#[derive(Debug)]
pub(crate) struct Answer {
    kind: Kind,
    _busy: Busy,
}

#[derive(Debug)]
enum Kind {
    Own(Bytes),
    Passed(Tail),
}

/// The answer is cut short, as the application should see it.
#[derive(Debug, Error)]
pub(crate) enum CutShort {
    /// The model's answer broke off.
    #[error("the model's answer broke off: {0}")]
    Upstream(hyper::Error),
    /// Nothing came for too long.
    #[error("the model's answer stalled")]
    Stalled,
}

#[derive(Debug)]
struct Tail {
    body: Incoming,
    carrier: Option<Carrier>,
    call: Box<Call>,
    stall_ms: u64,
    class: Class,
    /// gRPC has its last word in the trailers, which are still to come.
    awaits_status: bool,
    ended: bool,
    /// Said at the next poll, once what came before it has been written.
    held: Option<CutShort>,
}

impl Answer {
    pub(super) fn own(text: Bytes, busy: Busy) -> Self {
        Self {
            kind: Kind::Own(text),
            _busy: busy,
        }
    }
}

impl Call {
    /// Passes the model's answer back.
    pub(super) fn answer(
        mut self: Box<Self>,
        response: Response<Incoming>,
        carrier: Carrier,
        busy: Busy,
    ) -> Response<Answer> {
        let (mut parts, body) = response.into_parts();
        let class = classify::of_head(self.found.protocol(), parts.status, &parts.headers);
        let awaits_status = self.found.protocol() == Protocol::Grpc
            && class == Class::Ok
            && classify::grpc_status(&parts.headers).is_none();
        hygiene::clean_answer(&mut parts.headers);
        if classify::is_event_stream(&parts.headers) {
            self.ticket.stop_clock();
        }
        self.label(&mut parts.headers);
        let timeout = self
            .route
            .policy()
            .timeout
            .max(self.worker.limits.idle_timeout);
        let stall_ms = timeout.as_millis() as u64;
        self.deadline.postpone(stall_ms);
        let tail = Tail {
            body,
            carrier: Some(carrier),
            call: self,
            stall_ms,
            class,
            awaits_status,
            ended: false,
            held: None,
        };
        let kind = Kind::Passed(tail);
        Response::from_parts(parts, Answer { kind, _busy: busy })
    }
}

impl Tail {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        if let Some(error) = self.held.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = self.poll_body(cx);
        match polled {
            Poll::Ready(Some(Err(error))) => self.hold(error, cx),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(self.pass(frame)))),
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Pending if self.call.deadline.poll(cx).is_ready() => {
                self.cut(Class::Timeout);
                Poll::Ready(Some(Err(CutShort::Stalled)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let carrier = self.carrier.as_mut();
        let Some(upstream) = carrier.and_then(|carrier| carrier.upstream.as_mut()) else {
            return Pin::new(&mut self.body).poll_frame(cx);
        };
        // Parts come only from driving the connection here, which has the waker: to be woken by a part as well would be
        // one poll of everything for nothing.
        let mut quiet = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut self.body).poll_frame(&mut quiet);
        if polled.is_ready() {
            return polled;
        }
        upstream.drive(cx);
        Pin::new(&mut self.body).poll_frame(&mut quiet)
    }

    /// An error makes hyper drop what it has not yet written, which the application is to see: it comes one poll later.
    fn hold(
        &mut self,
        error: hyper::Error,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        self.cut(Class::Model);
        self.held = Some(CutShort::Upstream(error));
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(data) = frame.data_ref() {
            self.call.ticket.sent(data.len() as u64);
            self.call.deadline.postpone(self.stall_ms);
        } else if let (true, Some(trailers)) = (self.awaits_status, frame.trailers_ref())
            && let Some(class) = classify::grpc_status(trailers)
        {
            self.class = class;
            self.awaits_status = false;
        }
        if self.body.is_end_stream() {
            self.complete();
        }
        frame
    }

    /// The answer has ended as it should.
    fn complete(&mut self) {
        self.ended = true;
        // A gRPC call without a status is UNKNOWN to its caller.
        let class = if self.awaits_status {
            Class::Model
        } else {
            self.class
        };
        self.call.ticket.end(class);
        if let Some(carrier) = self.carrier.take()
            && let Some(upstream) = carrier.upstream
        {
            let now_ms = self.call.worker.deadlines.now_ms();
            carrier.claim.endpoint().give_back(upstream, now_ms);
        }
    }

    /// It ended too soon; the connection is of no more use.
    fn cut(&mut self, class: Class) {
        self.ended = true;
        self.call.ticket.end(class);
        self.carrier = None;
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // A body without content is never polled. Anything else that is dropped early is a caller who hung up, which
        // is what the ticket books by itself.
        if !self.ended && self.body.is_end_stream() {
            self.complete();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match &mut self.kind {
            Kind::Own(text) if text.is_empty() => Poll::Ready(None),
            Kind::Own(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Kind::Passed(tail) => tail.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(text) => text.is_empty(),
            Kind::Passed(tail) => tail.held.is_none() && (tail.ended || tail.body.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Passed(tail) => tail.body.size_hint(),
        }
    }
}
