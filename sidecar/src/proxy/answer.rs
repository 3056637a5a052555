//! The answer on its way back. Its body drives the upstream connection, gives it back after the last part, and books
//! the call.

use super::attempt::Carrier;
use super::body::Early;
use super::rewriting::Restoration;
use super::whole::poll_frame;
use super::{Call, SHORT, hygiene};
use crate::classify::{self, Protocol};
use crate::inspect::{End, Head, Inspector, Kind};
use crate::worker::Busy;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use serinus_common::class::Class;
use std::pin::Pin;
use std::task::{Context, Poll};
use thiserror::Error;

/// The body of an answer: our own, or the model's.
#[derive(Debug)]
pub(crate) struct Answer {
    origin: Origin,
    _busy: Busy,
}

#[derive(Debug)]
enum Origin {
    Own(Bytes),
    Passed(Tail),
}

/// The answer is cut short, as the application should see it.
#[derive(Debug, Error)]
pub(crate) enum CutShort {
    /// The model's answer broke off.
    #[error("the model's answer broke off: {0}")]
    Upstream(hyper::Error),
    /// The model has reset the stream.
    #[error("the model has reset the answer's stream")]
    Reset,
    /// Nothing came for too long.
    #[error("the model's answer stalled")]
    Stalled,
}

#[derive(Debug)]
struct Tail {
    body: Incoming,
    carrier: Option<Carrier>,
    /// Bytes so far of what is short, and no stream.
    short: Option<u32>,
    call: Box<Call>,
    stall_ms: u64,
    restoration: Option<Box<Restoration>>,
    /// What comes after something that was held back.
    next: Option<Frame<Bytes>>,
    class: Class,
    /// gRPC has its last word in the trailers, which are still to come.
    awaits_status: bool,
    inspector: Option<Box<Inspector>>,
    ended: bool,
    /// How it broke off, while what came before is on its way.
    broken: Option<CutShort>,
}

impl Answer {
    pub(super) fn own(text: Bytes, busy: Busy) -> Self {
        Self {
            origin: Origin::Own(text),
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
        let short = self.is_short(&response).then_some(0);
        let (mut parts, body) = response.into_parts();
        let class = classify::of_head(self.found.protocol(), parts.status, &parts.headers);
        let awaits_status = self.found.protocol() == Protocol::Grpc
            && class == Class::Ok
            && classify::grpc_status(&parts.headers).is_none();
        hygiene::clean_answer(&mut parts.headers);
        let is_stream = classify::is_event_stream(&parts.headers);
        if is_stream {
            self.ticket.stop_clock();
        }
        let looked_at = is_stream || self.kind != Kind::Other;
        let inspector = looked_at.then(|| self.inspector(&parts)).flatten();
        let restoration = self.restoration(&mut parts);
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
            short,
            carrier: Some(carrier),
            call: self,
            stall_ms,
            restoration,
            next: None,
            class,
            awaits_status,
            inspector,
            ended: false,
            broken: None,
        };
        let origin = Origin::Passed(tail);
        Response::from_parts(
            parts,
            Answer {
                origin,
                _busy: busy,
            },
        )
    }
}

impl Call {
    fn inspector(&self, parts: &http::response::Parts) -> Option<Box<Inspector>> {
        let value = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
        let length = value(CONTENT_LENGTH).and_then(|text| str::from_utf8(text).ok());
        let head = Head {
            status: parts.status.as_u16(),
            content_type: value(CONTENT_TYPE),
            content_encoding: value(CONTENT_ENCODING),
            content_length: length.and_then(|text| text.parse().ok()),
        };
        let serving = &self.route.route().variants[self.ticket.serving()];
        Inspector::for_answer(self.kind, serving.stream, &head)
    }
}

