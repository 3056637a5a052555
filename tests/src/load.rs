//! Traffic through a cluster, and what its users saw.

use crate::cluster::trace::Trace;
use crate::cluster::{Cluster, MODEL};
use crate::oracle::trace::Fault;
use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serinus_demo::traffic::{Config, Observer, Outcomes, Requests, Seen, Target, Traffic};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// The echo model answers the digit that it was sent.
const DIGIT: u8 = 7;

/// What the traffic of a test looks like.
#[derive(Clone, Debug)]
pub struct Load {
    /// Requests per second over all sidecars.
    pub rate: f64,
    /// At most this long.
    pub duration: Duration,
    /// Whether true labels follow, half a second later.
    pub labels: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: 300.0,
            duration: Duration::from_secs(180),
            labels: false,
        }
    }
}

/// An answer that a user got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Number of the user.
    pub user: u32,
    /// Number of the sidecar.
    pub target: usize,
    /// Who answered.
    pub variant: String,
    /// Who answered the same user there before.
    pub previous: Option<String>,
    /// When it was sent.
    pub sent: Instant,
}

/// Answers by the canary's users that moved; kept small: only changes of the variant are recorded.
#[derive(Clone, Debug, Default)]
pub struct Moves(Arc<Mutex<Vec<Answer>>>);

impl Moves {
    /// Users that went from `canary` to another variant.
    #[must_use]
    pub fn away_from(&self, canary: &str) -> Vec<Answer> {
        let moves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moves
            .iter()
            .filter(|answer| answer.previous.as_deref() == Some(canary))
            .cloned()
            .collect()
    }

    fn observer(&self, trace: Trace, sidecars: Vec<String>, prefix: String) -> Observer {
        let moves = self.0.clone();
        Box::new(move |seen: &Seen<'_>| {
            if let Some(sidecar) = sidecars.get(seen.target) {
                trace.asked(sidecar, &prefix, seen);
            }
            let moved = seen
                .previous
                .is_some_and(|previous| previous != seen.variant);
            if let Some(user) = seen.user.filter(|_| moved && seen.status.is_some()) {
                let answer = Answer {
                    user,
                    target: seen.target,
                    variant: seen.variant.to_owned(),
                    previous: seen.previous.map(str::to_owned),
                    sent: seen.sent,
                };
                moves
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(answer);
            }
        })
    }
}

impl Cluster {
    /// Sends traffic to every sidecar.
    ///
    /// # Errors
    /// If an address is none.
    pub fn load(&self, load: &Load) -> Result<(Traffic, Moves)> {
        let targets = self.sidecars.iter().map(|sidecar| {
            Ok(Target {
                infer: sidecar.inference.parse()?,
                admin: Some(sidecar.admin.parse()?),
            })
        });
        let targets = targets.collect::<Result<Vec<_>>>()?;
        let mut config = Config::new(targets, Requests::echo(MODEL, DIGIT));
        config.rate = load.rate;
        config.duration = load.duration;
        config.users.count = 2000;
        config.outcomes = load.labels.then(|| Outcomes {
            delay: Duration::from_millis(500),
            every: Duration::from_millis(100),
            ..Outcomes::default()
        });
        let moves = Moves::default();
        let names = self.sidecars.iter().map(|of| of.name.clone()).collect();
        let prefix = config.users.prefix.clone();
        let observer = moves.observer(self.trace.clone(), names, prefix);
        let traffic = Traffic::start_observed(config, observer)?;
        Ok((traffic, moves))
    }

    /// Makes a model server fail as the JSON says; `{}` makes it well.
    ///
    /// # Errors
    /// If the server does not take it.
    pub async fn fault(&self, version: &str, json: &str) -> Result<()> {
        let server = if version == "v1" {
            &self.stable
        } else {
            &self.canary
        };
        let fault = if json == "{}" {
            Fault::Well
        } else {
            Fault::Failing
        };
        self.trace.fault(fault, version);
        let (status, body) = post(&server.address("listening")?, "/fault", json).await?;
        anyhow::ensure!(status == 200, "fault: {status} {body}");
        Ok(())
    }
}

/// One POST of JSON: status and body.
///
/// # Errors
/// If nobody answers.
pub async fn post(address: &str, path: &str, json: &str) -> Result<(u16, String)> {
    let request = http::Request::post(path)
        .header("host", address)
        .header("content-type", "application/json");
    send(
        address,
        request.body(Full::new(Bytes::from(json.to_owned())))?,
    )
    .await
}

/// One GET: status and body.
///
/// # Errors
/// If nobody answers.
pub async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    send(
        address,
        http::Request::get(path)
            .header("host", address)
            .body(Full::new(Bytes::new()))?,
    )
    .await
}

async fn send(address: &str, request: http::Request<Full<Bytes>>) -> Result<(u16, String)> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connect {address}"))?;
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = send.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
