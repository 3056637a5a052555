//! Where applications reach the sidecar: TCP addresses and Unix domain sockets.

mod accept;
mod bind;
mod socket;

pub(crate) use accept::{Arrived, Listeners};
pub(crate) use bind::spread;
pub use bind::{BindError, Plan, bind};
pub use socket::Socket;

use crate::table::SOCKET_PATH;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// An address to listen on: `127.0.0.1:7410`, or `unix:/run/serinus/sidecar.sock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// TCP; port 0 takes a free one.
    Tcp(SocketAddr),
    /// The absolute path of a Unix domain socket.
    Unix(PathBuf),
}

/// The text is no address to listen on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is no address to listen on; write an IP address and a port such as \"127.0.0.1:7410\", or \
     \"unix:/run/serinus/sidecar.sock\" (absolute, at most 107 bytes)"
)]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let wrong = || ListenError(text.to_owned());
        let Some(path) = text.strip_prefix("unix:") else {
            return text.parse().map(Self::Tcp).map_err(|_| wrong());
        };
        let absolute = path.len() > 1 && path.starts_with('/') && !path.ends_with('/');
        match absolute && path.len() <= SOCKET_PATH && !path.contains('\0') {
            true => Ok(Self::Unix(path.into())),
            false => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listen {
    /// The TCP address.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether a socket that is bound to `bound` is what this asks for: port 0 is any port.
    fn is_met_by(&self, bound: &Self) -> bool {
        match (self, bound) {
            (Self::Tcp(wanted), Self::Tcp(bound)) if wanted.port() == 0 => {
                wanted.ip() == bound.ip()
            }
            _ => self == bound,
        }
    }
}

/// Addresses as one text, separated by commas.
#[must_use]
pub fn list(addresses: &[Listen]) -> String {
    let texts: Vec<String> = addresses.iter().map(Listen::to_string).collect();
    texts.join(",")
}

/// Where the sockets listen, each address once.
///
/// # Errors
/// What the system says.
pub fn addresses(sockets: &[Socket]) -> std::io::Result<Vec<Listen>> {
    let mut addresses = Vec::new();
    for socket in sockets {
        let address = socket.address()?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["127.0.0.1:7410", "[::]:1", "unix:/run/serinus/sidecar.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(SOCKET_PATH));
        for text in [
            "",
            "7410",
            "localhost:1",
            "unix:",
            "unix:x",
            "unix:/x/",
            &long,
        ] {
            let error = text.parse::<Listen>().unwrap_err().to_string();
            assert!(error.contains("unix:/run/serinus"), "{error}");
        }
    }

    #[test]
    fn any_port_is_met_by_any() {
        let of = |text: &str| text.parse::<Listen>().unwrap();
        assert!(of("127.0.0.1:0").is_met_by(&of("127.0.0.1:5")));
        assert!(!of("127.0.0.2:0").is_met_by(&of("127.0.0.1:5")));
        assert!(!of("127.0.0.1:6").is_met_by(&of("127.0.0.1:5")));
        assert!(of("unix:/a").is_met_by(&of("unix:/a")));
        assert!(!of("unix:/a").is_met_by(&of("unix:/b")));
    }
}
