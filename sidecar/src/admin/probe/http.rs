//! A question over HTTP/1.1, on a connection of its own.

use super::ask::{Asking, Trouble};
use crate::net::Stream;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

/// More of an answer is not read.
pub(super) const LONGEST: usize = 64 << 10;

/// Status and body.
pub(super) async fn get(
    asking: &Asking,
    path: &str,
    connection: Stream,
) -> Result<(StatusCode, Vec<u8>), Trouble> {
    let mut request = Request::new(Empty::<Bytes>::new());
    // A name that is no path asks for the root instead: any answer counts.
    *request.uri_mut() = path.parse().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(asking.address.authority()) {
        request.headers_mut().insert(HOST, host);
    }
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(CONNECTION, close);
    exchange(request, connection).await.map_err(|error| {
        // A gRPC server.
        if error.is_parse() {
            return Trouble::NotHttp1;
        }
        Trouble::Other(format!("does not answer: {error}"))
    })
}

async fn exchange(
    request: Request<Empty<Bytes>>,
    connection: Stream,
) -> hyper::Result<(StatusCode, Vec<u8>)> {
    let (mut send, connection) = http1::handshake(TokioIo::new(connection)).await?;
    let answer = async {
        let (head, body) = send.send_request(request).await?.into_parts();
        // What is too long or breaks off is no list of models; the status stands.
        let body = Limited::new(body, LONGEST).collect().await;
        let body = body.map_or_else(|_| Vec::new(), |body| body.to_bytes().to_vec());
        Ok((head.status, body))
    };
    tokio::pin!(answer);
    // The connection is driven only as long as the answer is waited for, and closed then.
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
