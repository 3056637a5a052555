//! One connection to the control plane, shared by everything that speaks with it.

use crate::net;
use crate::table::{Address, Scheme};
use crate::tls::{Dial, Offer};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// A channel that carries the token.
pub type Link = InterceptedService<Channel, Bearer>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Puts `authorization: Bearer ...` on every request.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The token file cannot be read.
    #[error("read the token file {path}: {source}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What it holds cannot be sent.
    #[error("the token file {0} holds characters that no header may have")]
    BadToken(PathBuf),
    /// The control plane's address, or no answer there.
    #[error("connect to {url}: {why}")]
    Connect {
        /// Where.
        url: String,
        /// Why not, down to what the system said.
        why: String,
    },
}

/// Connects. The token is read each time, so that a new one needs no restart.
pub(super) async fn connect(
    url: &str,
    token_file: Option<&Path>,
    tls: &Arc<Dial>,
) -> Result<Link, LinkError> {
    let bearer = bearer(token_file)?;
    let failed = |error: &dyn std::error::Error| LinkError::Connect {
        url: url.to_owned(),
        why: chain(error),
    };
    let address = Address::parse(url).map_err(|error| failed(&error))?;
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| failed(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    let channel = match address.scheme() {
        Scheme::Https => {
            let tls = Arc::clone(tls);
            let connector = Connector { address, tls };
            endpoint.connect_with_connector(connector).await
        }
        _ => endpoint.connect().await,
    };
    let channel = channel.map_err(|error| failed(&error))?;
    Ok(InterceptedService::new(channel, bearer))
}

/// Makes the encrypted connections of a channel; all go to one address.
#[derive(Debug)]
struct Connector {
    address: Address,
    tls: Arc<Dial>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<net::Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (address, tls) = (self.address.clone(), Arc::clone(&self.tls));
        Box::pin(async move {
            let (stream, _) = net::connect(&address, &tls, Offer::Http2).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// An error and its causes; tonic's own words are only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    format!("{error}{}", causes(error))
}

/// What is behind an error.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn bearer(file: Option<&Path>) -> Result<Bearer, LinkError> {
    let Some(path) = file else {
        return Ok(Bearer(None));
    };
    let text = std::fs::read_to_string(path).map_err(|source| LinkError::Token {
        path: path.to_owned(),
        source,
    })?;
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", text.trim())
        .parse()
        .map_err(|_| LinkError::BadToken(path.to_owned()))?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_connection_says_why() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = connect(&url, None, &Arc::new(Dial::system())).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&url) && error.contains("refused"), "{error}");
    }

    #[test]
    fn the_token_is_trimmed_and_sent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        let mut bearer = bearer(Some(&path)).unwrap();
        let request = bearer.call(Request::new(())).unwrap();
        assert_eq!(
            request.metadata().get("authorization").unwrap(),
            "Bearer s3cret"
        );
        assert!(!format!("{bearer:?}").contains("s3cret"));
        std::fs::write(&path, "a\nb").unwrap();
        assert!(matches!(
            super::bearer(Some(&path)),
            Err(LinkError::BadToken(_))
        ));
        let missing = super::bearer(Some(Path::new("/does/not/exist")));
        assert!(missing.unwrap_err().to_string().contains("/does/not/exist"));
    }
}
