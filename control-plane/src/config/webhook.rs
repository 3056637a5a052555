//! Who is told of events.

use super::durations;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// One receiver: a table `[[webhook]]` of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What it is called in logs and metrics, and by which it is known after a restart. Required.
    pub name: String,
    /// Where events are posted to. Required.
    pub url: String,
    /// Which kinds of events, such as `promoted`; none named: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Of which models, a name or the beginning of one with `*` behind it; none named: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// A file with the secret that signs what is posted; where it has several lines, each is one. Without it nothing is
    /// signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Who signs the receiver's certificate. Default: whom the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How long an answer is waited for. Default `10s`.
    #[serde(with = "durations", default = "timeout")]
    pub timeout: Duration,
    /// Events that are this old are not tried again. Default `7d`.
    #[serde(with = "durations", default = "give_up")]
    pub give_up: Duration,
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn give_up() -> Duration {
    Duration::from_secs(7 * 24 * 3600)
}
