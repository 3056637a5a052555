//! The certificate that callers are shown, and whose certificates are taken; read anew when the files change.

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use serinus_runtime::tls::{ALPN_H1, ALPN_H2, Clients, Fields, Identity, TlsError, server_config};
use std::path::PathBuf;
use std::sync::Arc;

/// Which port a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Only HTTP/2.
    Grpc,
    /// Only HTTP/1.1.
    Http,
}

impl Port {
    fn protocol(self) -> &'static [u8] {
        match self {
            Self::Grpc => ALPN_H2,
            Self::Http => ALPN_H1,
        }
    }
}

/// TLS of one port.
#[derive(Debug)]
pub struct Tls {
    port: Port,
    identity: Identity,
    clients: Clients,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(port: Port, identity: Identity, clients: Clients) -> Result<Self, TlsError> {
        let config = ArcSwap::from(build(port, &identity, &clients)?);
        Ok(Self {
            port,
            identity,
            clients,
            config,
        })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// See [`TlsError`]; what was read before stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = build(self.port, &self.identity, &self.clients)?;
        self.config.store(config);
        Ok(())
    }

    /// What it reads.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let ca = match &self.clients {
            Clients::Anybody => None,
            Clients::Asked(ca) | Clients::Required(ca) => Some(ca.clone()),
        };
        let own = [self.identity.cert.clone(), self.identity.key.clone()];
        own.into_iter().chain(ca).collect()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }
}

fn build(
    port: Port,
    identity: &Identity,
    clients: &Clients,
) -> Result<Arc<ServerConfig>, TlsError> {
    let fields = Fields {
        cert: "tls.cert".to_owned(),
        key: "tls.key".to_owned(),
        ca: "tls.client_ca".to_owned(),
    };
    let mut config = server_config(&fields, identity, clients, &[port.protocol()])?;
    // A session that goes on would not be looked at again, however long ago its certificate has expired.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.ticketer = Arc::new(NoTickets);
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
