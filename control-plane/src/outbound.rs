//! Calls that the control plane makes itself: to webhooks, gates and sources of metrics. Only to addresses that its own
//! configuration names, never to one that a plan or an answer does: redirects are not followed, and names that resolve to
//! an address that no service of a user has are refused.

mod address;
mod service;
mod sign;
mod target;
mod tls;

pub(crate) use service::{PostError, Service, Settings, now_s};

use address::is_forbidden;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use target::{Target, TargetError};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Heads of answers are at most this long, bytes.
const HEAD: usize = 64 * 1024;

/// What goes out with each call.
const AGENT: &str = concat!("serinus/", env!("CARGO_PKG_VERSION"));

/// One address, and how it is called.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    target: Target,
    tls: Option<Arc<ClientConfig>>,
    /// Bound of a whole call.
    timeout: Duration,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// As far as it was asked for.
    pub(crate) body: Bytes,
    /// There was no more of it.
    pub(crate) whole: bool,
}

/// Why nothing came back. Messages name no more than the host, since the rest of an address may be a secret.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    /// The host has no address.
    #[error("{host} has no address: {error}")]
    Resolve { host: String, error: io::Error },
    /// It has only addresses that are not called.
    #[error(
        "{host} resolves to {address}, which is link-local or no address of a service: it is not called"
    )]
    Forbidden { host: String, address: SocketAddr },
    /// Nobody took the connection.
    #[error("connect to {host}: {error}")]
    Connect { host: String, error: io::Error },
    /// It broke.
    #[error("{host}: {error}")]
    Broken { host: String, error: hyper::Error },
    /// It took too long.
    #[error("{host} did not answer within {timeout:?}")]
    Timeout { host: String, timeout: Duration },
}

impl Caller {
    /// For an address. Without `ca` the system's roots are trusted, where it is https.
    ///
    /// # Errors
    /// If the address is none that is called, or the CA cannot be read.
    pub(crate) fn new(
        url: &str,
        ca: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, TargetError> {
        let target = Target::parse(url)?;
        let tls = match target.is_tls() {
            true => Some(tls::client(ca)?),
            false => None,
        };
        Ok(Self {
            target,
            tls,
            timeout,
        })
    }

    /// Sends a request, whose path is the target's unless it has one of its own, and reads about `limit` bytes of the
    /// answer's body; with 0 it is left alone.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(crate) async fn call(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> Result<Answer, CallError> {
        let called = tokio::time::timeout(self.timeout, self.exchange(request, limit)).await;
        called.unwrap_or_else(|_| {
            Err(CallError::Timeout {
                host: self.host(),
                timeout: self.timeout,
            })
        })
    }

    async fn exchange(&self, request: Request<Bytes>, limit: usize) -> Result<Answer, CallError> {
        let stream = self.connect().await?;
        let Some(tls) = &self.tls else {
            return self.converse(stream, request, limit).await;
        };
        let stream = tls::shake(tls, self.target.host(), stream).await;
        let stream = stream.map_err(|error| self.unconnected(error))?;
        self.converse(stream, request, limit).await
    }

    async fn connect(&self) -> Result<TcpStream, CallError> {
        let found = tokio::net::lookup_host((self.target.host(), self.target.port())).await;
        let found = found.map_err(|error| CallError::Resolve {
            host: self.host(),
            error,
        })?;
        let mut failed = None;
        for address in found {
            if is_forbidden(address.ip()) {
                failed.get_or_insert_with(|| CallError::Forbidden {
                    host: self.host(),
                    address,
                });
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(self.unconnected(error)),
            }
        }
        let nowhere = || CallError::Resolve {
            host: self.host(),
            error: io::ErrorKind::NotFound.into(),
        };
        Err(failed.unwrap_or_else(nowhere))
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Bytes>,
        limit: usize,
    ) -> Result<Answer, CallError> {
        let broken = |error| CallError::Broken {
            host: self.host(),
            error,
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD);
        let connection = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connection.map_err(broken)?;
        let exchange = async move {
            let answer = sender.send_request(self.complete(request)).await?;
            let (parts, body) = answer.into_parts();
            let (body, whole) = beginning(body, limit).await?;
            Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
                whole,
            })
        };
        // The connection ends with the exchange: nothing is left running when the caller loses patience.
        let driven = async {
            // Where it breaks, the exchange says so.
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            done = exchange => done.map_err(broken),
            never = driven => never,
        }
    }

    fn complete(&self, request: Request<Bytes>) -> Request<Full<Bytes>> {
        let (mut parts, body) = request.into_parts();
        if parts.uri.path_and_query().is_none_or(|of| of == "/") {
            parts.uri = self.target.path().into();
        }
        let headers = &mut parts.headers;
        headers.insert(header::HOST, self.target.authority());
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Request::from_parts(parts, Full::new(body))
    }

    fn host(&self) -> String {
        self.target.host().to_owned()
    }

    fn unconnected(&self, error: io::Error) -> CallError {
        CallError::Connect {
            host: self.host(),
            error,
        }
    }
}

/// What comes first of a body, and whether that is all of it.
async fn beginning(mut body: Incoming, limit: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut read = BytesMut::new();
    while read.len() < limit {
        let Some(frame) = body.frame().await.transpose()? else {
            break;
        };
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    Ok((read.freeze(), body.is_end_stream()))
}

#[cfg(test)]
mod tests;
