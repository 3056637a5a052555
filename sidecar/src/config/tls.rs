//! `[tls]`: files of certificates and keys.

use super::Sidecar;
use crate::tls::{Accept, Dial, Identity, Tls, TlsError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[tls]`: TLS from applications, on the TCP addresses of `listen`. Every file is PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// Certificate chain that applications are shown, the own one first. Absent: no TLS from applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Applications must show a certificate of one of these CAs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Connections without TLS are served on the same port too, for a change-over. Default `false`.
    pub plaintext: bool,
    /// `[tls.upstream]`: to endpoints.
    pub upstream: UpstreamTls,
}

/// `[tls.upstream]`: how `https` endpoints are verified, and what they are shown. Verification cannot be turned off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// CAs that sign the endpoints' certificates, instead of those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Certificate chain that endpoints are shown which ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(&self) -> Result<Tls, TlsError> {
        let accept = identity(self.cert.as_ref(), self.key.as_ref())
            .map(|own| Accept::load(own, self.client_ca.clone(), self.plaintext))
            .transpose()?;
        let upstream = &self.upstream;
        let own = identity(upstream.cert.as_ref(), upstream.key.as_ref());
        let dial = Dial::load(upstream.ca.clone(), own)?;
        Ok(Tls { accept, dial })
    }
}

fn identity(cert: Option<&PathBuf>, key: Option<&PathBuf>) -> Option<Identity> {
    let (cert, key) = cert.zip(key)?;
    Some(Identity {
        cert: cert.clone(),
        key: key.clone(),
    })
}

pub(super) fn check(config: &Sidecar, found: &mut Vec<String>) {
    let tls = &config.tls;
    pair("tls", tls.cert.is_some(), tls.key.is_some(), found);
    let upstream = &tls.upstream;
    let (cert, key) = (upstream.cert.is_some(), upstream.key.is_some());
    pair("tls.upstream", cert, key, found);
    if tls.cert.is_none() && (tls.client_ca.is_some() || tls.plaintext) {
        found.push(
            "tls.cert: missing; client_ca and plaintext are about connections with TLS".into(),
        );
    }
    let over_tcp = config.listen.iter().any(|listen| listen.tcp().is_some());
    if tls.cert.is_some() && !over_tcp {
        found.push("tls: listen has no TCP address; Unix domain sockets carry no TLS".into());
    }
}

fn pair(at: &str, cert: bool, key: bool, found: &mut Vec<String>) {
    match (cert, key) {
        (true, false) => found.push(format!("{at}.key: missing; {at}.cert needs its key")),
        (false, true) => found.push(format!(
            "{at}.cert: missing; {at}.key belongs to a certificate"
        )),
        _ => {}
    }
}
