//! HTTP/1.1 connections.

use super::joined::EndpointIo;
use super::{Endpoint, MAX_IDLE};
use crate::net::Stream;
use crate::proxy::body::Outgoing;
use crate::tls::Offer;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A connection together with its driver; it makes progress only while it is polled.
pub(crate) struct Upstream {
    send: http1::SendRequest<Outgoing>,
    connection: http1::Connection<EndpointIo, Outgoing>,
    ended: bool,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Idle {
    upstream: Box<Upstream>,
    since_ms: u64,
}

/// Why there is no answer's head.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: hyper::Error,
    /// The request was never written.
    pub(crate) unsent: bool,
}

impl Endpoint {
    /// An idle connection that still works.
    pub(crate) fn reuse(&self) -> Option<Box<Upstream>> {
        loop {
            let mut upstream = self.idle.borrow_mut().pop()?.upstream;
            if upstream.is_ready() {
                return Some(upstream);
            }
        }
    }

    /// A new connection.
    pub(crate) async fn connect_h1(&self) -> io::Result<Box<Upstream>> {
        let (stream, _) = self.open(Offer::Http1).await?;
        Self::begin_h1(stream).await
    }

    /// Puts a new connection among the idle ones.
    pub(super) async fn keep(&self, stream: Stream) -> io::Result<()> {
        let upstream = Self::begin_h1(stream).await?;
        self.idle.borrow_mut().push(Idle {
            upstream,
            // It is used at once; the first sweep comes too early for it only if not.
            since_ms: u64::MAX,
        });
        Ok(())
    }

    async fn begin_h1(stream: Stream) -> io::Result<Box<Upstream>> {
        let (send, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(EndpointIo(TokioIo::new(stream)))
            .await
            .map_err(io::Error::other)?;
        let mut upstream = Box::new(Upstream {
            send,
            connection,
            ended: false,
        });
        match upstream.is_ready() {
            true => Ok(upstream),
            false => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// Takes a connection back whose answer has ended.
    pub(crate) fn give_back(&self, upstream: Box<Upstream>, now_ms: u64) {
        let mut idle = self.idle.borrow_mut();
        if !upstream.ended && idle.len() < MAX_IDLE {
            idle.push(Idle {
                upstream,
                since_ms: now_ms,
            });
        }
    }

    /// Closes connections that the other side has closed, and those that nobody has used since `before_ms`.
    pub(crate) fn sweep(&self, before_ms: u64) {
        self.sweep_raw(before_ms);
        self.idle
            .borrow_mut()
            .retain_mut(|idle| idle.since_ms >= before_ms && idle.upstream.is_ready());
        self.relays().sweep(before_ms);
    }
}

impl Upstream {
    /// Polls an idle connection once: it notices a close, and becomes ready if its last exchange is over. A connection
    /// that is not ready by then still has something to write or read, and nobody waits for that: so nobody is woken
    /// either, least of all by the request that is sent next.
    fn is_ready(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx);
        !self.ended && matches!(self.send.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Lets it read and write.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            self.ended = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }

    /// Sends a request; ends with the answer's head.
    pub(crate) async fn exchange(
        &mut self,
        request: http::Request<Outgoing>,
    ) -> Result<http::Response<Incoming>, Broken> {
        let Self {
            send,
            connection,
            ended,
        } = self;
        let mut answer = std::pin::pin!(send.try_send_request(request));
        std::future::poll_fn(|cx| {
            // The connection first, so that the request is written; the answer may be there even when it has ended.
            if !*ended {
                *ended = Pin::new(&mut *connection).poll(cx).is_ready();
            }
            // It can only have come from the poll just above: a wake-up would be one poll of everything for nothing.
            answer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
        .map_err(|mut error| Broken {
            unsent: error.take_message().is_some(),
            error: error.into_error(),
        })
    }

    /// After a 101: the bare connection and what was read beyond the head.
    pub(crate) fn into_io(self) -> (Stream, bytes::Bytes) {
        let parts = self.connection.into_parts();
        (parts.io.0.into_inner(), parts.read_buf)
    }
}
