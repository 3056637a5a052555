//! An application of the tests.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serinus_common::bucket::hashed;
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub type SentBody = UnsyncBoxBody<Bytes, std::io::Error>;

pub fn body(bytes: impl Into<Bytes>) -> SentBody {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// One connection, kept alive.
pub struct Client {
    send: http1::SendRequest<SentBody>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Got {
    pub fn variant(&self) -> &str {
        self.headers["x-serinus-variant"].to_str().unwrap()
    }
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap()).await
    }

    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { send }
    }

    pub async fn send(&mut self, request: Request<SentBody>) -> Response<Incoming> {
        self.send.ready().await.unwrap();
        self.send.send_request(request).await.unwrap()
    }

    pub async fn get(&mut self, request: Request<SentBody>) -> Got {
        let (head, body) = self.send(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Got {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// A prediction for a user.
    pub async fn infer(&mut self, user: &str) -> Got {
        self.get(infer(user, "{}")).await
    }
}

pub fn infer(user: &str, text: impl Into<Bytes>) -> Request<SentBody> {
    let request = Request::post("/v2/models/m/infer").header("host", "ml.local");
    let request = request.header("content-type", "application/json");
    request.header("x-user-id", user).body(body(text)).unwrap()
}

/// A user whose bucket is in the lower part or the upper one.
pub fn user_of(variant: &str, share: f64, from: u32) -> String {
    let mut names = (from..).map(|n| format!("user-{n}"));
    let wanted = |name: &String| {
        let canary = f64::from(hashed("salt", name.as_bytes())) < share * 1e6;
        canary == (variant == "v2")
    };
    names.find(wanted).unwrap()
}

pub async fn h2(addr: SocketAddr) -> http2::SendRequest<SentBody> {
    h2_over(TcpStream::connect(addr).await.unwrap()).await
}

pub async fn h2_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> http2::SendRequest<SentBody> {
    let io = TokioIo::new(stream);
    let (send, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    send
}
