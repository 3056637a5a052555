//! Short writes as one piece: for a head and a small body, a copy and `send` cost less than `writev`.

use crate::net::Stream;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Up to this many bytes are joined.
const JOINED: usize = 2048;

/// Writes the buffers, as one if they are short.
pub(crate) fn poll_write_joined(
    io: Pin<&mut TokioIo<Stream>>,
    cx: &mut Context<'_>,
    buffers: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut joined = [0; JOINED];
    let mut length = 0;
    for buffer in buffers {
        let Some(room) = joined.get_mut(length..length + buffer.len()) else {
            return io.poll_write_vectored(cx, buffers);
        };
        room.copy_from_slice(buffer);
        length += buffer.len();
    }
    io.poll_write(cx, &joined[..length])
}

/// The socket of an endpoint.
#[derive(Debug)]
pub(super) struct EndpointIo(pub(super) TokioIo<Stream>);

impl Read for EndpointIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for EndpointIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_joined(Pin::new(&mut self.0), cx, buffers)
    }
}
