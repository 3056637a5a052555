//! The flags of the control plane.

use crate::access::Role;
use crate::maintenance::{Restore, Store};
use clap::{Args as ClapArgs, Subcommand};
use serinus_core::plan::parse_duration;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::{Table, Value};

/// Flags of `serinus-control-plane` and `serinus control-plane`; each wins over the variable and over the file.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Args {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "SERINUS_CONTROL_PLANE_CONFIG")]
    pub config: Option<PathBuf>,
    /// gRPC, for the CLI and the sidecars [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Probes and metrics [default: 127.0.0.1:7401]
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Directory of the event log; required here, in the file or in the environment
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Who may call; required to listen beyond loopback
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificate chain that callers are shown; required to listen beyond loopback
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// CAs that sign the certificates of callers
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// At least this generation: one more than before, after the store was lost
    #[arg(long, value_name = "N")]
    pub generation: Option<u32>,
    /// How long a stop waits for open calls [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub drain: Option<String>,
    /// Log lines: auto, json or pretty
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<String>,
    /// Which log lines, e.g. info or serinus_control_plane=debug,info
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// Check the configuration, print what is wrong with it, and exit
    #[arg(long)]
    pub check_config: bool,
    /// Print the configuration in force, with every default, and exit
    #[arg(long)]
    pub print_config: bool,
    /// Something else than serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make a store from a backup, in an empty directory
    Restore(Restore),
    /// Check or repair a store while no control plane runs on it
    #[command(subcommand)]
    Store(Store),
    /// Post a test message to a webhook of the configuration, and say what came of it
    Webhook {
        /// Its name
        name: String,
    },
    /// Make a token: prints the secret for its bearer and the line for the token file, which has only a hash of it
    Token {
        /// Who will use it; the name is kept in every event that it causes
        name: String,
        /// What it may do
        #[arg(value_enum)]
        role: Role,
        /// Models that a sidecar may speak for, e.g. digits,cats-*; all of them if not given
        #[arg(long, value_name = "NAMES")]
        models: Option<String>,
        /// Names that a sidecar may have, e.g. host-a,host-b or host-*; all of them if not given
        #[arg(long, value_name = "NAMES")]
        sidecars: Option<String>,
    },
}

fn duration_text(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}

impl Args {
    /// The flags as the topmost layer of the configuration.
    pub(super) fn table(&self) -> Table {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.to_string_lossy().into_owned());
        let texts = [
            ("listen", self.listen.map(|address| address.to_string())),
            ("http", self.http.map(|address| address.to_string())),
            ("data_dir", path(&self.data_dir)),
            ("token_file", path(&self.token_file)),
            ("drain", self.drain.clone()),
            ("log", self.log.clone()),
            ("log_filter", self.log_filter.clone()),
        ];
        let texts = texts.into_iter();
        let texts = texts.filter_map(|(key, value)| Some((key.to_owned(), Value::String(value?))));
        let generation = self
            .generation
            .map(|n| ("generation".to_owned(), Value::Integer(n.into())));
        let tls = [
            ("cert", path(&self.tls_cert)),
            ("key", path(&self.tls_key)),
            ("client_ca", path(&self.tls_client_ca)),
        ];
        let tls = tls.into_iter();
        let tls = tls.filter_map(|(key, value)| Some((key.to_owned(), Value::String(value?))));
        let tls: Table = tls.collect();
        let tls = (!tls.is_empty()).then(|| ("tls".to_owned(), Value::Table(tls)));
        texts.chain(generation).chain(tls).collect()
    }
}
