//! HTTP/1.1 connections of the fast path: bare streams.

use super::{Endpoint, MAX_IDLE};
use crate::net::Stream;
use crate::tls::Offer;
use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use tokio::io::{AsyncRead as _, ReadBuf};

#[derive(Debug)]
pub(super) struct Idle {
    stream: Stream,
    since_ms: u64,
}

impl Endpoint {
    /// Whether it is known to speak HTTP/1.1.
    #[inline]
    pub(crate) fn is_http1(&self) -> bool {
        self.speaks_h2.get() == Some(false)
    }

    /// A new connection.
    pub(crate) async fn connect_raw(&self) -> io::Result<Stream> {
        Ok(self.open(Offer::Http1).await?.0)
    }

    /// An idle connection that still works, as far as one can see.
    #[inline]
    pub(crate) fn reuse_raw(&self) -> Option<Stream> {
        let mut idle = self.idle_raw.borrow_mut();
        loop {
            let mut stream = idle.pop()?.stream;
            if is_quiet(&mut stream) {
                return Some(stream);
            }
        }
    }

    /// Takes a connection back whose answer has ended.
    #[inline]
    pub(crate) fn give_back_raw(&self, stream: Stream, now_ms: u64) {
        let mut idle = self.idle_raw.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                stream,
                since_ms: now_ms,
            });
        }
    }

    pub(super) fn sweep_raw(&self, before_ms: u64) {
        let mut idle = self.idle_raw.borrow_mut();
        idle.retain_mut(|idle| idle.since_ms >= before_ms && is_quiet(&mut idle.stream));
    }
}

/// Neither an end nor an answer that nobody has asked for. Where nothing has arrived this is no call of the system.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(stream)
        .poll_read(&mut cx, &mut buffer)
        .is_pending()
}
