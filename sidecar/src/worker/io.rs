//! The client's socket for hyper: what was read before it was hyper's turn comes first, and nothing unsound comes.

use super::Worker;
use super::connection::State;
use crate::fast::{Guard, HandOver};
use crate::net::Stream;
use crate::pool::poll_write_joined;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead as _, ReadBuf};

/// What a connection keeps of its buffer between reads.
const KEPT: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct ClientIo {
    inner: TokioIo<Stream>,
    /// Read, and sound.
    ready: Vec<u8>,
    /// Where the unread part of `ready` begins.
    from: usize,
    /// Of HTTP/1 connections.
    guard: Option<Guard>,
    worker: Rc<Worker>,
    state: Rc<State>,
}

impl ClientIo {
    pub(super) fn new(rest: HandOver, worker: Rc<Worker>, state: Rc<State>) -> Self {
        let mut io = Self {
            inner: TokioIo::new(rest.stream),
            ready: Vec::new(),
            from: 0,
            guard: (!rest.is_h2).then(|| Guard::new(worker.limits.head_bytes)),
            worker,
            state,
        };
        io.take(&rest.early);
        io
    }

    /// The stream, and what was read from it and is not hyper's.
    pub(super) fn into_inner(self) -> (Stream, Vec<u8>) {
        let unread = self.ready[self.from..].to_vec();
        (self.inner.into_inner(), unread)
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.guard {
            None => self.ready.extend_from_slice(bytes),
            Some(guard) => {
                if let Err(why) = guard.feed(bytes, &mut self.ready) {
                    tracing::debug!(%why, "a request was not passed on");
                    self.worker.count_malformed();
                }
            }
        }
    }

    fn give(&mut self, buffer: &mut ReadBufCursor<'_>) {
        let n = buffer.remaining().min(self.ready.len() - self.from);
        buffer.put_slice(&self.ready[self.from..self.from + n]);
        self.from += n;
        if self.from == self.ready.len() {
            self.from = 0;
            self.ready.clear();
            self.ready.shrink_to(KEPT);
        }
    }

    /// Whether more was read; an end is nothing.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let worker = Rc::clone(&self.worker);
        worker.buffers.with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(self.inner.inner_mut()).poll_read(cx, &mut buffer))?;
            self.state.bytes_came();
            self.take(buffer.filled());
            Poll::Ready(Ok(!buffer.filled().is_empty()))
        })
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.from == this.ready.len() {
            let Some(guard) = &this.guard else {
                ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
                this.state.bytes_came();
                return Poll::Ready(Ok(()));
            };
            if guard.has_refused() || !ready!(this.poll_more(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        this.give(&mut buffer);
        // More may be there already: hyper reads on by itself.
        Poll::Ready(Ok(()))
    }
}

impl Write for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.state.write(polled.is_pending());
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = poll_write_joined(Pin::new(&mut self.inner), cx, buffers);
        self.state.write(polled.is_pending());
        polled
    }
}
