//! `[tls]`: files of certificates and keys.

use super::LoadError;
use crate::listen::tls::{Port, Tls};
use serde::{Deserialize, Serialize};
use serinus_runtime::tls::{Clients, Identity, TlsError};
use std::path::PathBuf;

/// `[tls]`: TLS of both ports. Every file is PEM, and read again when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// Certificate chain that callers are shown, the own one first. Absent: no TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// CAs that sign the certificates of callers. Who shows none needs a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Tokens may cross the network without TLS, since something else encrypts it. Default `false`.
    pub plaintext: bool,
}

impl TlsFiles {
    pub(super) fn check(&self, callers: bool) -> Result<(), LoadError> {
        match (&self.cert, &self.key, &self.client_ca) {
            (Some(_), None, _) => Err(LoadError::Tls("tls.key is missing: tls.cert needs its key")),
            (None, Some(_), _) => Err(LoadError::Tls(
                "tls.cert is missing: tls.key belongs to a certificate",
            )),
            (None, _, Some(_)) => Err(LoadError::Tls(
                "tls.client_ca is about connections with TLS: name tls.cert and tls.key too",
            )),
            (_, _, Some(_)) if !callers => Err(LoadError::Tls(
                "tls.client_ca needs a token_file, whose lines `NAME ROLE spiffe://DOMAIN/PATH` say what each \
                 certificate may do",
            )),
            _ => Ok(()),
        }
    }

    /// TLS of a port, where there is any.
    pub(super) fn load(&self, port: Port) -> Result<Option<Tls>, TlsError> {
        let Some((cert, key)) = self.cert.clone().zip(self.key.clone()) else {
            return Ok(None);
        };
        let clients = match &self.client_ca {
            None => Clients::Anybody,
            Some(ca) => Clients::Asked(ca.clone()),
        };
        Tls::load(port, Identity { cert, key }, clients).map(Some)
    }
}
