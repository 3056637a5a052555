//! A client of the HTTP/JSON API, which knows nothing of gRPC.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::eventually::eventually;

const LIMIT: Duration = Duration::from_secs(30);

/// Asks a control plane over a connection per request.
#[derive(Clone, Debug)]
pub struct Web {
    address: String,
}

/// An event of a stream, with its position.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What it carries.
    pub name: String,
    /// Where to resume.
    pub id: Option<String>,
    /// The message.
    pub data: Value,
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    text: String,
}

impl Web {
    /// For the HTTP address `host:port`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<http::Response<Incoming>> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", &self.address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        Ok(sender.send_request(request).await?)
    }

    /// The code and the JSON of an answer.
    ///
    /// # Errors
    /// If there is none.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value)> {
        let json = [("content-type", "application/json")];
        let body = match method {
            Method::GET => String::new(),
            _ => body.to_string(),
        };
        let response = self.send(method, path, &json, body).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes)?))
    }

    /// What is there.
    ///
    /// # Errors
    /// If it is not.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let (status, json) = self.ask(Method::GET, path, &Value::Null).await?;
        ensure!(status == 200, "{path}: {status} {json}");
        Ok(json)
    }

    /// What a command answers.
    ///
    /// # Errors
    /// If it is not done.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, json) = self.ask(Method::POST, path, body).await?;
        ensure!(status == 200, "{path}: {status} {json}");
        Ok(json)
    }

    /// Waits until what is there is as `wanted` says; an outage is waited out.
    ///
    /// # Errors
    /// If that does not happen in time.
    pub async fn until(
        &self,
        path: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(what, limit, || async {
            Ok(self.get(path).await.ok().filter(|json| wanted(json)))
        })
        .await
    }

    /// Opens a stream, behind `last` if something was had of it before.
    ///
    /// # Errors
    /// If the answer is no stream.
    pub async fn events(&self, path: &str, last: Option<&str>) -> Result<Events> {
        let headers: Vec<(&str, &str)> = last.map(|id| ("last-event-id", id)).into_iter().collect();
        let response = self
            .send(Method::GET, path, &headers, String::new())
            .await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        Ok(Events {
            body: response.into_body(),
            text: String::new(),
        })
    }
}

impl Events {
    /// The next event; `None` when the stream was cut or has ended.
    ///
    /// # Errors
    /// If nothing comes for 30 s, or what comes is no event.
    pub async fn next(&mut self) -> Result<Option<Sent>> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let sent = parse(frame)?;
                self.text = rest.to_owned();
                match sent {
                    Some(sent) => return Ok(Some(sent)),
                    None => continue,
                }
            }
            let frame = timeout(LIMIT, self.body.frame()).await;
            match frame.context("nothing came")? {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.text += std::str::from_utf8(&data)?;
                    }
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

/// `None` for a comment and the like.
fn parse(frame: &str) -> Result<Option<Sent>> {
    let field = |name: &str| {
        let prefix = format!("{name}: ");
        let mut lines = frame.lines();
        lines.find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    };
    let (Some(name), Some(data)) = (field("event"), field("data")) else {
        return Ok(None);
    };
    Ok(Some(Sent {
        name,
        id: field("id"),
        data: serde_json::from_str(&data)?,
    }))
}
