//! What the control plane is told by its file, the environment and its flags.
//!
//! The layers are a TOML file, then `SERINUS_CONTROL_PLANE_...` variables, then flags; a key that nobody knows is an
//! error.

mod args;
mod durations;
mod gate;
mod limits;
mod tls;
mod webhook;

pub use args::{Args, Command};
pub use gate::Gate;
pub use limits::ConnectionLimits;
pub use tls::TlsFiles;
pub use webhook::Webhook;

use crate::access::{Access, CallersError, Role};
use crate::listen::Limits;
use crate::listen::tls::{Port, Tls};
use crate::store::sled::RESERVE_BYTES;
use serde::{Deserialize, Serialize, Serializer};
use serinus_runtime::config::{self, ConfigError};
use serinus_runtime::telemetry::Format;
use serinus_runtime::tls::TlsError;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

const PREFIX: &str = "SERINUS_CONTROL_PLANE_";

/// Everything the control plane is told. Fields are the keys of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlPlane {
    /// gRPC, for the CLI and the sidecars. Default `127.0.0.1:7400`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Probes and metrics. Default `127.0.0.1:7401`.
    pub http: SocketAddr,
    /// Where the event log is kept. Required.
    pub data_dir: PathBuf,
    /// Who may call: a line for each, with a hash of its token or the SPIFFE ID of its certificate. Required when one of
    /// the addresses is not loopback. Read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The generation is at least this. Raised by one after the loss of a store, so that sidecars accept the new
    /// history as newer than the lost one.
    pub generation: u64,
    /// Bytes that stay free on the disk of `data_dir`: with fewer, nothing is done but taking canaries back. A quarter of
    /// them is a file that is given up for that. Default 64 MiB.
    pub disk_reserve_bytes: u64,
    /// How long finished rollouts are kept. Default `30d`.
    #[serde(with = "durations")]
    pub retention: Duration,
    /// How long a stop waits for open calls. Default `10s`.
    #[serde(with = "durations")]
    pub drain: Duration,
    /// How log lines look: `auto` (JSON unless on a terminal), `json` or `pretty`.
    #[serde(serialize_with = "format_name")]
    pub log: Format,
    /// Which log lines there are, e.g. `info` or `serinus_control_plane=debug,info`; `SERINUS_LOG` wins over it.
    pub log_filter: String,
    /// Certificates of both ports.
    pub tls: TlsFiles,
    /// How many connections there may be.
    pub limits: ConnectionLimits,
    /// Who is told of events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook: Vec<Webhook>,
    /// Who may be asked before a canary gets more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gate: Vec<Gate>,
}

