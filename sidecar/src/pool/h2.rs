//! HTTP/2 connections: one per endpoint and worker, shared by all its requests.

use super::Endpoint;
use crate::net::Stream;
use crate::proxy::body::Outgoing;
use crate::table::Scheme;
use crate::tls::Offer;
use crate::worker::LocalExecutor;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use std::io;

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Of an answer's head, as with gRPC.
const HEAD_BYTES: u32 = 64 << 10;

impl Endpoint {
    /// A handle on the shared connection, made if there is none or if the last one has ended; and whether it was there.
    pub(crate) async fn shared_h2(&self) -> io::Result<(http2::SendRequest<Outgoing>, bool)> {
        match self.live_h2() {
            Some(send) => Ok((send, true)),
            None => Box::pin(self.connect_h2()).await,
        }
    }

    /// One request makes the connection; those that come meanwhile wait for it.
    async fn connect_h2(&self) -> io::Result<(http2::SendRequest<Outgoing>, bool)> {
        let _connecting = self.connecting.lock().await;
        if let Some(send) = self.live_h2() {
            return Ok((send, true));
        }
        let (stream, _) = self.open(Offer::Http2).await.inspect_err(|_| {
            if self.address.scheme() == Scheme::Https {
                // Perhaps it speaks something else now: the next call asks.
                self.speaks_h2.set(None);
            }
        })?;
        Ok((self.share(stream).await?, false))
    }

    /// From now on requests go over this connection.
    pub(super) async fn share(&self, stream: Stream) -> io::Result<http2::SendRequest<Outgoing>> {
        let (send, connection) = http2::Builder::new(LocalExecutor)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_local(connection);
        self.shared.replace(Some(send.clone()));
        Ok(send)
    }

    fn live_h2(&self) -> Option<http2::SendRequest<Outgoing>> {
        let shared = self.shared.borrow();
        shared.as_ref().filter(|send| !send.is_closed()).cloned()
    }
}
