//! One request and its answer: bytes move both ways at once, each way at the pace of its receiver.

mod attempts;
mod down;
mod up;

use super::body::Body;
use super::call::{Call, Due};
use super::early::Early;
use super::edit::Labels;
use super::outbox::Outbox;
use super::own::{self, Manner};
use super::request::RequestHead;
use crate::inspect::{self, Inspector};
use crate::net::Stream;
use crate::pool::Claim;
use crate::proxy::attempt::Failure;
use crate::proxy::body::Fault;
use crate::proxy::refuse::Refusal;
use crate::worker::{Deadline, LocalRoute, State, Worker};
use serinus_common::class::Class;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead as _, ReadBuf};

/// After the client has closed its half, the next part of the answer is waited for this long: it may have hung up, or
/// only have said that it sends no more. In the first case its system tells us so at the next part.
const HALF_CLOSED_MS: u64 = 1000;

/// The client's side.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) state: &'a Rc<State>,
    pub(super) stream: &'a mut Stream,
    pub(super) early: &'a mut Early,
}

/// How an exchange has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The next request may come.
    Keep,
    /// The connection ends.
    Close,
    /// The connection ends; what the client still sends is read, so that it gets the answer.
    Linger,
    /// The connection ends in a way that nobody takes for the end of the answer.
    Reset,
}

#[derive(Debug)]
pub(super) struct Exchange {
    call: Call,
    asked_head: bool,
    /// The client speaks HTTP/1.0.
    old: bool,
    /// The client waits for `100 Continue`.
    expects: bool,
    /// The client's connection may be used again.
    keep: bool,
    /// What is still to come of the request.
    request: Body,
    received: u64,
    /// Too long to be kept for another attempt.
    long: bool,
    up: Outbox,
    /// Length of the request's head in `up`, while that is whole.
    head_bytes: usize,
    /// Where the request's target is in `up`.
    target: Range<usize>,
    /// The target as it came, if it was changed.
    original: Option<Box<str>>,
    link: Link,
    claim: Option<Claim>,
    /// The connection had been used before.
    reused: bool,
    /// Another endpoint was tried after one refused the connection.
    elsewhere: bool,
    /// The endpoint takes no more of the request.
    deaf: bool,
    /// The endpoint's connection may be used again.
    reusable: bool,
    answer: Answer,
    /// It is short, and was not whole when its head was passed on.
    in_parts: bool,
    down: Outbox,
    /// The client sends no more.
    half_closed: Option<HalfClosed>,
    /// There is something new to do.
    again: bool,
    end: End,
}

enum Link {
    None,
    Connecting(Pin<Box<dyn Future<Output = io::Result<Stream>>>>),
    Open(Stream),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Connecting(_) => "Connecting",
            Self::Open(_) => "Open",
        })
    }
}

#[derive(Debug)]
enum Answer {
    /// The head is awaited.
    Head(Part),
    Body {
        body: Body,
        /// Its chunks are taken apart: it ends with the connection.
        unchunked: bool,
        class: Class,
        inspector: Option<Box<Inspector>>,
    },
    Over,
}

/// The part of an answer that is here and not passed on.
#[derive(Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    /// Of a canary's short answer, whose head is known: its length with its head.
    whole: usize,
}

impl Part {
    /// Whether the head is here, and held back.
    fn is_held(&self) -> bool {
        self.whole > 0
    }
}

#[derive(Debug)]
struct HalfClosed(Deadline);

