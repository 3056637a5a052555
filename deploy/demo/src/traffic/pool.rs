//! Keep-alive connections to one address.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Sender = SendRequest<Full<Bytes>>;

/// A POST of JSON.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer that has arrived whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The value of a header, if it is there and plain text.
    pub(super) fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there was no whole answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("connecting: {0}")]
    Connect(std::io::Error),
    #[error("no whole answer: {0}")]
    Exchange(#[from] hyper::Error),
}

/// Idle connections; the last used is the first taken, so that few stay in use.
#[derive(Debug)]
pub(super) struct Pool {
    address: SocketAddr,
    host: HeaderValue,
    idle: Mutex<Vec<Sender>>,
}

impl Pool {
    pub(super) fn new(address: SocketAddr) -> Self {
        let host = HeaderValue::from_str(&address.to_string())
            .expect("an address has only digits, letters and punctuation");
        Self {
            address,
            host,
            idle: Mutex::default(),
        }
    }

    /// Sends `post` and reads the answer to its end.
    ///
    /// An idle connection may have been closed by the peer: as long as nothing was written to it, the next one is
    /// tried. What was written is never sent twice.
    pub(super) async fn call(&self, post: Post) -> Result<Answer, CallError> {
        let mut request = self.request(post);
        while let Some(mut sender) = self.take() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(answer) => return self.receive(answer, sender).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut sender = self.connect().await?;
        let answer = sender.send_request(request).await?;
        self.receive(answer, sender).await
    }

    fn request(&self, post: Post) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(post.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = post.uri;
        *request.headers_mut() = post.headers;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        request
    }

    async fn connect(&self) -> Result<Sender, CallError> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(CallError::Connect)?;
        stream.set_nodelay(true).map_err(CallError::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends when the sender is dropped or the peer closes; errors reach whoever waits for an answer.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn receive(
        &self,
        answer: http::Response<hyper::body::Incoming>,
        sender: Sender,
    ) -> Result<Answer, CallError> {
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
