//! A page of an HTTP port.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The body of what `GET path` answers at `host:port`, whatever its status.
///
/// # Errors
/// If nobody answers.
pub async fn get(address: &str, path: &str) -> Result<String> {
    let stream = TcpStream::connect(address).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", address);
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?);
    let body = answer.await?.into_body().collect().await?.to_bytes();
    String::from_utf8(body.to_vec()).context("the page is no text")
}