impl Exchange {
    /// Chooses, and sends what is here of the request. Also gives how many bytes of `rest`, which follows the head, were
    /// the request's.
    pub(super) fn begin(
        client: &mut Client<'_>,
        route: Rc<LocalRoute>,
        head: &RequestHead<'_, '_>,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(Self, usize), Refusal> {
        let limits = &client.worker.limits;
        if head.length > limits.head_bytes {
            return Err(Refusal::HeadTooLarge);
        }
        let announced = head.lengths.length.unwrap_or(0);
        if announced > limits.body_bytes {
            return Err(Refusal::BodyTooLarge);
        }
        let long = announced > limits.replay_bytes as u64;
        let short = !head.lengths.chunked && !long;
        // What is too long to be kept only passes through.
        let kept = if long { 0 } else { announced as usize };
        let call = Call::open(client.worker, route, head, short)?;
        let buffers = &client.worker.buffers;
        let mut exchange = Self {
            call,
            asked_head: head.method == "HEAD",
            old: head.minor == 0,
            expects: head.marks.expect && head.minor == 1,
            keep: head.keeps_alive(),
            request: head.body(),
            received: 0,
            long,
            up: Outbox::keeping(buffers, kept),
            head_bytes: 0,
            target: 0..0,
            original: None,
            link: Link::None,
            claim: None,
            reused: false,
            elsewhere: false,
            deaf: false,
            reusable: false,
            answer: Answer::Head(Part::default()),
            in_parts: false,
            down: Outbox::default(),
            half_closed: None,
            again: false,
            end: End::Close,
        };
        let taken = exchange.start(client, head, rest, cx);
        Ok((exchange, taken))
    }

    /// Moves what can be moved.
    pub(super) fn poll(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Poll<End> {
        match self.step(client, cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// An error is an end.
    fn step(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            self.again = false;
            self.poll_connecting(client, cx);
            self.push(client, cx);
            self.pull(client, cx)?;
            if matches!(self.answer, Answer::Over) && self.down.is_empty() {
                return match self.end {
                    End::Linger if self.keep => self.skip(client, cx),
                    end => Err(end),
                };
            }
            if !self.again {
                self.watch(client, cx)?;
                self.look_at_clock(client, cx)?;
            }
            if !self.again {
                return Ok(());
            }
        }
    }

    /// Notices that the client hangs up while it waits.
    fn watch(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Result<(), End> {
        if let Some(HalfClosed(patience)) = &self.half_closed {
            return match patience.poll(cx).is_ready() {
                true => Err(End::Close),
                false => Ok(()),
            };
        }
        if !self.request.is_done() || !client.early.is_empty() {
            return Ok(());
        }
        let worker = client.worker;
        worker.buffers.with_scratch(|scratch| {
            match poll_read(client.stream, cx, scratch) {
                Poll::Pending => {}
                Poll::Ready(Err(_)) => return Err(End::Close),
                Poll::Ready(Ok(0)) => {
                    let until = worker.deadlines.now_ms() + HALF_CLOSED_MS;
                    self.half_closed = Some(HalfClosed(worker.deadlines.add(until)));
                    self.keep = false;
                    self.again = true;
                }
                Poll::Ready(Ok(n)) => client.early.push(&scratch[..n], &worker.buffers),
            }
            Ok(())
        })
    }

    fn look_at_clock(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Result<(), End> {
        // Where the client takes nothing, the model is not to blame.
        if !self.down.is_empty() || self.call.poll_due(cx).is_pending() {
            return Ok(());
        }
        match self.answer {
            Answer::Over => {}
            Answer::Body { .. } => self.cut(Class::Timeout),
            Answer::Head(_) => match self.call.due(client.worker, self.up.is_whole()) {
                Due::GoOn => {
                    self.again = true;
                    return self.release(client, cx);
                }
                Due::Rescue => self.rescue(client, Class::Timeout),
                Due::GiveUp => self.fail(client, Failure::Timeout),
            },
        }
        Ok(())
    }

    /// The model gave no answer: the application gets one of ours.
    fn fail(&mut self, client: &mut Client<'_>, failure: Failure) {
        let refusal = match failure {
            Failure::Connect => Refusal::NoConnection,
            Failure::Broken => Refusal::Broken,
            Failure::Timeout => Refusal::Timeout,
            Failure::Body(Fault::TooLarge) => Refusal::BodyTooLarge,
            Failure::Body(Fault::Caller) => Refusal::BadBody,
            Failure::Body(Fault::Unchangeable(why)) => Refusal::Unchangeable(why),
        };
        if let Failure::Body(_) = failure {
            client.worker.count_refusal(refusal);
        }
        self.own(client, |out, manner| own::refusal(out, refusal, manner));
        self.call.ticket.end(failure.class());
    }

    fn own(&mut self, client: &mut Client<'_>, write: impl FnOnce(&mut Vec<u8>, Manner<'_>)) {
        self.hang_up();
        let done = self.request.is_done();
        self.keep &= done && !self.old && !client.state.is_retiring();
        let (variant, id) = self.call.labels();
        let labels = Labels {
            variant,
            prediction_id: &id,
        };
        let manner = Manner {
            labels: Some(labels),
            asked_head: self.asked_head,
            close: !self.keep,
        };
        write(self.down.bytes_mut(), manner);
        self.answer = Answer::Over;
        self.end = match (self.keep, done) {
            (true, _) => End::Keep,
            (false, true) => End::Close,
            (false, false) => End::Linger,
        };
        self.again = true;
    }

    /// The answer ends too soon, and has to look like it.
    fn cut(&mut self, class: Class) {
        if let Answer::Body {
            body, unchunked, ..
        } = &self.answer
        {
            self.end = match *unchunked || *body == Body::UntilClose {
                true => End::Reset,
                false => End::Close,
            };
        }
        self.book(class, inspect::End::Cut);
        self.hang_up();
        self.again = true;
    }

    /// The answer is over, in this way.
    fn book(&mut self, class: Class, how: inspect::End) {
        let ticket = &mut self.call.ticket;
        match std::mem::replace(&mut self.answer, Answer::Over) {
            Answer::Body {
                inspector: Some(inspector),
                ..
            } => ticket.end_found(class, &inspector.finish(how)),
            _ => ticket.end(class),
        }
    }

    /// Drops the endpoint's connection.
    fn hang_up(&mut self) {
        self.link = Link::None;
        self.claim = None;
    }

    /// Gives its buffers back. Where the answer is not over, the caller has hung up.
    pub(super) fn finish(mut self, worker: &Worker) {
        if !matches!(self.answer, Answer::Over) {
            self.book(Class::Cancelled, inspect::End::Left);
        }
        self.up.give_back(&worker.buffers);
        self.down.give_back(&worker.buffers);
    }
}

#[inline]
pub(super) fn poll_read(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    let polled = Pin::new(stream).poll_read(cx, &mut buffer);
    polled.map_ok(|()| buffer.filled().len())
}