impl Tail {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        if let Some(frame) = self.next.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.ended {
            return Poll::Ready(self.broken.take().map(Err));
        }
        let polled = self.poll_body(cx);
        match polled {
            Poll::Ready(None) if self.was_reset() => self.break_off(CutShort::Reset, cx),
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(self.held_back().map(Ok))
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(self.pass(frame)))),
            Poll::Ready(Some(Err(error))) => self.break_off(CutShort::Upstream(error), cx),
            Poll::Pending if self.call.deadline.poll(cx).is_ready() => {
                self.cut(Class::Timeout);
                Poll::Ready(Some(Err(CutShort::Stalled)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// What came before goes out first: a connection that is told of a cut drops what it has not yet written.
    fn break_off<T>(&mut self, why: CutShort, cx: &mut Context<'_>) -> Poll<T> {
        self.cut(self.call.fault_class().unwrap_or(Class::Model));
        self.broken = Some(why);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Of a reset without an error, and of one that cancels, the library says that the body has ended. It has, if the
    /// model server did not wait for the rest of the request (RFC 9113, section 8.1); in an answer to all of it, it is a
    /// cut.
    fn was_reset(&self) -> bool {
        let carrier = self.carrier.as_ref();
        let over_h2 = carrier.is_some_and(|carrier| carrier.upstream.is_none());
        let source = self.call.source.as_ref();
        let asked_all = source.is_none_or(|source| source.has_ended());
        over_h2 && asked_all && !self.body.is_end_stream()
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(carrier) = &mut self.carrier else {
            return poll_frame(None, &mut self.body, cx);
        };
        if let Some(held) = &mut carrier.held {
            match held.frames.pop() {
                Some(frame) => return Poll::Ready(Some(Ok(frame))),
                None => carrier.held = None,
            }
        }
        poll_frame(carrier.upstream.as_deref_mut(), &mut self.body, cx)
    }

    /// What was held back and is still to be passed on.
    fn held(&self) -> Option<&Early> {
        let carrier = self.carrier.as_ref()?;
        let frames = &carrier.held.as_ref()?.frames;
        (!frames.is_empty()).then_some(frames)
    }

    fn is_over(&self) -> bool {
        self.held().is_none() && self.body.is_end_stream()
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            self.call.ticket.sent(length);
            let so_far = self.short.map(|so_far| u64::from(so_far) + length);
            self.short = so_far.filter(|so_far| *so_far <= SHORT).map(|n| n as u32);
            if let Some(inspector) = &mut self.inspector {
                inspector.feed(data, || self.call.ticket.elapsed_micros());
            }
            self.call.deadline.postpone(self.stall_ms);
        } else if let (true, Some(trailers)) = (self.awaits_status, frame.trailers_ref())
            && let Some(class) = classify::grpc_status(trailers)
        {
            self.class = class;
            self.awaits_status = false;
        }
        if self.is_over() {
            self.complete();
        }
        self.restored(frame)
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.ended || self.is_over();
        ended && self.broken.is_none() && self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, held) = (self.body.size_hint(), self.held().map_or(0, Early::bytes));
        let mut size = SizeHint::default();
        size.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            size.set_upper(upper + held);
        }
        size
    }

    /// The frame as the caller gets it.
    fn restored(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let Some(restoration) = &mut self.restoration else {
            return frame;
        };
        match frame.into_data() {
            Ok(data) => {
                let data = restoration.feed(&data);
                if self.ended {
                    self.next = self.held_back();
                }
                Frame::data(data)
            }
            Err(trailers) => match self.held_back() {
                Some(held) => {
                    self.next = Some(trailers);
                    held
                }
                None => trailers,
            },
        }
    }

    /// What the restoration has kept of an answer that ended within a frame.
    fn held_back(&mut self) -> Option<Frame<Bytes>> {
        let held = self.restoration.as_mut()?.restorer.finish();
        (!held.is_empty()).then(|| Frame::data(held))
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
        // A canary's short answer had to be whole within the bound of the attempt: so has stable's.
        if self.short.is_some() && self.call.worker.deadlines.now_ms() > self.call.bound_ms {
            self.call.ticket.is_late();
        }
        self.book(class, End::Whole);
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
        self.book(class, End::Cut);
        self.carrier = None;
    }

    fn book(&mut self, class: Class, how: End) {
        let ticket = &mut self.call.ticket;
        match self.inspector.take() {
            Some(inspector) => ticket.end_found(class, &inspector.finish(how)),
            None => ticket.end(class),
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A body without content is never polled. Anything else that is dropped early is a caller who hung up.
        match self.is_over() {
            true => self.complete(),
            false => self.book(Class::Cancelled, End::Left),
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
        match &mut self.origin {
            Origin::Own(text) if text.is_empty() => Poll::Ready(None),
            Origin::Own(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Origin::Passed(tail) => tail.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.origin {
            Origin::Own(text) => text.is_empty(),
            Origin::Passed(tail) => tail.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.origin {
            Origin::Own(text) => SizeHint::with_exact(text.len() as u64),
            // A restored body becomes longer or shorter.
            Origin::Passed(tail) if tail.restoration.is_some() => SizeHint::default(),
            Origin::Passed(tail) => tail.size_hint(),
        }
    }
}
