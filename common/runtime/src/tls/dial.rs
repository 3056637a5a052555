//! TLS to endpoints and to the control plane. Who they are is always verified, by the host's name in the address.

use super::files::Fields;
use super::{ALPN_H1, ALPN_H2, Identity, TlsError};
use arc_swap::ArcSwapOption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Which HTTP versions a connection may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// The server chooses; HTTP/2 is named first.
    Both,
}

/// Connects with TLS: whom it trusts, and what it shows.
#[derive(Debug)]
pub struct Dial {
    fields: Fields,
    ca: Option<PathBuf>,
    identity: Option<Identity>,
    /// Whom the server must prove to be, instead of the host's name in the address.
    server_name: Option<String>,
    /// Made when it is first needed: most sidecars speak plain HTTP to the model beside them, and the system's roots
    /// take memory.
    configs: ArcSwapOption<Configs>,
}

#[derive(Debug)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
}

impl Dial {
    /// Reads the files. Without `ca` the system's roots are trusted; `identity` is shown to servers that ask for it.
    /// `table`: where the configuration has them, for messages.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(
        table: &str,
        ca: Option<PathBuf>,
        identity: Option<Identity>,
    ) -> Result<Self, TlsError> {
        let dial = Self {
            fields: fields(table),
            ca,
            identity,
            server_name: None,
            configs: ArcSwapOption::empty(),
        };
        // Mistakes in own files show at the start; the system's roots are not needed before an endpoint is.
        if !dial.files().is_empty() {
            dial.build()?;
        }
        Ok(dial)
    }

    /// The system's roots, without a certificate of its own.
    #[must_use]
    pub fn system() -> Self {
        Self {
            fields: fields("tls.upstream"),
            ca: None,
            identity: None,
            server_name: None,
            configs: ArcSwapOption::empty(),
        }
    }

    /// Servers have to prove that they are `name`, whatever host they are connected to at.
    #[must_use]
    pub fn expecting(self, name: Option<String>) -> Self {
        Self {
            server_name: name,
            ..self
        }
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// See [`TlsError`]; what was read before stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        if self.configs.load().is_some() {
            self.build()?;
        }
        Ok(())
    }

    /// What it reads.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let identity = self.identity.iter();
        let identity = identity.flat_map(|own| [own.cert.clone(), own.key.clone()]);
        self.ca.iter().cloned().chain(identity).collect()
    }

    /// Shakes hands with `host`; whether HTTP/2 was agreed on.
    ///
    /// # Errors
    /// If the server is not who it should be, does not trust us, or speaks nothing of what is offered.
    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
        offer: Offer,
    ) -> io::Result<(TlsStream<TcpStream>, bool)> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let config = self.config(offer)?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
        if offer == Offer::Http2 && !agreed {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        Ok((stream, agreed))
    }

    fn config(&self, offer: Offer) -> Result<Arc<ClientConfig>, TlsError> {
        let configs = match self.configs.load_full() {
            Some(configs) => configs,
            None => self.build()?,
        };
        let config = match offer {
            Offer::Http1 => &configs.http1,
            Offer::Http2 => &configs.http2,
            Offer::Both => &configs.both,
        };
        Ok(Arc::clone(config))
    }

    fn build(&self) -> Result<Arc<Configs>, TlsError> {
        let fields = &self.fields;
        let refused = |field: &str, error: &dyn std::fmt::Display| TlsError::Refused {
            field: field.to_owned(),
            why: error.to_string(),
        };
        let roots = match &self.ca {
            Some(path) => fields.roots(path)?,
            None => system_roots(&fields.ca)?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&fields.ca, &error))?
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = fields.pair(identity)?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|error| refused(&fields.cert, &error))?
            }
        };
        let offering = |protocols: &[&[u8]]| {
            // Sessions are resumed across them: they share one store.
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        let configs = Arc::new(Configs {
            http1: offering(&[ALPN_H1]),
            http2: offering(&[ALPN_H2]),
            both: offering(&[ALPN_H2, ALPN_H1]),
        });
        self.configs.store(Some(Arc::clone(&configs)));
        Ok(configs)
    }
}

fn fields(table: &str) -> Fields {
    Fields {
        cert: format!("{table}.cert"),
        key: format!("{table}.key"),
        ca: format!("{table}.ca"),
    }
}

fn system_roots(field: &str) -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(TlsError::Refused {
            field: field.to_owned(),
            why: "this system has no trusted roots; name the file of the CA that signed the server's certificate"
                .to_owned(),
        });
    }
    Ok(roots)
}
