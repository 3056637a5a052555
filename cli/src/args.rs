//! The command line: what can be asked, and how.

pub(crate) mod values;

use crate::cmd;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Where a control plane listens unless told otherwise.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:7400";

const EXAMPLES: &str = "\
Examples:
  serinus deploy recommender --stable v1=http://127.0.0.1:9001 --canary v2=http://127.0.0.1:9002 --percent 5
  serinus rollout watch recommender
  serinus rollout why recommender
  serinus rollout rollback recommender --reason 'users complain'

Exit codes: 0 done, 1 failed, 2 bad flags or a bad plan; `status` has more, see `serinus status --help`.";

/// Releases machine-learning models gradually and safely.
#[derive(Debug, Parser)]
#[command(name = "serinus", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Address of the control plane
    #[arg(long, global = true, env = "SERINUS_SERVER", value_name = "URL", default_value = DEFAULT_SERVER)]
    pub(crate) server: String,
    /// File with the token for the control plane
    #[arg(long, global = true, env = "SERINUS_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// CAs that sign the control plane's certificate, instead of those that the system trusts
    #[arg(long, global = true, env = "SERINUS_TLS_CA", value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Certificate to show to the control plane
    #[arg(
        long,
        global = true,
        env = "SERINUS_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(
        long,
        global = true,
        env = "SERINUS_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// What the control plane's certificate has to be for, instead of the host in --server
    #[arg(
        long,
        global = true,
        env = "SERINUS_TLS_SERVER_NAME",
        value_name = "NAME"
    )]
    pub(crate) tls_server_name: Option<String>,
    /// How to print
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Print without colours; NO_COLOR does the same
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// How long to wait for an answer [default: 10s]; with --wait, for the end [default: 10m]
    #[arg(long, global = true, value_name = "TIME", value_parser = values::duration)]
    pub(crate) timeout: Option<Duration>,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document; streams print one per line.
    Json,
    /// YAML; streams print documents.
    Yaml,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show one model promoted and one rolled back, in about two minutes
    #[cfg(feature = "demo")]
    Demo(cmd::demo::Args),
    /// Release a new version of a model, starting at a small share
    Deploy(cmd::deploy::Args),
    /// Check plan files
    #[command(subcommand)]
    Plan(cmd::plan::Command),
    /// Models and the versions that serve them
    #[command(subcommand)]
    Model(cmd::model::Command),
    /// Start, watch and steer rollouts
    #[command(subcommand)]
    Rollout(cmd::rollout::Command),
    /// Read or change a running split
    #[command(subcommand)]
    Split(cmd::split::Command),
    /// Compute where a key falls
    Bucket(cmd::bucket::Args),
    /// Print the event log
    Events(cmd::events::Args),
    /// List the sidecars and what they hold
    Sidecars(cmd::sidecars::Args),
    /// Print how a rollout stands, or wait for its end
    Status(cmd::status::Args),
    /// Say what is wrong with a running control plane and its sidecars, and the way out
    Doctor(cmd::doctor::Args),
    /// Print who did what, and check that nobody has changed it since
    Audit(cmd::audit::Args),
    /// Copy the whole store of a running control plane into a file
    Backup(cmd::backup::Args),
    /// Make a store from a backup, in an empty directory
    #[cfg(feature = "demo")]
    Restore(serinus_control_plane::maintenance::Restore),
    /// Check or repair a store while no control plane runs on it
    #[cfg(feature = "demo")]
    #[command(subcommand)]
    Store(serinus_control_plane::maintenance::Store),
    /// Make certificates for a start
    #[command(subcommand)]
    Certs(cmd::certs::Command),
    /// Make tokens
    #[cfg(feature = "demo")]
    #[command(subcommand)]
    Token(cmd::token::Command),
    /// Print a completion script for a shell
    Completions(cmd::completions::Args),
    /// Run a control plane; the same as `serinus-control-plane`
    #[cfg(feature = "demo")]
    #[command(
        after_help = "Examples:\n  serinus control-plane --help\n  serinus control-plane --data-dir /var/lib/serinus"
    )]
    ControlPlane(Passed),
    /// Run a sidecar; the same as `serinus-sidecar`
    #[cfg(feature = "demo")]
    #[command(
        after_help = "Examples:\n  serinus sidecar --help\n  serinus sidecar --config sidecar.toml"
    )]
    Sidecar(Passed),
    /// Serve a demonstration model
    #[cfg(feature = "demo")]
    #[command(
        hide = true,
        after_help = "Example:\n  serinus model-server --model better --listen 127.0.0.1:9001"
    )]
    ModelServer(Passed),
}

/// Arguments that another parser reads: see `daemons.rs`.
#[cfg(feature = "demo")]
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Passed {
    /// Its own flags; --help lists them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "FLAGS"
    )]
    _flags: Vec<std::ffi::OsString>,
}
