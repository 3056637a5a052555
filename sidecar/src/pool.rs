//! Connections to endpoints: one set per worker, never shared between threads.
//!
//! An HTTP/1.1 connection is polled by the request that uses it, so that no request crosses tasks. Idle ones wait in a
//! stack, the warmest on top.

mod ejection;
mod h1;
mod h2;
mod joined;
mod raw;

pub(crate) use h1::Upstream;
pub(crate) use joined::poll_write_joined;

use crate::h2 as relay;
use crate::net::{self, Stream};
use crate::proxy::body::Outgoing;
use crate::shared::EndpointHealth;
use crate::table::{Address, Scheme};
use crate::tls::{Dial, Offer};
use ejection::Ejection;
use http::HeaderValue;
use hyper::client::conn::http2;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// More idle connections than this are closed.
const MAX_IDLE: usize = 1024;

/// One endpoint, as one worker knows it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: Address,
    /// For requests that name no host.
    host: HeaderValue,
    connect_timeout: Duration,
    dial: Arc<Dial>,
    /// Unknown until the first connection with TLS.
    speaks_h2: Cell<Option<bool>>,
    idle: RefCell<Vec<h1::Idle>>,
    idle_raw: RefCell<Vec<raw::Idle>>,
    shared: RefCell<Option<http2::SendRequest<Outgoing>>>,
    connecting: tokio::sync::Mutex<()>,
    relays: relay::Pool,
    outstanding: Cell<u32>,
    /// When it was taken last, counted in claims of this thread.
    taken: Cell<u64>,
    health: RefCell<Option<Arc<EndpointHealth>>>,
    ejection: Ejection,
}

thread_local! {
    static CLAIMS: Cell<u64> = const { Cell::new(0) };
}

impl Endpoint {
    pub(crate) fn new(address: Address, connect_timeout: Duration, dial: Arc<Dial>) -> Self {
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
            dial,
            speaks_h2: Cell::new(speaks_h2),
            idle: RefCell::default(),
            idle_raw: RefCell::default(),
            shared: RefCell::default(),
            connecting: tokio::sync::Mutex::default(),
            relays: relay::Pool::default(),
            outstanding: Cell::new(0),
            taken: Cell::new(0),
            health: RefCell::default(),
            ejection: Ejection::default(),
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
        self.taken.set(CLAIMS.get() + 1);
        CLAIMS.set(self.taken.get());
        Claim(Rc::clone(self))
    }

    /// Where the checks write what they find.
    pub(crate) fn watch(&self, health: Option<Arc<EndpointHealth>>) {
        self.health.replace(health);
    }

    /// Whether it is ready, as the checks found; it is where nobody looks.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        let health = self.health.borrow();
        health.as_ref().is_none_or(|health| health.is_ready())
    }

    /// A connection was refused: others go first for a while.
    pub(crate) fn mark_down(&self, now_ms: u64) {
        self.ejection.refused(now_ms);
    }

    /// An answer has begun, or there is none; after several failures in a row others go first for a while.
    #[inline]
    pub(crate) fn answered(&self, failed: bool, now_ms: u64) {
        match failed {
            true => self.ejection.failed(now_ms),
            false => self.ejection.succeeded(),
        }
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
        let connect = net::connect(&self.address, &self.dial, offer);
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

/// The endpoint with the fewest outstanding requests, of equals the one that was taken least recently. Those that are
/// not ready, or fail, only when all are like that: the last resort is better than none. `except` is left out while there
/// is another.
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
        let unready = !endpoint.is_ready();
        let ejected = endpoint.ejection.is_in_force(now_ms);
        (
            excluded,
            unready,
            ejected,
            endpoint.outstanding.get(),
            endpoint.taken.get(),
        )
    };
    endpoints.iter().min_by_key(|endpoint| rank(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Target;

    fn endpoints(n: u16) -> Vec<Rc<Endpoint>> {
        (1..=n)
            .map(|port| Address::parse(&format!("http://127.0.0.1:{port}")).unwrap())
            .map(|address| {
                let dial = Arc::new(Dial::system());
                Rc::new(Endpoint::new(address, Duration::from_secs(1), dial))
            })
            .collect()
    }

    #[test]
    fn the_least_busy_endpoint_that_answers_is_taken() {
        let endpoints = endpoints(3);
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
        assert_eq!(port(None), 2);
    }

    #[test]
    fn equal_endpoints_take_turns() {
        let endpoints = endpoints(3);
        let mut taken = [0; 3];
        for _ in 0..30 {
            let chosen = least_outstanding(&endpoints, 0, None).unwrap();
            let at = endpoints.iter().position(|one| Rc::ptr_eq(one, chosen));
            taken[at.unwrap()] += 1;
            drop(chosen.claim());
        }
        assert_eq!(taken, [10; 3]);
    }

    #[test]
    fn what_is_not_ready_is_the_last_resort() {
        let endpoints = endpoints(2);
        let healths: Vec<_> = (0..2)
            .map(|_| Arc::new(EndpointHealth::new(true)))
            .collect();
        for (endpoint, health) in endpoints.iter().zip(&healths) {
            endpoint.watch(Some(Arc::clone(health)));
        }
        let chosen = || {
            let chosen = least_outstanding(&endpoints, 0, None).unwrap();
            drop(chosen.claim());
            endpoints.iter().position(|one| Rc::ptr_eq(one, chosen))
        };
        healths[0].set(false);
        assert_eq!([chosen(), chosen()], [Some(1), Some(1)]);
        // A refused connection is newer than the last check.
        endpoints[1].mark_down(0);
        assert_eq!([chosen(), chosen()], [Some(1), Some(1)]);
        healths[1].set(false);
        assert_eq!([chosen(), chosen()], [Some(0), Some(0)]);
        healths[0].set(true);
        assert_eq!(chosen(), Some(0));
    }
}
