//! Certificates and keys as they stand in files.

use super::{Identity, TlsError};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// A chain with its key.
pub(super) type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The fields of a configuration that name files, for messages.
#[derive(Clone, Debug)]
pub struct Fields {
    /// Names the chain.
    pub cert: String,
    /// Names its key.
    pub key: String,
    /// Names whom to trust.
    pub ca: String,
}

impl Fields {
    pub(super) fn pair(&self, identity: &Identity) -> Result<Pair, TlsError> {
        let chain = certificates(&self.cert, &identity.cert)?;
        let key = PrivateKeyDer::from_pem_file(&identity.key);
        let key = key.map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::Empty {
                field: self.key.clone(),
                path: identity.key.clone(),
                what: "private key",
            },
            error => unreadable(&self.key, &identity.key, &error),
        })?;
        Ok((chain, key))
    }

    /// Whom to trust: every certificate of a file.
    pub(super) fn roots(&self, path: &Path) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca, path)? {
            roots.add(certificate).map_err(|error| TlsError::Refused {
                field: self.ca.clone(),
                why: format!("{}: {error}", path.display()),
            })?;
        }
        Ok(roots)
    }
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error: &pem::Error| unreadable(field, path, error);
    let items = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    let items: Result<Vec<_>, _> = items.collect();
    let items = items.map_err(|error| failed(&error))?;
    match items.is_empty() {
        true => Err(TlsError::Empty {
            field: field.to_owned(),
            path: path.to_owned(),
            what: "certificate",
        }),
        false => Ok(items),
    }
}

fn unreadable(field: &str, path: &Path, error: &pem::Error) -> TlsError {
    let why = match error {
        pem::Error::Io(error) => error.to_string(),
        error => format!("no PEM file: {error}"),
    };
    TlsError::File {
        field: field.to_owned(),
        path: path.to_owned(),
        why,
    }
}
