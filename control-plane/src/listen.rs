//! Connections to the control plane's ports: accepted within limits, encrypted where that is asked for, each with what
//! is known of its other end. Both ports share it.

mod accept;
mod count;
mod spiffe;
mod stream;
pub mod tls;

#[cfg(test)]
mod tests;

pub use accept::{Incoming, Limits, open};
pub use stream::Stream;

/// What is wrong with a text as a SPIFFE ID.
pub(crate) fn spiffe_fault(id: &str) -> Option<&'static str> {
    spiffe::check(id).err()
}

use std::net::SocketAddr;
use tonic::transport::server::Connected;

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it calls from.
    pub address: SocketAddr,
    /// What it showed when it shook hands.
    pub certificate: Certificate,
}

/// What a caller showed of itself in a TLS handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing, or there was no handshake.
    #[default]
    None,
    /// A certificate of the CA for clients, with this SPIFFE ID.
    Spiffe(String),
    /// A certificate of the CA for clients that says not, or not clearly, who it is: why.
    Unclear(String),
}

impl Connected for Stream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer().clone()
    }
}
