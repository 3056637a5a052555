//! One connection's bytes.

use super::Peer;
use super::count::Place;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// A connection that was let in.
#[derive(Debug)]
pub struct Stream {
    bytes: Bytes,
    peer: Peer,
    beginning: Option<Beginning>,
    _place: Place,
}

#[derive(Debug)]
enum Bytes {
    Plain(TcpStream),
    /// Boxed: the state of the encryption is large.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who says nothing does not keep a connection.
#[derive(Debug)]
struct Beginning {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

impl From<TcpStream> for Bytes {
    fn from(stream: TcpStream) -> Self {
        Self::Plain(stream)
    }
}

impl From<TlsStream<TcpStream>> for Bytes {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream))
    }
}

impl Stream {
    /// Its first `missing` bytes have to come within `patience`.
    pub(super) fn plain(
        stream: TcpStream,
        peer: Peer,
        place: Place,
        missing: usize,
        patience: Duration,
    ) -> Self {
        Self::new(stream.into(), peer, place, missing, patience)
    }

    /// As [`Stream::plain`], after the handshake.
    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        place: Place,
        missing: usize,
        patience: Duration,
    ) -> Self {
        Self::new(stream.into(), peer, place, missing, patience)
    }

    fn new(bytes: Bytes, peer: Peer, place: Place, missing: usize, patience: Duration) -> Self {
        let until = Box::pin(tokio::time::sleep(patience));
        Self {
            bytes,
            peer,
            beginning: Some(Beginning { missing, until }),
            _place: place,
        }
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $what:expr) => {
        match &mut $self.get_mut().bytes {
            Bytes::Plain($stream) => $what,
            Bytes::Tls($stream) => $what,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let Some(beginning) = &mut self.beginning else {
            return read;
        };
        let read_now = buffer.filled().len() - before;
        beginning.missing = beginning.missing.saturating_sub(read_now);
        if beginning.missing == 0 {
            self.beginning = None;
        } else if read.is_pending() && beginning.until.as_mut().poll(cx).is_ready() {
            metrics::counter!(crate::metrics::CONNECTIONS_REFUSED, "why" => "silent").increment(1);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
