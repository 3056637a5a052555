//! Connections with TLS.

use crate::args::Global;
use crate::failure::Failure;
use hyper_util::rt::TokioIo;
use serinus_runtime::tls::{Dial, Identity, Offer};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Makes the encrypted connections of a channel.
#[derive(Clone, Debug)]
pub(super) struct Connector(Arc<Dial>);

impl Connector {
    /// Reads the files that the flags name.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let own = global.tls_cert.clone().zip(global.tls_key.clone());
        let own = own.map(|(cert, key)| Identity { cert, key });
        let dial = Dial::load("-", global.tls_ca.clone(), own);
        let dial = dial.map_err(|error| Failure::bad_input(flag(&error.to_string())))?;
        Ok(Self(Arc::new(
            dial.expecting(global.tls_server_name.clone()),
        )))
    }
}

/// The fields of a table called `-` as flags.
fn flag(message: &str) -> String {
    match message.strip_prefix("-.") {
        Some(rest) => format!("--tls-{rest}"),
        None => message.to_owned(),
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let dial = Arc::clone(&self.0);
        Box::pin(async move {
            let host = server.host().unwrap_or_default();
            // As in an address of its own, without the brackets of a URL.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = server.port_u16().unwrap_or(443);
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let (stream, _) = Box::pin(dial.connect(host, stream, Offer::Http2)).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
