//! Takes connections, shakes hands, and hands out those that may go on.

use super::count::{Count, Place};
use super::tls::Tls;
use super::{Certificate, Peer, Stream, spiffe};
use crate::metrics::CONNECTIONS_REFUSED;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the beginning of the first request may take.
const BEGINNING: Duration = Duration::from_secs(10);
/// After an error of the system, such as too few file descriptors: others may end connections meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait for their port to serve them.
const WAITING: usize = 64;

/// Connections, ready to be served.
pub type Incoming = mpsc::Receiver<Stream>;

/// How many connections there may be; the ports that got the same one, or a clone, share it.
#[derive(Clone, Debug)]
pub struct Limits {
    most: usize,
    most_of_one: usize,
    count: Count,
}

impl Limits {
    /// `most` in all, `most_of_one` from one address.
    #[must_use]
    pub fn new(most: usize, most_of_one: usize) -> Self {
        let count = Count::default();
        Self {
            most,
            most_of_one,
            count,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(10_000, 4096)
    }
}

/// Accepts until the answer is dropped. The first `beginning` bytes of each connection have to come soon.
#[must_use]
pub fn open(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    beginning: usize,
) -> Incoming {
    let (ready, incoming) = mpsc::channel(WAITING);
    let door = Door {
        tls,
        limits,
        beginning,
        ready,
    };
    tokio::spawn(door.run(listener));
    incoming
}

struct Door {
    tls: Option<Arc<Tls>>,
    limits: Limits,
    beginning: usize,
    ready: mpsc::Sender<Stream>,
}

impl Door {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ready.closed() => return,
            };
            match accepted {
                Ok((stream, address)) => self.admit(stream, address),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Nobody waits for anybody else's handshake.
    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let Limits {
            most,
            most_of_one,
            count,
        } = &self.limits;
        let place = match count.take(address.ip(), *most, *most_of_one) {
            Ok(place) => place,
            Err(why) => return refused(why),
        };
        // Without it small messages are late, nothing else.
        let _ = stream.set_nodelay(true);
        let (tls, ready, beginning) = (self.tls.clone(), self.ready.clone(), self.beginning);
        tokio::spawn(async move {
            let stream = match tls {
                Some(tls) => shake(&tls, stream, address, place, beginning).await,
                None => {
                    let peer = Peer {
                        address,
                        certificate: Certificate::None,
                    };
                    Some(Stream::plain(stream, peer, place, beginning, BEGINNING))
                }
            };
            if let Some(stream) = stream {
                // An error means that the port is closing.
                let _ = ready.send(stream).await;
            }
        });
    }
}

async fn shake(
    tls: &Tls,
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    beginning: usize,
) -> Option<Stream> {
    let shaken = timeout(HANDSHAKE, TlsAcceptor::from(tls.config()).accept(stream)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "no handshake");
            refused("handshake");
            return None;
        }
        Err(_) => {
            refused("slow_handshake");
            return None;
        }
    };
    let certificate = spiffe::read(stream.get_ref().1.peer_certificates());
    let peer = Peer {
        address,
        certificate,
    };
    Some(Stream::tls(stream, peer, place, beginning, BEGINNING))
}

fn refused(why: &'static str) {
    metrics::counter!(CONNECTIONS_REFUSED, "why" => why).increment(1);
}

/// The connection that was to be accepted has ended already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
