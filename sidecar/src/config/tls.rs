//! `[tls]`: files of certificates and keys.

use super::Sidecar;
use crate::tls::{Accept, Dial, Identity, Tls, TlsError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// What the control plane's certificate has to be for, instead of the host's name in its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_name: Option<String>,
    /// `[tls.upstream]`: to endpoints.
    pub upstream: UpstreamTls,
    /// `[tls.control_plane]`: to the control plane.
    pub control_plane: UpstreamTls,
}

/// How `https` servers are verified, and what they are shown: `[tls.upstream]` for endpoints, `[model.tls]` for those of
/// one model, `[tls.control_plane]`. Verification cannot be turned off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// CAs that sign the servers' certificates, instead of those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Certificate chain that servers are shown which ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl UpstreamTls {
    fn load(&self, table: &str, name: Option<&String>) -> Result<Arc<Dial>, TlsError> {
        let own = identity(self.cert.as_ref(), self.key.as_ref());
        let dial = Dial::load(table, self.ca.clone(), own)?;
        Ok(Arc::new(dial.expecting(name.cloned())))
    }
}

impl Sidecar {
    /// Reads the files of certificates and keys.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load_tls(&self) -> Result<Tls, TlsError> {
        let tls = &self.tls;
        let accept = identity(tls.cert.as_ref(), tls.key.as_ref())
            .map(|own| Accept::load(own, tls.client_ca.clone(), tls.plaintext))
            .transpose()?;
        let mut models = BTreeMap::new();
        for (position, model) in self.models.iter().enumerate() {
            if let Some(own) = &model.tls {
                let table = format!("model[{position}].tls");
                models.insert(model.name.clone(), own.load(&table, None)?);
            }
        }
        Ok(Tls {
            accept,
            dial: tls.upstream.load("tls.upstream", None)?,
            models,
            control_plane: tls
                .control_plane
                .load("tls.control_plane", tls.control_plane_name.as_ref())?,
        })
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
    dialled("tls.upstream", &tls.upstream, found);
    dialled("tls.control_plane", &tls.control_plane, found);
    for (position, model) in config.models.iter().enumerate() {
        if let Some(own) = &model.tls {
            dialled(&format!("model[{position}].tls"), own, found);
        }
    }
    let speaks_tls = |url: &String| url.starts_with("https:");
    let about = tls.control_plane != UpstreamTls::default() || tls.control_plane_name.is_some();
    if about && !config.control_plane.iter().any(speaks_tls) {
        found.push("tls.control_plane: no address in control_plane begins with https://".into());
    }
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

fn dialled(at: &str, tls: &UpstreamTls, found: &mut Vec<String>) {
    pair(at, tls.cert.is_some(), tls.key.is_some(), found);
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
