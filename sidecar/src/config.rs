//! What a sidecar is told by its own file, the environment and its flags: the floor when nothing else is known.
//!
//! The layers are a TOML file, then `SERINUS_SIDECAR_...` variables, then flags; a key that nobody knows is an error.

mod args;
mod check;
mod durations;
mod load;
mod spec;
mod targeting;
mod tls;

pub use args::Args;
pub use check::Mistakes;
pub use load::{LoadError, load};
pub use targeting::{Rule, Value};
pub use tls::{TlsFiles, UpstreamTls};

use crate::listen::Listen;
use crate::rewrite;
use serde::{Deserialize, Serialize};
use serinus_runtime::telemetry::Format;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything a sidecar is told. Fields are the keys of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sidecar {
    /// Stable name of this sidecar in the fleet. Default: the host's name and the port of `listen`.
    pub name: String,
    /// Where applications send inference calls: an address, `unix:/path/to.sock`, or a list. Default `127.0.0.1:7410`;
    /// port 0 takes a free one.
    #[serde(deserialize_with = "load::one_or_many_of")]
    pub listen: Vec<Listen>,
    /// Permissions of Unix domain sockets, octal. Default `0600`: the same user only.
    pub socket_mode: String,
    /// Whether other processes of the same user may listen on the same ports. Default `false`.
    pub reuse_port: bool,
    /// Outcomes, metrics, probes and status. Default `127.0.0.1:7411`.
    pub admin: SocketAddr,
    /// Host names by which `admin` may be called, besides addresses, `localhost` and the host's own name; others are
    /// refused, so that no web page can reach it by a name of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admin_hosts: Vec<String>,
    /// Base addresses of the control plane's replicas, one text or a list; empty: static, without a control plane.
    #[serde(
        deserialize_with = "load::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub control_plane: Vec<String>,
    /// A file whose content is sent to the control plane as `authorization: Bearer ...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Where the last assignments, the latches and the outcome spool are kept. Required with a control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Unix domain socket over which the next process of this sidecar takes over from this one; `off` for none.
    /// Default `handover.sock` in `state_dir`, none without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<String>,
    /// Labels by which rollouts may select this sidecar, e.g. `region = "eu"`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A file that stops canaries here for as long as it is there: every one's if it is empty, else those of the models
    /// that it names, a line each. Default `kill` in `state_dir`, none without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_file: Option<PathBuf>,
    /// Threads of the data path, each with its own runtime. Default 1.
    pub workers: usize,
    /// How long a stop waits for open requests, the last report and the outcomes. Default `10s`.
    #[serde(with = "durations")]
    pub drain: Duration,
    /// How log lines look: `auto` (JSON unless on a terminal), `json` or `pretty`.
    #[serde(serialize_with = "load::format_name")]
    pub log: Format,
    /// Which log lines there are, e.g. `info` or `serinus_sidecar=debug,info`; `SERINUS_LOG` wins over it.
    pub log_filter: String,
    /// Certificates, to applications and to endpoints.
    pub tls: TlsFiles,
    /// Bounds of the data path.
    pub limits: Limits,
    /// Bounds of the outcome spool.
    pub outcomes: OutcomeLimits,
    /// The models that it serves; at least one.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

impl Default for Sidecar {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            name: String::new(),
            listen: vec![Listen::Tcp(loopback(7410))],
            socket_mode: "0600".to_owned(),
            reuse_port: false,
            admin: loopback(7411),
            admin_hosts: Vec::new(),
            control_plane: Vec::new(),
            token_file: None,
            state_dir: None,
            handover: None,
            labels: BTreeMap::new(),
            kill_file: None,
            workers: 1,
            drain: Duration::from_secs(10),
            log: Format::Auto,
            log_filter: "info".to_owned(),
            tls: TlsFiles::default(),
            limits: Limits::default(),
            outcomes: OutcomeLimits::default(),
            models: Vec::new(),
        }
    }
}

