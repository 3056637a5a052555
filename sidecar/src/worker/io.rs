//! The client's socket for hyper, with the bytes that were read before it was hyper's turn.

use super::connection::State;
use crate::net::Stream;
use crate::pool::poll_write_joined;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

#[derive(Debug)]
pub(super) struct ClientIo {
    inner: TokioIo<Stream>,
    early: Vec<u8>,
    /// Where the unread part of `early` begins.
    from: usize,
    state: Rc<State>,
}

impl ClientIo {
    pub(super) fn new(stream: Stream, early: Vec<u8>, state: Rc<State>) -> Self {
        Self {
            inner: TokioIo::new(stream),
            early,
            from: 0,
            state,
        }
    }

    pub(super) fn into_inner(self) -> Stream {
        self.inner.into_inner()
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.from < this.early.len() {
            let n = buffer.remaining().min(this.early.len() - this.from);
            buffer.put_slice(&this.early[this.from..this.from + n]);
            this.from += n;
            if this.from == this.early.len() {
                (this.early, this.from) = (Vec::new(), 0);
            }
            // The rest may be there already: hyper reads on by itself.
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        this.state.bytes_came();
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
