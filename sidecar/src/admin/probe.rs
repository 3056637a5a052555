//! Whether each variant's endpoints answer: looked at every second.
//!
//! An endpoint is ready when `GET /v2/models/MODEL/ready` is answered below 500, or when it takes a connection and
//! speaks something else. One that was ready is given up only after three failures in a row.

use crate::net::{self, Stream};
use crate::sync::{Probed, ProbedVariant};
use crate::table::{Address, Route, Scheme};
use crate::tls::{Offer, Tls};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Longer than this, an endpoint does not answer.
const PATIENCE: Duration = Duration::from_secs(1);
const GIVE_UP_AFTER: u32 = 3;

/// Model, variant, endpoint.
type Target = (String, String, Address);

/// What is known of every endpoint.
#[derive(Debug)]
pub struct Prober {
    tls: Arc<Tls>,
    known: BTreeMap<Target, Health>,
}

#[derive(Clone, Debug, Default)]
struct Health {
    ready: bool,
    failures: u32,
    why: String,
}

impl Health {
    fn observe(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => {
                *self = Self {
                    ready: true,
                    ..Self::default()
                }
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                self.ready &= self.failures < GIVE_UP_AFTER;
                self.why = why;
            }
        }
    }
}

impl Prober {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(tls: Arc<Tls>) -> Self {
        Self {
            tls,
            known: BTreeMap::new(),
        }
    }

    /// Looks at every endpoint of the routes once, all at the same time.
    pub async fn round(&mut self, routes: &[Arc<Route>]) -> Probed {
        let mut checks = JoinSet::new();
        let mut health = BTreeMap::new();
        for target in targets(routes) {
            let (model, _, address) = target.clone();
            health.insert(
                target.clone(),
                self.known.remove(&target).unwrap_or_default(),
            );
            let tls = Arc::clone(&self.tls);
            checks.spawn(async move {
                let check = tokio::time::timeout(PATIENCE, check(&model, &address, &tls));
                let result = check
                    .await
                    .unwrap_or_else(|_| Err("does not answer within 1 s".to_owned()));
                (target, result)
            });
        }
        while let Some(done) = checks.join_next().await {
            if let Ok((target, result)) = done
                && let Some(health) = health.get_mut(&target)
            {
                health.observe(result);
            }
        }
        self.known = health;
        self.probed(routes)
    }

    fn probed(&self, routes: &[Arc<Route>]) -> Probed {
        let mut probed = Probed::new();
        for route in routes {
            for (position, variant) in route.variants.iter().enumerate() {
                let mut sum = ProbedVariant {
                    stable: position == 0,
                    ..ProbedVariant::default()
                };
                for address in &variant.endpoints {
                    let target = (route.model.clone(), variant.name.clone(), address.clone());
                    let health = self.known.get(&target).cloned().unwrap_or_default();
                    sum.ready |= health.ready;
                    sum.endpoints.insert(address.to_string(), health.why);
                }
                probed.insert((route.model.clone(), variant.name.clone()), sum);
            }
        }
        probed
    }
}

fn targets(routes: &[Arc<Route>]) -> Vec<Target> {
    let mut targets = Vec::new();
    for route in routes {
        for variant in &route.variants {
            for address in &variant.endpoints {
                targets.push((route.model.clone(), variant.name.clone(), address.clone()));
            }
        }
    }
    targets
}

async fn check(model: &str, address: &Address, tls: &Tls) -> Result<(), String> {
    let offer = match address.scheme() {
        Scheme::Http | Scheme::Unix => Offer::Http1,
        Scheme::H2c => Offer::Http2,
        Scheme::Https => Offer::Both,
    };
    let connection = net::connect(address, tls, offer).await;
    let (connection, is_h2) =
        connection.map_err(|error| format!("takes no connection: {error}"))?;
    let answer = match is_h2 {
        true => ask_h2(model, address, connection).await,
        false => ask(model, address, connection).await,
    };
    match answer {
        Ok(status) if status.is_server_error() => Err(format!("says {status}")),
        Ok(_) => Ok(()),
        // It answers, but not in HTTP/1: a gRPC server.
        Err(error) if error.is_parse() => Ok(()),
        Err(error) => Err(format!("does not answer: {error}")),
    }
}