/// `[limits]`: bounds of the data path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest head of a request or an answer, bytes. Default 64 KiB.
    pub head_bytes: usize,
    /// Longest body of a request, bytes. Default 64 MiB.
    pub body_bytes: u64,
    /// Longest request body that is kept so that stable can answer it after the canary failed, bytes. Default 1 MiB.
    pub replay_bytes: usize,
    /// How far a request's body is looked into for a key (`json:/...`) or the model's name, bytes; what stands behind is
    /// not found. Default 256 KiB.
    pub inspect_bytes: usize,
    /// Open connections of applications. Default 10,000.
    pub connections: usize,
    /// Calls that one variant of one model may have open. Above it stable answers for a canary, which is charged as
    /// overloaded; for stable the answer is a fast 503. Default 1024.
    pub in_flight_per_variant: usize,
    /// How long a request's head may take, and the beginning of its body where that is looked into. Default `10s`.
    #[serde(with = "durations")]
    pub header_timeout: Duration,
    /// How long a connection, to either side, stays open without a call. Default `60s`.
    #[serde(with = "durations")]
    pub idle_timeout: Duration,
    /// How long a connection to an endpoint may take. Default `1s`.
    #[serde(with = "durations")]
    pub connect_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            body_bytes: 64 << 20,
            replay_bytes: 1 << 20,
            inspect_bytes: 256 << 10,
            connections: 10_000,
            in_flight_per_variant: 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(1),
        }
    }
}

/// `[outcomes]`: bounds of the spool that keeps outcomes until the control plane has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutcomeLimits {
    /// Bytes on disk; above it outcomes are answered with 503. Default 256 MiB.
    pub spool_bytes: u64,
    /// Longest body of one `POST /v1/outcomes`, bytes. Default 8 MiB.
    pub request_bytes: usize,
}

impl Default for OutcomeLimits {
    fn default() -> Self {
        Self {
            spool_bytes: 256 << 20,
            request_bytes: 8 << 20,
        }
    }
}

/// `[[model]]`: one model that this sidecar serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What applications call it.
    pub name: String,
    /// How its requests are recognised: `oip`, `path:/prefix`, `host:name` or `any`. Absent: by the model's name, wherever
    /// the protocols have it (path, gRPC message, OpenAI body), and every request where it is the only model.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// Base addresses of the variant that serves when nothing else is known, e.g. `http://127.0.0.1:9001`.
    pub stable: Vec<String>,
    /// Name of that variant where no assignment names it. Default `stable`.
    #[serde(default = "Model::default_stable_name")]
    pub stable_name: String,
    /// Variant name to base addresses; they win over those of the plan, since hosts differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, Vec<String>>,
    /// Variant name to what its calls are changed to on the way to its endpoints; wins over the plan's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rewrite: BTreeMap<String, rewrite::Spec>,
    /// What its servers' answers to gRPC `ModelStreamInfer` are: `wrapped` for Triton, whose streams fail within a
    /// message; `plain` for all others. Default `plain`.
    #[serde(default)]
    pub stream: rewrite::StreamForm,
    /// Variant name to the same, where it differs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<String, rewrite::StreamForm>,
    /// Variant name to its fraction of the requests: a fixed split, only without a control plane.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub split: BTreeMap<String, f64>,
    /// Where the key of the fixed split is: `header:NAME`, `cookie:NAME`, `query:NAME`, `metadata:NAME`, `json:/POINTER`,
    /// `path:N` or `none`.
    #[serde(default = "Model::default_key")]
    pub key: String,
    /// Salt of the fixed split. Default: the model's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub salt: String,
    /// Of the fixed split, with `cookie:NAME`: a request without the cookie is given one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
    /// Of the fixed split: requests that go to a variant whatever their key, as in a plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targeting: Vec<Rule>,
    /// What is asked with GET whether the model is ready; 2xx is yes. Absent: what its protocol has for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_path: Option<String>,
    /// Certificates to its `https` endpoints, instead of `[tls.upstream]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
}

impl Model {
    fn default_stable_name() -> String {
        "stable".to_owned()
    }

    fn default_key() -> String {
        "header:x-user-id".to_owned()
    }
}

#[cfg(test)]
mod tests;
