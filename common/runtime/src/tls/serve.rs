//! The server's side of a handshake.

use super::files::Fields;
use super::{Identity, TlsError};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use std::path::PathBuf;
use std::sync::Arc;

/// Whom a server lets shake hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Nobody is asked for a certificate.
    Anybody,
    /// A certificate that is shown has to be signed by one of these CAs; none needs to be shown.
    Asked(PathBuf),
    /// Only who shows a certificate of one of these CAs.
    Required(PathBuf),
}

/// Reads the files. `protocols` are named in the handshake, the best first.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(
    fields: &Fields,
    identity: &Identity,
    clients: &Clients,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let refused = |field: &str, error: &dyn std::fmt::Display| TlsError::Refused {
        field: field.to_owned(),
        why: error.to_string(),
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&fields.cert, &error))?;
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::Asked(path) | Clients::Required(path) => {
            let roots = Arc::new(fields.roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match clients {
                Clients::Asked(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build();
            builder
                .with_client_cert_verifier(verifier.map_err(|error| refused(&fields.ca, &error))?)
        }
    };
    let (chain, key) = fields.pair(identity)?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| refused(&fields.cert, &error))?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.ticketer = ring::Ticketer::new().map_err(|error| refused(&fields.key, &error))?;
    Ok(config)
}
