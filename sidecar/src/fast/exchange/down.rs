//! The answer on its way to the client.

use super::{Answer, Client, End, Exchange, HALF_CLOSED_MS, HalfClosed, Link, Part, poll_read};
use crate::fast::answer::{self, AnswerHead};
use crate::fast::body::Body;
use crate::fast::edit::{self, Labels, Reader};
use crate::fast::lines::slots;
use crate::fast::outbox::Outbox;
use crate::inspect;
use crate::proxy::SHORT;
use crate::proxy::attempt::Failure;
use serinus_common::class::Class;
use std::task::{Context, Poll};

/// An answer's head is not longer.
const MAX_HEAD: usize = 256 << 10;

/// Up to this much is copied behind the head, so that both leave as one piece.
const JOINED: usize = 16 << 10;

impl Exchange {
    /// Passes on what can be read of the answer.
    pub(super) fn pull(
        &mut self,
        client: &mut Client<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let worker = client.worker;
        loop {
            if !self.flush(client, cx)? || matches!(self.answer, Answer::Over) {
                return Ok(());
            }
            let read = worker.buffers.with_scratch(|scratch| {
                let Link::Open(stream) = &mut self.link else {
                    return Ok(Poll::Pending);
                };
                let read = poll_read(stream, cx, scratch);
                if let Poll::Ready(Ok(n @ 1..)) = read {
                    self.on_bytes(client, &scratch[..n], cx)?;
                }
                Ok(read)
            })?;
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => self.on_end(client, true),
                Poll::Ready(Err(_)) => self.on_end(client, false),
            }
        }
    }

    /// Whether the client has taken everything so far.
    fn flush(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.down.is_empty() {
            return Ok(true);
        }
        let sent = self.down.poll_flush(client.stream, cx);
        self.is_sent(client, sent)
    }

    fn is_sent(
        &mut self,
        client: &mut Client<'_>,
        sent: Poll<std::io::Result<()>>,
    ) -> Result<bool, End> {
        client.state.write(sent.is_pending());
        match sent {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(_)) => Err(End::Close),
            Poll::Ready(Ok(())) => {
                if let Answer::Body { .. } = self.answer {
                    self.call.postpone(client.worker);
                }
                if let Some(HalfClosed(patience)) = &self.half_closed {
                    patience.postpone(HALF_CLOSED_MS);
                }
                Ok(true)
            }
        }
    }

    /// The endpoint sends no more.
    fn on_end(&mut self, client: &mut Client<'_>, cleanly: bool) {
        match &self.answer {
            Answer::Head(_) => self.failed(client, Failure::Broken),
            Answer::Body {
                body: Body::UntilClose,
                class,
                ..
            } if cleanly => self.complete(client, *class),
            Answer::Body { .. } => self.cut(Class::Model),
            Answer::Over => {}
        }
    }

    fn on_bytes(
        &mut self,
        client: &mut Client<'_>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        match &mut self.answer {
            Answer::Head(part) if part.bytes.is_empty() => self.on_head(client, bytes, cx),
            Answer::Head(part) => {
                part.bytes.extend_from_slice(bytes);
                if part.bytes.len() < part.whole {
                    return Ok(());
                }
                let joined = std::mem::take(&mut part.bytes);
                self.on_head(client, &joined, cx)
            }
            Answer::Body { .. } => self.on_body(client, bytes, cx),
            Answer::Over => Ok(()),
        }
    }

    fn on_head(
        &mut self,
        client: &mut Client<'_>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let mut rest = bytes;
        loop {
            let mut slots = slots();
            let head = match answer::parse(rest, &mut slots) {
                Ok(Some(head)) => head,
                Ok(None) if rest.len() <= MAX_HEAD => {
                    self.answer = Answer::Head(Part {
                        bytes: rest.to_vec(),
                        whole: 0,
                    });
                    return Ok(());
                }
                Ok(None) => return self.unsound(client, "its head is too long"),
                Err(why) => return self.unsound(client, why),
            };
            let from_head = rest;
            rest = &rest[head.text.len()..];
            match head.status {
                // Whoever asks for it does not come this way.
                101 => return self.unsound(client, "it changes the protocol"),
                status if status < 200 => self.on_interim(&head),
                _ => match self.awaits(client, &head, rest.len()) {
                    None => return self.on_final_head(client, &head, rest, cx),
                    Some(whole) => {
                        let mut bytes = Vec::with_capacity(whole);
                        bytes.extend_from_slice(from_head);
                        self.answer = Answer::Head(Part { bytes, whole });
                        return Ok(());
                    }
                },
            }
            if rest.is_empty() {
                self.answer = Answer::Head(Part::default());
                return Ok(());
            }
        }
    }

    /// HTTP/1.0 knows no interim answers, and nobody but who has asked for it a `100 Continue`, nor twice.
    fn on_interim(&mut self, head: &AnswerHead<'_, '_>) {
        let wanted = head.status != 100 || std::mem::take(&mut self.expects);
        if wanted && !self.old {
            let reader = Reader {
                old: false,
                close: false,
            };
            edit::answer(self.down.bytes_mut(), head, None, reader);
        }
    }

    /// Whether an answer is held back until it is whole, and how many bytes that are: `here` of its body have come. As
    /// long as nothing of it is passed on, stable can still answer.
    #[inline]
    fn awaits(&self, client: &Client<'_>, head: &AnswerHead<'_, '_>, here: usize) -> Option<usize> {
        let length = self.missing(head, here)?;
        let waits = !Class::of_http(head.status).is_failure()
            && self.request.is_done()
            && self.call.may_wait(client.worker, self.up.is_whole());
        waits.then(|| head.text.len() + length)
    }

    /// The length of a short body of which no more than `here` have come, if that is not all.
    #[inline]
    fn missing(&self, head: &AnswerHead<'_, '_>, here: usize) -> Option<usize> {
        match head.body(self.asked_head) {
            Body::Length(length @ 1..=SHORT)
                if here < length as usize && !head.is_event_stream() =>
            {
                Some(length as usize)
            }
            _ => None,
        }
    }

    /// Holds nothing back any more.
    pub(super) fn release(
        &mut self,
        client: &mut Client<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        match &mut self.answer {
            Answer::Head(part) if part.is_held() => {
                let held = std::mem::take(part);
                self.on_head(client, &held.bytes, cx)
            }
            _ => Ok(()),
        }
    }

    fn unsound(&mut self, client: &mut Client<'_>, why: impl std::fmt::Display) -> Result<(), End> {
        tracing::debug!(%why, "an answer is no sound HTTP/1.1");
        self.reused = false;
        self.failed(client, Failure::Broken);
        Ok(())
    }

    fn on_final_head(
        &mut self,
        client: &mut Client<'_>,
        head: &AnswerHead<'_, '_>,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let class = Class::of_http(head.status);
        self.observe(client, class.is_failure());
        if class.is_failure() && self.call.may_rescue(client.worker, self.up.is_whole()) {
            self.rescue(client, class);
            return Ok(());
        }
        if head.is_event_stream() {
            self.call.ticket.stop_clock();
        }
        let body = head.body(self.asked_head);
        self.in_parts = self.missing(head, rest.len()).is_some();
        self.reusable = head.keeps_alive();
        let unchunked = self.old && matches!(body, Body::Chunked(_));
        let ends = body != Body::UntilClose && !unchunked;
        self.keep &= ends && !client.state.is_retiring();
        self.write_head(client, head);
        self.answer = Answer::Body {
            body,
            unchunked,
            class,
            inspector: self.call.inspector(head),
        };
        // There will be no other attempt.
        self.up.forget();
        self.call.postpone(client.worker);
        self.on_body(client, rest, cx)
    }

    fn write_head(&mut self, client: &Client<'_>, head: &AnswerHead<'_, '_>) {
        let (variant, id) = self.call.labels();
        let labels = Labels {
            variant,
            prediction_id: &id,
        };
        if self.down.kept() == 0 {
            self.down = Outbox::new(&client.worker.buffers);
        }
        let reader = Reader {
            old: self.old,
            close: !self.keep,
        };
        edit::answer(self.down.bytes_mut(), head, Some(labels), reader);
    }

    fn on_body(
        &mut self,
        client: &mut Client<'_>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let Answer::Body {
            body,
            unchunked,
            class,
            inspector,
        } = &mut self.answer
        else {
            return Ok(());
        };
        let class = *class;
        let ticket = &self.call.ticket;
        let mut payload = unchunked.then(Vec::new);
        let taken = body.take(bytes, |data| {
            if let Some(inspector) = inspector {
                inspector.feed(data, || ticket.elapsed_micros());
            }
            if let Some(payload) = &mut payload {
                payload.extend_from_slice(data);
            }
        });
        let taken = match taken {
            Ok(taken) => taken,
            Err(why) => {
                tracing::debug!(%why, "an answer is no sound HTTP/1.1");
                self.cut(Class::Model);
                return Ok(());
            }
        };
        let done = body.is_done();
        // Nobody has asked for more than the answer.
        self.reusable &= taken.bytes == bytes.len();
        self.call.ticket.sent(taken.payload);
        self.call.postpone(client.worker);
        let data = payload.as_deref().unwrap_or(&bytes[..taken.bytes]);
        let sent = if data.len() <= JOINED && !self.down.is_empty() {
            self.down.bytes_mut().extend_from_slice(data);
            self.down.poll_flush(client.stream, cx)
        } else {
            self.down.poll_send(client.stream, cx, data)
        };
        if done {
            self.complete(client, class);
        }
        self.is_sent(client, sent).map(|_| ())
    }

    /// The answer has ended as it should.
    fn complete(&mut self, client: &mut Client<'_>, class: Class) {
        if self.in_parts {
            self.call.is_whole_now(client.worker);
        }
        self.book(class, inspect::End::Whole);
        let sent = self.request.is_done() && self.up.is_empty() && !self.deaf;
        let link = std::mem::replace(&mut self.link, Link::None);
        if let (Link::Open(stream), Some(claim), true) =
            (link, self.claim.take(), self.reusable && sent)
        {
            let now_ms = client.worker.deadlines.now_ms();
            claim.endpoint().give_back_raw(stream, now_ms);
        }
        self.end = match (self.keep, self.request.is_done()) {
            (true, true) => End::Keep,
            (false, true) => End::Close,
            (_, false) => End::Linger,
        };
    }
}
