//! What the load is.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, Uri};

use super::Requests;

const MAX_RATE: f64 = 100_000.0;

/// Where requests go: the ports of one sidecar, or of a model server alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Takes inference calls.
    pub infer: SocketAddr,
    /// Takes outcomes on `/v1/outcomes`; without it none are sent.
    pub admin: Option<SocketAddr>,
}

/// Who the users are: each request is of one of `count` users, drawn at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// How many there are; 0 sends requests without a key.
    pub count: u32,
    /// The header that names the user.
    pub header: HeaderName,
    /// The users are called `{prefix}0` to `{prefix}{count - 1}`.
    pub prefix: String,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            count: 20_000,
            header: HeaderName::from_static("x-user-id"),
            prefix: "user-".to_owned(),
        }
    }
}

/// How the truth comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    /// The metric's name; its value is 1.0 for a right answer, else 0.0.
    pub metric: String,
    /// How long after the answer the truth is known.
    pub delay: Duration,
    /// How often each target gets the outcomes that are due, in one call.
    pub every: Duration,
}

impl Default for Outcomes {
    fn default() -> Self {
        Self {
            metric: "accuracy".to_owned(),
            delay: Duration::from_secs(3),
            every: Duration::from_millis(200),
        }
    }
}

/// A load. [`Config::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// They get requests in turn, so each the same number.
    pub targets: Vec<Target>,
    /// What is asked.
    pub requests: Requests,
    /// Who asks.
    pub users: Users,
    /// Requests per second over all targets, whether answers come or not. 1000 by default.
    pub rate: f64,
    /// When sending ends by itself. Ten minutes by default.
    pub duration: Duration,
    /// How long a user waits for an answer. 15 s by default.
    pub timeout: Duration,
    /// The most requests under way per target; what would be more is counted as skipped. 512 by default.
    pub connections: usize,
    /// Truths for the answers; `None` sends no outcomes.
    pub outcomes: Option<Outcomes>,
    /// Seed of the choice of users and rows.
    pub seed: u64,
}

impl Config {
    /// `requests` to `targets`, all else by default.
    pub fn new(targets: Vec<Target>, requests: Requests) -> Self {
        Self {
            targets,
            requests,
            users: Users::default(),
            rate: 1000.0,
            duration: Duration::from_secs(600),
            timeout: Duration::from_secs(15),
            connections: 512,
            outcomes: Some(Outcomes::default()),
            seed: 1,
        }
    }

    /// The path of the requests.
    pub(super) fn uri(&self) -> Result<Uri, ConfigError> {
        let path = &self.requests.path;
        let uri: Option<PathAndQuery> = path.parse().ok().filter(|_| path.starts_with('/'));
        uri.map(Uri::from)
            .ok_or_else(|| ConfigError::Path(path.clone()))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_rate(self.rate)?;
        if self.targets.is_empty() {
            return Err(ConfigError::NoTargets);
        }
        if self.requests.payloads.is_empty() {
            return Err(ConfigError::NoPayloads);
        }
        self.uri()?;
        if self.connections == 0 {
            return Err(ConfigError::NoConnections);
        }
        if http::HeaderValue::from_str(&self.users.prefix).is_err() {
            return Err(ConfigError::UserPrefix(self.users.prefix.clone()));
        }
        match &self.outcomes {
            Some(outcomes) if outcomes.every.is_zero() => Err(ConfigError::OutcomesEvery),
            _ => Ok(()),
        }
    }
}

pub(super) fn check_rate(rate: f64) -> Result<(), ConfigError> {
    if rate > 0.0 && rate <= MAX_RATE {
        Ok(())
    } else {
        Err(ConfigError::Rate(rate))
    }
}

/// A field of a [`Config`] that is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Not above 0, or beyond what one thread can send.
    #[error("rate: is {0}, must be above 0 and at most {MAX_RATE} requests per second")]
    Rate(f64),
    /// Nobody to ask.
    #[error("targets: is empty, must name at least one")]
    NoTargets,
    /// Nothing to ask.
    #[error("requests.payloads: is empty, must hold at least one")]
    NoPayloads,
    /// Not a path.
    #[error("requests.path: `{0}` is no path such as /v2/models/digits/infer")]
    Path(String),
    /// No connection to ask through.
    #[error("connections: is 0, must be at least 1")]
    NoConnections,
    /// Not allowed in a header.
    #[error("users.prefix: {0:?} cannot stand in a header")]
    UserPrefix(String),
    /// Would spin.
    #[error("outcomes.every: is zero, must be positive, such as 200 ms")]
    OutcomesEvery,
}
