//! Bytes that wait for a socket to take them.

use super::buffers::Buffers;
use crate::net::Stream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite as _;

/// Bytes on their way to a socket. Those of a request are kept after they were sent, as long as it may have to be sent
/// again.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// Everything since the start of the message is here.
    whole: bool,
    /// The stream took everything but holds some of it back: encrypted, and more than the socket takes.
    held: bool,
}

impl Outbox {
    /// For bytes that are sent at once, as far as the socket takes them.
    pub(crate) fn new(buffers: &Buffers) -> Self {
        Self {
            bytes: buffers.take(0),
            ..Self::default()
        }
    }

    /// For a message, of about `length` bytes if that is known: what is put in stays, until [`forget`](Self::forget).
    pub(crate) fn keeping(buffers: &Buffers, length: usize) -> Self {
        Self {
            bytes: buffers.take(length),
            whole: true,
            ..Self::default()
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && !self.held
    }

    /// Whether the message could be sent again from its start.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(crate) fn kept(&self) -> usize {
        self.bytes.len()
    }

    /// To add to it.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether nothing of it was sent.
    pub(crate) fn is_unsent(&self) -> bool {
        self.whole && self.sent == 0
    }

    /// Sends everything again.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
        self.held = false;
    }

    /// What was sent need not be kept.
    pub(crate) fn forget(&mut self) {
        self.whole = false;
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// Sends what is here.
    #[inline]
    pub(crate) fn poll_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let n = ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        ready!(self.poll_held(stream, cx))?;
        if !self.whole {
            self.bytes.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is here and then `more`, of which only the rest is copied that the socket does not take.
    pub(crate) fn poll_send(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        more: &[u8],
    ) -> Poll<io::Result<()>> {
        // What waits must not be taken for sent because there is nothing to go with it.
        if more.is_empty() {
            return self.poll_flush(stream, cx);
        }
        let mut done = 0;
        while done < more.len() {
            let slices = [
                io::IoSlice::new(&self.bytes[self.sent..]),
                io::IoSlice::new(&more[done..]),
            ];
            let writing = match self.is_empty() {
                true => Pin::new(&mut *stream).poll_write(cx, &more[done..]),
                false => Pin::new(&mut *stream).poll_write_vectored(cx, &slices),
            };
            let n = match writing {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.bytes.extend_from_slice(&more[done..]);
                    return Poll::Pending;
                }
            };
            self.whole = false;
            let own = n.min(self.bytes.len() - self.sent);
            self.sent += own;
            done += n - own;
        }
        self.bytes.clear();
        self.sent = 0;
        self.poll_held(stream, cx)
    }

    /// Nothing to do but with TLS.
    #[inline]
    fn poll_held(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(stream).poll_flush(cx);
        self.held = flushed.is_pending();
        flushed
    }

    pub(crate) fn give_back(self, buffers: &Buffers) {
        buffers.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn everything_arrives_in_order_however_slowly_it_is_read() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut stream = Stream::from(one);
        let mut outbox = Outbox::new(&Buffers::default());
        outbox.bytes_mut().extend_from_slice(b"head");
        let body: Vec<u8> = (0..4_000_000u32).map(|n| n as u8).collect();
        let first = poll_fn(|cx| Poll::Ready(outbox.poll_send(&mut stream, cx, &body))).await;
        assert!(first.is_pending() && !outbox.is_empty());
        let sending = async {
            poll_fn(|cx| outbox.poll_flush(&mut stream, cx))
                .await
                .unwrap();
            assert!(outbox.is_empty() && outbox.kept() == 0);
            drop(stream);
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(other.read_to_end(&mut got), sending);
        assert_eq!(read.unwrap(), body.len() + 4);
        assert_eq!(got, [b"head", &body[..]].concat());
    }

    #[tokio::test]
    async fn what_is_whole_can_be_sent_again_until_it_is_forgotten() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut stream = Stream::from(one);
        let mut outbox = Outbox::keeping(&Buffers::default(), 0);
        outbox.bytes_mut().extend_from_slice(b"request");
        assert!(outbox.is_unsent());
        for _ in 0..2 {
            poll_fn(|cx| outbox.poll_flush(&mut stream, cx))
                .await
                .unwrap();
            assert!(outbox.is_empty() && outbox.is_whole() && !outbox.is_unsent());
            outbox.rewind();
        }
        poll_fn(|cx| outbox.poll_send(&mut stream, cx, b""))
            .await
            .unwrap();
        outbox.forget();
        assert_eq!((outbox.kept(), outbox.is_whole()), (0, false));
        poll_fn(|cx| outbox.poll_send(&mut stream, cx, b" more"))
            .await
            .unwrap();
        drop(stream);
        let mut got = String::new();
        other.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "requestrequestrequest more");
    }
}
