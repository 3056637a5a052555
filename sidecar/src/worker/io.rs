//! The client's socket, with the bytes that were read to tell the protocols apart.

use super::connection::State;
use crate::net::Stream;
use crate::pool::poll_write_joined;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt as _;

/// How every HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
pub(super) struct ClientIo {
    inner: TokioIo<Stream>,
    early: [u8; 24],
    /// Unread part of `early`.
    from: usize,
    to: usize,
    state: Rc<State>,
}

impl ClientIo {
    /// Reads until it is clear whether the client speaks HTTP/2; `None` if it hung up before.
    pub(super) async fn open(
        mut stream: Stream,
        state: Rc<State>,
    ) -> io::Result<Option<(Self, bool)>> {
        let mut early = [0; 24];
        let mut to = 0;
        while to < early.len() {
            let n = stream.read(&mut early[to..]).await?;
            if n == 0 {
                return Ok(None);
            }
            to += n;
            if early[..to] != PREFACE[..to] {
                break;
            }
        }
        let is_h2 = early == *PREFACE;
        let io = Self {
            inner: TokioIo::new(stream),
            early,
            from: 0,
            to,
            state,
        };
        Ok(Some((io, is_h2)))
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
        if this.from < this.to {
            let n = buffer.remaining().min(this.to - this.from);
            buffer.put_slice(&this.early[this.from..this.from + n]);
            this.from += n;
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