impl Default for ControlPlane {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            listen: loopback(7400),
            http: loopback(7401),
            data_dir: PathBuf::new(),
            token_file: None,
            generation: 0,
            disk_reserve_bytes: RESERVE_BYTES,
            retention: Duration::from_secs(30 * 24 * 3600),
            drain: Duration::from_secs(10),
            log: Format::Auto,
            log_filter: "info".into(),
            webhook: Vec::new(),
            tls: TlsFiles::default(),
            limits: ConnectionLimits::default(),
            gate: Vec::new(),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The layers cannot be read.
    #[error(transparent)]
    Layer(#[from] ConfigError),
    /// There is nowhere to keep the log.
    #[error(
        "data_dir is required: name a directory for the event log, such as --data-dir /var/lib/serinus"
    )]
    DataDir,
    /// Anybody on the network could release models.
    #[error(
        "{key} = {address} is not a loopback address, so a token file is required: write the line that \
         `serinus-control-plane token NAME {role}` prints into a file, name it with --token-file FILE, and give the \
         printed secret to the caller"
    )]
    Open {
        /// The field.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// A role to begin with.
        role: Role,
    },
    /// Anybody on the network could read the tokens.
    #[error(
        "{key} = {address} is not a loopback address, so TLS is required: name a certificate and its key with --tls-cert \
         FILE and --tls-key FILE; `serinus certs dev --out DIR` makes them for a start. Where a mesh or a proxy encrypts \
         every connection already, say so with tls.plaintext = true"
    )]
    Plain {
        /// The field.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// What is named in `[tls]` does not fit together.
    #[error("{0}")]
    Tls(&'static str),
}

/// Loads the file that the flags name, lays variables and flags over it, and checks every rule.
///
/// # Errors
/// See [`LoadError`].
pub fn load(
    args: &Args,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<ControlPlane, LoadError> {
    let env = env.into_iter().filter(|(name, _)| is_key(name));
    let config: ControlPlane = config::load(args.config.as_deref(), PREFIX, env, args.table())?;
    check(config)
}

/// Whether a variable is meant for us. The variable that names the file is a flag of its own; and Kubernetes sets
/// `..._SERVICE_HOST`, `..._PORT_7400_TCP` and the like for a Service called `serinus-control-plane`.
fn is_key(name: &str) -> bool {
    let Some(key) = name.strip_prefix(PREFIX) else {
        return false;
    };
    key != "CONFIG" && key != "PORT" && !key.starts_with("PORT_") && !key.starts_with("SERVICE_")
}

fn check(config: ControlPlane) -> Result<ControlPlane, LoadError> {
    if config.data_dir.as_os_str().is_empty() {
        return Err(LoadError::DataDir);
    }
    config.tls.check(config.token_file.is_some())?;
    for (key, address) in [("listen", config.listen), ("http", config.http)] {
        if address.ip().is_loopback() {
            continue;
        }
        if config.token_file.is_none() {
            return Err(LoadError::Open {
                key,
                address,
                role: Role::Operator,
            });
        }
        if config.tls.cert.is_none() && !config.tls.plaintext {
            return Err(LoadError::Plain { key, address });
        }
    }
    Ok(config)
}

/// What of the configuration is in other files: certificates, and who may call.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// TLS of the gRPC port.
    pub grpc: Option<Arc<Tls>>,
    /// TLS of the HTTP port.
    pub http: Option<Arc<Tls>>,
    /// Who may call.
    pub access: Arc<Access>,
}

/// Why one of these files cannot be used.
#[derive(Debug, Error)]
pub enum FilesError {
    /// One of a certificate or a key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token file.
    #[error(transparent)]
    Callers(#[from] CallersError),
}

impl ControlPlane {
    /// Reads the files that it names.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn files(&self) -> Result<Files, FilesError> {
        let access = match &self.token_file {
            Some(path) => Access::read(path.clone())?,
            None => Access::open(),
        };
        let tls = |port| self.tls.load(port).map(|tls| tls.map(Arc::new));
        Ok(Files {
            grpc: tls(Port::Grpc)?,
            http: tls(Port::Http)?,
            access: Arc::new(access),
        })
    }

    /// Of the connections to both ports.
    pub(crate) fn connections(&self) -> Limits {
        Limits::new(self.limits.connections, self.limits.connections_per_address)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this signature"
)]
fn format_name<S: Serializer>(format: &Format, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(match format {
        Format::Auto => "auto",
        Format::Json => "json",
        Format::Pretty => "pretty",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(data_dir: Option<&str>, listen: Option<&str>) -> Args {
        Args {
            data_dir: data_dir.map(PathBuf::from),
            listen: listen.map(|listen| listen.parse().unwrap()),
            ..Args::default()
        }
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_directory_is_required_and_the_rest_has_defaults() {
        let error = load(&args(None, None), env(&[])).unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
        let config = load(&args(Some("d"), None), env(&[])).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:7400");
        assert_eq!(config.http.to_string(), "127.0.0.1:7401");
        assert_eq!(config.drain, Duration::from_secs(10));
    }

    #[test]
    fn flags_beat_variables() {
        let vars = env(&[
            ("SERINUS_CONTROL_PLANE_DATA_DIR", "from-env"),
            ("SERINUS_CONTROL_PLANE_LISTEN", "127.0.0.1:1"),
            ("SERINUS_CONTROL_PLANE_DRAIN", "3s"),
        ]);
        let config = load(&args(None, Some("127.0.0.1:2")), vars).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(
            (config.data_dir, config.drain),
            ("from-env".into(), Duration::from_secs(3))
        );
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_of_our_name_is_not_ours() {
        let vars = env(&[
            ("SERINUS_CONTROL_PLANE_PORT", "tcp://10.0.0.1:7400"),
            ("SERINUS_CONTROL_PLANE_PORT_7400_TCP_ADDR", "10.0.0.1"),
            ("SERINUS_CONTROL_PLANE_SERVICE_HOST", "10.0.0.1"),
            ("SERINUS_CONTROL_PLANE_CONFIG", "read by the flag"),
        ]);
        load(&args(Some("d"), None), vars).unwrap();
        let error = load(
            &args(Some("d"), None),
            env(&[("SERINUS_CONTROL_PLANE_LISTN", "x")]),
        );
        assert!(error.unwrap_err().to_string().contains("listn"));
    }

    #[test]
    fn beyond_loopback_only_with_tokens() {
        let error = load(&args(Some("d"), Some("0.0.0.0:7400")), env(&[])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("listen = 0.0.0.0:7400"), "{text}");
        assert!(
            text.contains("serinus-control-plane token NAME operator"),
            "{text}"
        );
        let vars = env(&[("SERINUS_CONTROL_PLANE_HTTP", "[::]:7401")]);
        let error = load(&args(Some("d"), None), vars).unwrap_err();
        assert!(error.to_string().contains("http = [::]:7401"), "{error}");
    }

    #[test]
    fn beyond_loopback_only_encrypted() {
        let with_tokens = Args {
            token_file: Some("t".into()),
            ..args(Some("d"), Some("0.0.0.0:0"))
        };
        let error = load(&with_tokens, env(&[])).unwrap_err().to_string();
        for part in ["listen = 0.0.0.0:0", "--tls-cert", "serinus certs dev"] {
            assert!(error.contains(part), "{error}");
        }
        let with_tls = Args {
            tls_cert: Some("c".into()),
            tls_key: Some("k".into()),
            ..with_tokens.clone()
        };
        let config = load(&with_tls, env(&[])).unwrap();
        assert_eq!(config.tls.cert, Some("c".into()));
        let vars = env(&[("SERINUS_CONTROL_PLANE_TLS__PLAINTEXT", "true")]);
        load(&with_tokens, vars).unwrap();
        for (args, part) in [
            (
                Args {
                    tls_key: None,
                    ..with_tls.clone()
                },
                "tls.key",
            ),
            (
                Args {
                    tls_client_ca: Some("ca".into()),
                    ..with_tokens
                },
                "tls.client_ca",
            ),
            (
                Args {
                    tls_client_ca: Some("ca".into()),
                    token_file: None,
                    listen: None,
                    ..with_tls
                },
                "token_file",
            ),
        ] {
            let error = load(&args, env(&[])).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read() {
        let config = load(&args(Some("d"), None), env(&[])).unwrap();
        let printed = toml::to_string(&config).unwrap();
        let again: ControlPlane = toml::from_str(&printed).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), printed);
    }
}
