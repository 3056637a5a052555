//! Who may be asked before a canary gets more.

use super::durations;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// One gate: a table `[[gate]]` of the file. Plans can name no others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// By which plans name it. Required.
    pub name: String,
    /// Where it is asked. Required.
    pub url: String,
    /// A file with the secret that signs the questions; where it has several lines, each is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Who signs its certificate. Default: whom the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How long one answer is waited for before it is asked again. Default `10s`.
    #[serde(with = "durations", default = "timeout")]
    pub timeout: Duration,
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}
