//! Connections to endpoints: one set per worker, never shared between threads.
//!
//! An HTTP/1.1 connection is polled by the request that uses it, so that no request crosses tasks. Idle ones wait in a
//! stack, the warmest on top.

mod h1;
mod h2;
mod joined;

pub(crate) use h1::Upstream;
pub(crate) use joined::poll_write_joined;

use crate::h2 as relay;
use crate::net::{self, Stream};
use crate::proxy::body::Outgoing;
use crate::table::{Address, Scheme};
use crate::tls::{Offer, Tls};
use http::HeaderValue;
use hyper::client::conn::http2;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long an endpoint that refused a connection is passed over while others answer, ms.
const DOWN_MS: u64 = 1000;

/// More idle connections than this are closed.
const MAX_IDLE: usize = 1024;

/// One endpoint, as one worker knows it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: Address,
    /// For requests that name no host.
    host: HeaderValue,
    connect_timeout: Duration,
    tls: Arc<Tls>,
    /// Unknown until the first connection with TLS.
    speaks_h2: Cell<Option<bool>>,
    idle: RefCell<Vec<h1::Idle>>,
    shared: RefCell<Option<http2::SendRequest<Outgoing>>>,
    connecting: tokio::sync::Mutex<()>,
    relays: relay::Pool,
    outstanding: Cell<u32>,
    down_until_ms: Cell<u64>,
}

impl Endpoint {
    pub(crate) fn new(address: Address, connect_timeout: Duration, tls: Arc<Tls>) -> Self {
        let speaks_h2 = match address.scheme() {
            Scheme::Http | Scheme::Unix => Some(false),
            Scheme::H2c => Some(true),
            Scheme::Https => None,
        };
        // An authority that a URL was parsed with is a valid header value.
        let host = HeaderValue::from_str(address.authority());
        Self {
            host: host.unwrap_or_else(|_| HeaderValue::from_static("localhost")),
            address,
            connect_timeout,
            tls,
            speaks_h2: Cell::new(speaks_h2),
            idle: RefCell::default(),
            shared: RefCell::default(),
            connecting: tokio::sync::Mutex::default(),
            relays: relay::Pool::default(),
            outstanding: Cell::new(0),
            down_until_ms: Cell::new(0),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Counts a request as outstanding here until the claim is dropped.
    pub(crate) fn claim(self: &Rc<Self>) -> Claim {
        self.outstanding.set(self.outstanding.get() + 1);
        Claim(Rc::clone(self))
    }

    /// A connection was refused: others go first for a while.
    pub(crate) fn mark_down(&self, now_ms: u64) {
        self.down_until_ms.set(now_ms + DOWN_MS);
    }

    /// The connections over which gRPC calls are relayed.
    pub(crate) fn relays(&self) -> &relay::Pool {
        &self.relays
    }

    /// Whether calls that could go over either go over HTTP/2. With TLS the endpoint is asked, once.
    pub(crate) async fn speaks_h2(&self) -> io::Result<bool> {
        match self.speaks_h2.get() {
            Some(speaks) => Ok(speaks),
            None => Box::pin(self.ask()).await,
        }
    }

    /// The first connection settles it, and is the first of the pool.
    async fn ask(&self) -> io::Result<bool> {
        let _connecting = self.connecting.lock().await;
        if let Some(speaks) = self.speaks_h2.get() {
            return Ok(speaks);
        }
        let (stream, is_h2) = self.open(Offer::Both).await?;
        match is_h2 {
            true => drop(self.share(stream).await?),
            false => self.keep(stream).await?,
        }
        self.speaks_h2.set(Some(is_h2));
        Ok(is_h2)
    }

    /// A connection, and whether it carries HTTP/2.
    pub(crate) async fn open(&self, offer: Offer) -> io::Result<(Stream, bool)> {
        let connect = net::connect(&self.address, &self.tls, offer);
        tokio::time::timeout(self.connect_timeout, connect)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// A request that is outstanding at an endpoint.
#[derive(Debug)]
pub(crate) struct Claim(Rc<Endpoint>);

impl Claim {
    pub(crate) fn endpoint(&self) -> &Rc<Endpoint> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0
            .outstanding
            .set(self.0.outstanding.get().saturating_sub(1));
    }
}

/// The endpoint with the fewest outstanding requests, the first of equals; those that refuse connections only when all
/// do. `except` is left out while there is another.
pub(crate) fn least_outstanding<'a>(
    endpoints: &'a [Rc<Endpoint>],
    now_ms: u64,
    except: Option<&Rc<Endpoint>>,
) -> Option<&'a Rc<Endpoint>> {
    if let [only] = endpoints {
        return Some(only);
    }
    let rank = |endpoint: &Rc<Endpoint>| {
        let excluded = except.is_some_and(|other| Rc::ptr_eq(other, endpoint));
        let down = endpoint.down_until_ms.get() > now_ms;
        (excluded, down, endpoint.outstanding.get())
    };
    endpoints.iter().min_by_key(|endpoint| rank(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Target;

    #[test]
    fn the_least_busy_endpoint_that_answers_is_taken() {
        let endpoints: Vec<_> = (1..=3)
            .map(|port| Address::parse(&format!("http://127.0.0.1:{port}")).unwrap())
            .map(|address| {
                let tls = Arc::new(Tls::plain());
                Rc::new(Endpoint::new(address, Duration::from_secs(1), tls))
            })
            .collect();
        let port = |except: Option<usize>| {
            let except = except.map(|at| &endpoints[at]);
            let found = least_outstanding(&endpoints, 1000, except).unwrap();
            match found.address().target() {
                Target::Tcp(_, port) => port,
                Target::Unix(_) => 0,
            }
        };
        assert_eq!(port(None), 1);
        let first = endpoints[0].claim();
        assert_eq!(port(None), 2);
        assert_eq!(port(Some(1)), 3);
        endpoints[1].mark_down(500);
        assert_eq!(port(None), 3);
        let third = [endpoints[2].claim(), endpoints[2].claim()];
        assert_eq!(port(None), 1);
        drop((first, third));
        assert_eq!(port(None), 1);
        endpoints
            .iter()
            .for_each(|endpoint| endpoint.mark_down(900));
        assert_eq!(port(None), 1);
    }
}
