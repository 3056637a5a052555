//! A receiver of webhooks, with any manners.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// What it does with what is posted.
#[derive(Clone, Debug, PartialEq)]
pub enum Manner {
    /// Keeps it and answers 200.
    Take,
    /// Keeps it and answers 200 with this.
    Answer(Value),
    /// Answers 500.
    Fail,
    /// Never answers.
    Hang,
    /// Closes the connection.
    Cut,
    /// Sends it elsewhere, where it would be taken.
    Redirect,
}

/// Something that it took.
#[derive(Clone, Debug)]
pub struct Posted {
    /// By the header.
    pub id: String,
    /// Of the event; 0 if it is none.
    pub revision: u64,
    /// All of it.
    pub body: Value,
}

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    took: Mutex<Vec<Posted>>,
    asked: AtomicU64,
    unsigned: AtomicU64,
    key: hmac::Key,
}

/// A running one; it ends with its runtime.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: String,
    state: Arc<State>,
}

impl Receiver {
    /// Listens, and holds what comes against this secret, `whsec_...`.
    ///
    /// # Errors
    /// If it cannot listen, or the secret is none.
    pub async fn start(secret: &str) -> Result<Self> {
        let secret = secret.strip_prefix("whsec_").context("no secret")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State {
            manner: Mutex::new(Manner::Take),
            took: Mutex::default(),
            asked: AtomicU64::new(0),
            unsigned: AtomicU64::new(0),
            key: hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret)?),
        });
        let receiver = Self { address, state };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = serving.clone();
                let service = service_fn(move |request| {
                    let receiver = receiver.clone();
                    async move { receiver.serve(request).await }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(receiver)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on.
    pub fn behave(&self, manner: Manner) {
        *self
            .state
            .manner
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// So far, in the order of arrival.
    #[must_use]
    pub fn took(&self) -> Vec<Posted> {
        let took = self.state.took.lock();
        took.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests that came, whatever became of them.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// Of these, without the right signature.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        self.state.unsigned.load(Ordering::SeqCst)
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        self.state.asked.fetch_add(1, Ordering::SeqCst);
        if self.verify(&parts.headers, &body).is_none() {
            self.state.unsigned.fetch_add(1, Ordering::SeqCst);
        }
        let manner = self.state.manner.lock();
        let manner = manner.unwrap_or_else(PoisonError::into_inner).clone();
        let answer = Response::builder();
        let empty = Full::new(Bytes::new());
        match manner {
            Manner::Take => {
                self.take(&parts.headers, &body)?;
                Ok(Response::new(empty))
            }
            Manner::Answer(value) => {
                self.take(&parts.headers, &body)?;
                Ok(Response::new(Full::new(value.to_string().into())))
            }
            Manner::Fail => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Ok(answer.status(status).body(empty)?)
            }
            Manner::Hang => std::future::pending().await,
            Manner::Cut => anyhow::bail!("cut"),
            Manner::Redirect => {
                let status = StatusCode::TEMPORARY_REDIRECT;
                let elsewhere = answer.status(status).header("location", "/elsewhere");
                Ok(elsewhere.body(empty)?)
            }
        }
    }

    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<()> {
        let body: Value = serde_json::from_slice(body)?;
        let revision = body["data"]["revision"].as_str();
        let posted = Posted {
            id: text(headers, "webhook-id").unwrap_or_default().to_owned(),
            revision: revision.and_then(|of| of.parse().ok()).unwrap_or(0),
            body,
        };
        let took = self.state.took.lock();
        took.unwrap_or_else(PoisonError::into_inner).push(posted);
        Ok(())
    }

    /// As the specification of Standard Webhooks says.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Option<()> {
        let id = text(headers, "webhook-id")?;
        let timestamp = text(headers, "webhook-timestamp")?;
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let signature = text(headers, "webhook-signature")?.strip_prefix("v1,")?;
        let signature = STANDARD.decode(signature).ok()?;
        hmac::verify(&self.state.key, &signed, &signature).ok()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
