//! TLS from applications.

use super::{Identity, TlsError};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use serinus_runtime::tls::{ALPN_H1, ALPN_H2, Clients, Fields, server_config};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

fn fields() -> Fields {
    Fields {
        cert: "tls.cert".to_owned(),
        key: "tls.key".to_owned(),
        ca: "tls.client_ca".to_owned(),
    }
}

/// The first byte of a TLS connection: a record of the handshake. No HTTP request begins with it.
const HANDSHAKE: u8 = 0x16;

/// Accepts TLS with one certificate, and asks for one in return where a CA for clients is named.
#[derive(Debug)]
pub struct Accept {
    identity: Identity,
    client_ca: Option<PathBuf>,
    plaintext: bool,
    config: ArcSwap<ServerConfig>,
}

impl Accept {
    /// Reads the files. With `client_ca` every application must show a certificate of it; `plaintext`: connections
    /// without TLS are served on the same port too.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(
        identity: Identity,
        client_ca: Option<PathBuf>,
        plaintext: bool,
    ) -> Result<Self, TlsError> {
        let config = ArcSwap::from(build(&identity, client_ca.as_ref())?);
        Ok(Self {
            identity,
            client_ca,
            plaintext,
            config,
        })
    }

    /// For connections from now on.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        self.config
            .store(build(&self.identity, self.client_ca.as_ref())?);
        Ok(())
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let own = [self.identity.cert.clone(), self.identity.key.clone()];
        own.into_iter().chain(self.client_ca.clone()).collect()
    }

    /// Whether a new connection speaks TLS; `false` only where plaintext is taken too.
    pub(crate) async fn is_wanted(&self, stream: &TcpStream) -> io::Result<bool> {
        if !self.plaintext {
            return Ok(true);
        }
        let mut first = [0];
        let n = stream.peek(&mut first).await?;
        Ok(n == 1 && first[0] == HANDSHAKE)
    }

    /// Shakes hands.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full())
            .accept(stream)
            .await
    }
}

fn build(identity: &Identity, client_ca: Option<&PathBuf>) -> Result<Arc<ServerConfig>, TlsError> {
    let clients = client_ca.map_or(Clients::Anybody, |ca| Clients::Required(ca.clone()));
    server_config(&fields(), identity, &clients, &[ALPN_H2, ALPN_H1]).map(Arc::new)
}
