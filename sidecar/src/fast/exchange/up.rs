//! The request on its way to the endpoint.

use super::{Answer, Client, End, Exchange, Link, poll_read};
use crate::fast::edit;
use crate::fast::malformed::Malformed;
use crate::fast::own;
use crate::fast::request::RequestHead;
use crate::proxy::attempt::Failure;
use crate::proxy::body::Fault;
use serinus_common::class::Class;
use std::task::{Context, Poll};

impl Exchange {
    /// Sends the head and what is here of the body; how many bytes of `rest` were the body's.
    pub(super) fn start(
        &mut self,
        client: &mut Client<'_>,
        head: &RequestHead<'_, '_>,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> usize {
        let Some(claim) = self.claim_of(client, self.call.ticket.serving(), None) else {
            self.failed(client, Failure::Connect);
            return 0;
        };
        let target = self.call.target(claim.endpoint(), head.method, head.asked);
        self.target = edit::request(self.up.bytes_mut(), head, target.as_deref());
        self.original = target.map(|_| head.asked.into());
        self.head_bytes = self.up.kept();
        self.go_to(claim);
        self.pass_on(client, rest, cx)
    }

    /// Sends what waits, and what can be read of the body.
    pub(super) fn push(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) {
        loop {
            if let Link::Open(stream) = &mut self.link
                && !self.deaf
                && !self.up.is_empty()
            {
                match self.up.poll_flush(stream, cx) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(())) => {}
                    // There may be an answer all the same, which says why.
                    Poll::Ready(Err(_)) => self.deaf = true,
                }
            }
            let open = matches!(self.link, Link::Open(_));
            if !open || self.deaf || self.request.is_done() {
                return;
            }
            let worker = client.worker;
            let read = worker.buffers.with_scratch(|scratch| {
                let read = poll_read(client.stream, cx, scratch);
                if let Poll::Ready(Ok(n @ 1..)) = read {
                    let taken = self.pass_on(client, &scratch[..n], cx);
                    client.early.push(&scratch[taken..n], &worker.buffers);
                }
                read
            });
            match read {
                Poll::Pending => return,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.broken_off(client, Failure::Body(Fault::Caller));
                    return;
                }
            }
        }
    }

    /// Takes the body's part of what was read, and passes it on; its length.
    fn pass_on(&mut self, client: &mut Client<'_>, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let taken = match self.request.take(bytes, |_| {}) {
            Ok(taken) => taken,
            Err(why) => {
                self.malformed(client, why);
                return bytes.len();
            }
        };
        self.received += taken.payload;
        if self.received > client.worker.limits.body_bytes {
            self.broken_off(client, Failure::Body(Fault::TooLarge));
            return bytes.len();
        }
        let data = &bytes[..taken.bytes];
        let most = self.head_bytes + client.worker.limits.replay_bytes;
        let keep = !self.long && self.up.is_whole() && self.up.kept() + data.len() <= most;
        match &mut self.link {
            // What does not fit is kept only where nothing takes it yet.
            Link::Open(stream) if !keep && !self.deaf => {
                let sent = self.up.poll_send(stream, cx, data);
                self.deaf |= matches!(sent, Poll::Ready(Err(_)));
            }
            _ => self.up.bytes_mut().extend_from_slice(data),
        }
        taken.bytes
    }

    /// The answer was there before the whole request, and has not said that it is the last one: what is still to come of
    /// the body is read for nobody, so that the next request can follow it.
    pub(super) fn skip(
        &mut self,
        client: &mut Client<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let worker = client.worker;
        loop {
            if self.request.is_done() {
                return Err(End::Keep);
            }
            let read = worker.buffers.with_scratch(|scratch| {
                let read = poll_read(client.stream, cx, scratch);
                if let Poll::Ready(Ok(n @ 1..)) = read {
                    self.skip_bytes(client, &scratch[..n])?;
                }
                Ok(read)
            })?;
            match read {
                Poll::Pending if self.call.poll_due(cx).is_pending() => return Ok(()),
                Poll::Pending | Poll::Ready(Ok(0) | Err(_)) => return Err(End::Close),
                Poll::Ready(Ok(1..)) => self.call.postpone(worker),
            }
        }
    }

    fn skip_bytes(&mut self, client: &mut Client<'_>, bytes: &[u8]) -> Result<(), End> {
        let Ok(taken) = self.request.take(bytes, |_| {}) else {
            client.worker.count_malformed();
            return Err(End::Close);
        };
        self.received += taken.payload;
        if self.received > client.worker.limits.body_bytes {
            return Err(End::Linger);
        }
        client
            .early
            .push(&bytes[taken.bytes..], &client.worker.buffers);
        Ok(())
    }

    /// The request turns out to be unsound in its middle.
    fn malformed(&mut self, client: &mut Client<'_>, why: Malformed) {
        client.worker.count_malformed();
        match self.answer {
            Answer::Head(_) => {
                self.own(client, |out, manner| own::malformed(out, why, manner));
                self.call.ticket.end(Class::Cancelled);
            }
            _ => self.cut(Class::Cancelled),
        }
    }

    /// The rest of the request does not come, or must not.
    fn broken_off(&mut self, client: &mut Client<'_>, failure: Failure) {
        match self.answer {
            Answer::Head(_) => self.fail(client, failure),
            _ => self.cut(failure.class()),
        }
    }
}
