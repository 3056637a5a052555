//! TLS: to endpoints and the control plane, and from applications. Certificates are read anew when their files change.

mod accept;
mod dial;
mod files;
mod watch;

pub use accept::Accept;
pub use dial::Dial;
pub(crate) use dial::Offer;
pub use watch::watch;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// All directions.
#[derive(Debug)]
pub struct Tls {
    /// From applications; absent where they speak without TLS.
    pub accept: Option<Accept>,
    /// To endpoints.
    pub dial: Arc<Dial>,
    /// To endpoints of models that have settings of their own, by the model's name.
    pub models: BTreeMap<String, Arc<Dial>>,
    /// To the control plane.
    pub control_plane: Arc<Dial>,
}

/// Files of a certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chain, the own certificate first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What is wrong with a file of a certificate or a key; `field` is its key in the configuration.
#[derive(Debug, Error)]
pub enum TlsError {
    /// It cannot be read, or is no PEM file.
    #[error("{field}: read {path}: {why}")]
    File {
        /// The key.
        field: String,
        /// The file.
        path: PathBuf,
        /// What the system or the reader said.
        why: String,
    },
    /// It holds nothing of the kind.
    #[error("{field}: {path} holds no {what} in PEM form")]
    Empty {
        /// The key.
        field: String,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key cannot be used, or not together.
    #[error("{field}: {why}")]
    Refused {
        /// The key.
        field: String,
        /// What the TLS library says.
        why: String,
    },
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// How protocols are named in a handshake (RFC 7301).
const ALPN_H2: &[u8] = b"h2";
const ALPN_H1: &[u8] = b"http/1.1";

impl Tls {
    /// Endpoints are verified by the system's roots; applications speak without TLS.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            accept: None,
            dial: Arc::new(Dial::system()),
            models: BTreeMap::new(),
            control_plane: Arc::new(Dial::system()),
        }
    }

    /// How the endpoints of a model are connected to.
    pub(crate) fn to(&self, model: &str) -> &Arc<Dial> {
        self.models.get(model).unwrap_or(&self.dial)
    }

    fn dials(&self) -> impl Iterator<Item = &Arc<Dial>> {
        [&self.dial, &self.control_plane]
            .into_iter()
            .chain(self.models.values())
    }

    /// Reads every file again; which of them failed.
    fn reload(&self) -> Vec<TlsError> {
        let accept = self.accept.as_ref().map(Accept::reload);
        let dials = self.dials().map(|dial| dial.reload());
        accept
            .into_iter()
            .chain(dials)
            .filter_map(Result::err)
            .collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let accept = self.accept.iter().flat_map(Accept::files);
        accept
            .chain(self.dials().flat_map(|dial| dial.files()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
