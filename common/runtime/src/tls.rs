//! TLS of connections to and from Serinus' own programs: certificates in files, and who is trusted.

mod dial;
mod files;
mod serve;

pub use dial::{Dial, Offer};
pub use files::Fields;
pub use serve::{Clients, server_config};

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// How HTTP/2 is named in a handshake (RFC 7301).
pub const ALPN_H2: &[u8] = b"h2";
/// How HTTP/1.1 is named in a handshake.
pub const ALPN_H1: &[u8] = b"http/1.1";

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