fn path(model: &str, address: &Address) -> String {
    format!("{}/v2/models/{model}/ready", address.prefix())
}

/// The status of the model's readiness.
async fn ask(model: &str, address: &Address, connection: Stream) -> hyper::Result<StatusCode> {
    let (mut send, connection) = http1::handshake(TokioIo::new(connection)).await?;
    let mut request = Request::new(Empty::<Bytes>::new());
    // A name that is no path asks for the root instead: any answer counts.
    *request.uri_mut() = path(model, address).parse().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(address.authority()) {
        request.headers_mut().insert(HOST, host);
    }
    status(send.send_request(request), connection).await
}

async fn ask_h2(model: &str, address: &Address, connection: Stream) -> hyper::Result<StatusCode> {
    let io = TokioIo::new(connection);
    let (mut send, connection) = http2::handshake(TokioExecutor::new(), io).await?;
    let mut request = Request::new(Empty::<Bytes>::new());
    let scheme = match address.scheme() {
        Scheme::Https => "https",
        _ => "http",
    };
    let uri = format!("{scheme}://{}{}", address.authority(), path(model, address));
    *request.uri_mut() = uri.parse().unwrap_or_default();
    status(send.send_request(request), connection).await
}

/// The connection is driven only as long as the answer's head is waited for, and closed then.
async fn status<A, C>(answer: A, connection: C) -> hyper::Result<StatusCode>
where
    A: Future<Output = hyper::Result<Response<Incoming>>>,
    C: Future<Output = hyper::Result<()>>,
{
    tokio::pin!(answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    Ok(answer?.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ModelSpec, Table};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server that answers every connection with `text`; `None` never answers.
    async fn server(text: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let Some(text) = text else {
                    kept.push(connection);
                    continue;
                };
                let n = connection.read(&mut head).await.unwrap();
                assert!(head[..n].starts_with(b"GET /v2/models/m/ready HTTP/1.1"));
                connection.write_all(text.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}")
    }

    fn routes(url: &str) -> Vec<Arc<Route>> {
        let spec = ModelSpec {
            name: "m".into(),
            stable_name: "v1".into(),
            stable: vec![url.to_owned()],
            ..ModelSpec::default()
        };
        Table::compile(&[spec], &[], None)
            .unwrap()
            .routes()
            .to_vec()
    }

    async fn probe(url: &str) -> ProbedVariant {
        let probed = Prober::new(Arc::new(Tls::plain()))
            .round(&routes(url))
            .await;
        probed[&("m".to_owned(), "v1".to_owned())].clone()
    }

    #[tokio::test]
    async fn what_answers_is_ready() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "\0\0\u{12}\u{4}\0\0\0\0\0 this is HTTP/2",
        ] {
            let variant = probe(&server(Some(answer)).await).await;
            assert!(variant.ready && variant.stable, "{answer}");
        }
    }

    #[tokio::test]
    async fn what_says_that_it_is_not_ready_is_not() {
        let busy = server(Some("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")).await;
        let variant = probe(&busy).await;
        assert!(!variant.ready);
        assert!(variant.endpoints[&busy].contains("503"));
    }

    #[tokio::test]
    async fn nobody_there_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let variant = probe(&url).await;
        assert!(!variant.ready);
        assert!(variant.endpoints[&url].contains("no connection"));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_not_ready() {
        assert!(!probe(&server(None).await).await.ready);
    }

    #[test]
    fn one_failure_is_no_outage() {
        let mut health = Health::default();
        health.observe(Err("x".into()));
        assert!(!health.ready);
        health.observe(Ok(()));
        for _ in 0..2 {
            health.observe(Err("x".into()));
            assert!(health.ready);
        }
        health.observe(Err("x".into()));
        assert!(!health.ready);
    }
}
