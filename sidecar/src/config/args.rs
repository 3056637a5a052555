//! The flags of a sidecar.

use super::durations;
use crate::listen::Listen;
use clap::Args as ClapArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::{Table, Value};

/// Flags of `serinus-sidecar` and `serinus sidecar`; each wins over the variable and over the file.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Args {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "SERINUS_SIDECAR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where applications send inference calls, also unix:/path/to.sock; may be given several times [default: 127.0.0.1:7410]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<Listen>,
    /// Outcomes, metrics, probes and status [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// Base address of the control plane; several are tried in turn
    #[arg(long, value_name = "URL")]
    pub control_plane: Vec<String>,
    /// File with the token that the control plane asks for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Stable name of this sidecar [default: host name and port]
    #[arg(long)]
    pub name: Option<String>,
    /// Directory for the last assignments, the latches and the outcome spool
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// A label by which rollouts may select this sidecar, such as region=eu; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Threads of the data path [default: 1]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// How long a stop waits for open requests [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub drain: Option<String>,
    /// A model and the endpoints of its stable variant, instead of the file's models; may be given several times
    #[arg(long = "model", value_name = "NAME=URL[,URL]")]
    pub models: Vec<String>,
    /// Log lines: auto, json or pretty
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<String>,
    /// Which log lines, e.g. info or serinus_sidecar=debug,info
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// Check the configuration, print what is wrong with it, and exit
    #[arg(long)]
    pub check_config: bool,
    /// Print the configuration in force, with every default, and exit
    #[arg(long)]
    pub print_config: bool,
}

fn duration_text(text: &str) -> Result<String, String> {
    durations::parse(text)
        .map(|_| text.to_owned())
        .ok_or_else(|| "write a number and a unit, such as 10s".to_owned())
}

impl Args {
    /// The flags as the topmost layer of the configuration.
    pub(super) fn table(&self) -> Result<Table, String> {
        let mut table = Table::new();
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), Value::String(value));
            }
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.to_string_lossy().into_owned());
        set("admin", self.admin.map(|address| address.to_string()));
        set("token_file", path(&self.token_file));
        set("name", self.name.clone());
        set("state_dir", path(&self.state_dir));
        set("drain", self.drain.clone());
        set("log", self.log.clone());
        set("log_filter", self.log_filter.clone());
        if let Some(workers) = self.workers {
            table.insert("workers".into(), Value::Integer(workers.into()));
        }
        if !self.listen.is_empty() {
            let listen: Vec<String> = self.listen.iter().map(Listen::to_string).collect();
            table.insert("listen".into(), texts(&listen));
        }
        if !self.control_plane.is_empty() {
            table.insert("control_plane".into(), texts(&self.control_plane));
        }
        if !self.labels.is_empty() {
            let labels: Result<Table, String> =
                self.labels.iter().map(|text| label(text)).collect();
            table.insert("labels".into(), Value::Table(labels?));
        }
        if !self.models.is_empty() {
            let models: Result<Vec<Value>, String> =
                self.models.iter().map(|text| model(text)).collect();
            table.insert("model".into(), Value::Array(models?));
        }
        Ok(table)
    }
}

fn texts<S: AsRef<str>>(items: &[S]) -> Value {
    let items = items.iter().map(|item| item.as_ref().to_owned());
    Value::Array(items.map(Value::String).collect())
}

fn label(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("--label {text}: write NAME=VALUE, such as region=eu"))?;
    Ok((name.to_owned(), Value::String(value.to_owned())))
}

fn model(text: &str) -> Result<Value, String> {
    let (name, urls) = text.split_once('=').ok_or_else(|| {
        format!("--model {text}: write NAME=URL, such as recommender=http://127.0.0.1:9001")
    })?;
    let mut table = Table::new();
    table.insert("name".into(), Value::String(name.to_owned()));
    let urls: Vec<&str> = urls.split(',').collect();
    table.insert("stable".into(), texts(&urls));
    Ok(Value::Table(table))
}
