//! Stands before every service of gRPC.

use super::gate::{Access, Caller};
use crate::listen::Peer;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http;
use tonic::server::NamedService;
use tonic::{Request, Status};

/// A service behind [`Access`]; calls that are let in carry their [`Caller`].
#[derive(Clone, Debug)]
pub struct Guard<S> {
    access: Arc<Access>,
    service: S,
}

impl<S> Guard<S> {
    /// Stands before a service.
    pub fn new(access: &Arc<Access>, service: S) -> Self {
        let access = Arc::clone(access);
        Self { access, service }
    }
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().trim_start_matches('/');
        let peer = request.extensions().get::<Peer>();
        match self.access.admit(method, request.headers(), peer) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Box::pin(self.service.call(request))
            }
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}

/// Who made a request.
///
/// # Errors
/// INTERNAL if no [`Guard`] stands before the service.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::internal("nobody has asked who calls"))
}
