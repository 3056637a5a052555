//! Asks an HTTP port.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(5);
/// A fleet of many models has many metrics.
const LONGEST: usize = 64 << 20;
const HTTP_PORT: u16 = 7401;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) text: String,
}

/// `host:port` of what may be written as a URL.
pub(super) fn address(text: &str) -> &str {
    let bare = text.strip_prefix("http://").unwrap_or(text);
    bare.trim_end_matches('/')
}

/// The HTTP port on the host of a gRPC address, if both are the usual ones.
pub(super) fn beside(server: &str) -> String {
    let bare = address(server);
    let host = match bare.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => bare,
    };
    format!("{host}:{HTTP_PORT}")
}

/// Asks for a page.
///
/// # Errors
/// Why there is no answer, in words.
pub(super) async fn get(address: &str, path: &str) -> Result<Page, String> {
    let asked = timeout(WITHIN, ask(address, path)).await;
    asked.unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs())))
}

async fn ask(address: &str, path: &str) -> Result<Page, String> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let shake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shake.map_err(|error| error.to_string())?;
    // It ends with the sender, and an error of it is one of the request too.
    tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header("host", address)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(Page {
        status,
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_port_is_beside_the_other() {
        assert_eq!(beside("http://127.0.0.1:7400"), "127.0.0.1:7401");
        assert_eq!(beside("http://cp.example/"), "cp.example:7401");
        assert_eq!(beside("http://[::1]:7400"), "[::1]:7401");
        assert_eq!(address("http://h:1/"), "h:1");
        assert_eq!(address("h:1"), "h:1");
    }

    #[tokio::test]
    async fn nobody_there_is_said_in_words() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(get(&gone, "/").await.unwrap_err().contains("refused"));
    }
}
