//! Where a variant answers.

use crate::head::is_host;
use std::path::Path;
use thiserror::Error;

/// What requests without a host of their own name at a Unix socket, as other clients of such sockets do.
const UNIX_AUTHORITY: &str = "localhost";

/// An endpoint, in one of these forms:
///
/// - `http://host[:port][/prefix]`: HTTP/1.1, and HTTP/2 without TLS for gRPC; port 80 unless named;
/// - `https://host[:port][/prefix]`: TLS, the server chooses HTTP/2 or HTTP/1.1; port 443 unless named;
/// - `h2c://host[:port][/prefix]`: HTTP/2 without TLS for every call; port 80 unless named;
/// - `unix:/path/to.sock[:/prefix]`: as `http`, over a Unix domain socket. Its path ends before the first `:/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    scheme: Scheme,
    authority: String,
    /// Host without brackets, or the path of the socket.
    host: String,
    port: u16,
    prefix: String,
}

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// Plain TCP, HTTP/2 from the first byte on.
    H2c,
    /// A Unix domain socket.
    Unix,
}

/// What to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A name or an address without brackets, and a port.
    Tcp(&'a str, u16),
    /// The path of a Unix domain socket.
    Unix(&'a Path),
}

/// The text is no endpoint.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not an absolute URL with a host.
    #[error("{0:?} is no URL; write for example \"http://127.0.0.1:9001\"")]
    NoUrl(String),
    /// A scheme that is not spoken.
    #[error("{0:?}: write http://, https://, h2c:// (HTTP/2 without TLS) or unix:/path/to.sock")]
    Scheme(String),
    /// A socket's path is relative, empty or too long.
    #[error(
        "{0:?}: a Unix socket has an absolute path of at most 107 bytes; write unix:/run/model.sock, or \
         unix:/run/model.sock:/prefix"
    )]
    Socket(String),
    /// A query or a fragment.
    #[error(
        "{0:?}: an endpoint has no query; write only scheme, host, port and, if needed, a path"
    )]
    Query(String),
}

/// What `sockaddr_un` has room for, without the closing NUL.
pub(crate) const SOCKET_PATH: usize = 107;

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "h2c" => Some(Self::H2c),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Unix => "unix",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http | Self::H2c | Self::Unix => 80,
        }
    }
}

impl Address {
    /// Reads an endpoint.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return Self::parse_unix(text, rest);
        }
        let no_url = || AddressError::NoUrl(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| no_url())?;
        let scheme = uri.scheme_str().ok_or_else(no_url)?;
        let scheme = Scheme::parse(scheme).ok_or_else(|| AddressError::Scheme(text.to_owned()))?;
        let authority = uri.authority().ok_or_else(no_url)?;
        let host = authority.host();
        let has_port = authority.as_str().len() > host.len();
        // A port that is none must not become the scheme's.
        if !is_host(authority.as_str().as_bytes())
            || host.is_empty()
            || (has_port && authority.port_u16().is_none())
            || !is_prefix(uri.path())
        {
            return Err(no_url());
        }
        if uri.query().is_some() {
            return Err(AddressError::Query(text.to_owned()));
        }
        Ok(Self {
            scheme,
            authority: authority.as_str().to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: authority
                .port_u16()
                .unwrap_or_else(|| scheme.default_port()),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    fn parse_unix(text: &str, rest: &str) -> Result<Self, AddressError> {
        let (path, prefix) = match rest.find(":/") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, ""),
        };
        if prefix.contains(['?', '#']) {
            return Err(AddressError::Query(text.to_owned()));
        }
        // The prefix goes in front of request targets: it must be one itself.
        let is_path = prefix.parse::<http::uri::PathAndQuery>().is_ok() && is_prefix(prefix);
        let target = prefix.is_empty() || is_path;
        let socket = path.len() > 1 && path.starts_with('/') && !path.starts_with("//");
        if !socket || path.len() > SOCKET_PATH || path.chars().any(char::is_control) || !target {
            return Err(AddressError::Socket(text.to_owned()));
        }
        Ok(Self {
            scheme: Scheme::Unix,
            authority: UNIX_AUTHORITY.to_owned(),
            host: path.to_owned(),
            port: 0,
            prefix: prefix.trim_end_matches('/').to_owned(),
        })
    }

    /// How it is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and port as they stand in a `Host` header; `localhost` for a Unix socket.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What to connect to.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        match self.scheme {
            Scheme::Unix => Target::Unix(Path::new(&self.host)),
            _ => Target::Tcp(&self.host, self.port),
        }
    }

    /// Path in front of every request's path; empty, or like `/base`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// What is no ASCII has to be percent-encoded in a path.
fn is_prefix(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic())
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.scheme.name();
        match self.scheme {
            Scheme::Unix if self.prefix.is_empty() => write!(f, "{scheme}:{}", self.host),
            Scheme::Unix => write!(f, "{scheme}:{}:{}", self.host, self.prefix),
            _ => write!(f, "{scheme}://{}{}", self.authority, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Target<'_> {
        Target::Tcp(host, port)
    }

    #[test]
    fn endpoints_are_read() {
        let plain = Address::parse("http://127.0.0.1:9001").unwrap();
        assert_eq!(plain.target(), tcp("127.0.0.1", 9001));
        assert_eq!((plain.prefix(), plain.scheme()), ("", Scheme::Http));
        let deep = Address::parse("http://ml.local/base/").unwrap();
        assert_eq!(
            (deep.target(), deep.prefix()),
            (tcp("ml.local", 80), "/base")
        );
        assert_eq!(deep.to_string(), "http://ml.local/base");
        let six = Address::parse("http://[::1]:90").unwrap();
        assert_eq!(six.target(), tcp("::1", 90));
        assert_eq!(six.authority(), "[::1]:90");
    }

    #[test]
    fn every_scheme_has_its_port() {
        let of = |text: &str| {
            let address = Address::parse(text).unwrap();
            let Target::Tcp(_, port) = address.target() else {
                panic!("{text}");
            };
            assert_eq!(address.to_string(), text);
            (address.scheme(), port)
        };
        assert_eq!(of("https://ml.example"), (Scheme::Https, 443));
        assert_eq!(of("https://ml.example:8443/v1"), (Scheme::Https, 8443));
        assert_eq!(of("h2c://127.0.0.1:8001"), (Scheme::H2c, 8001));
        assert_eq!(of("h2c://ml.example"), (Scheme::H2c, 80));
    }

    #[test]
    fn sockets_have_a_path_and_may_have_a_prefix() {
        let plain = Address::parse("unix:/run/model.sock").unwrap();
        assert_eq!(plain.target(), Target::Unix(Path::new("/run/model.sock")));
        assert_eq!((plain.authority(), plain.prefix()), ("localhost", ""));
        assert_eq!(plain.to_string(), "unix:/run/model.sock");
        let deep = Address::parse("unix:/run/a:b.sock:/v1/x/").unwrap();
        assert_eq!(deep.target(), Target::Unix(Path::new("/run/a:b.sock")));
        assert_eq!(deep.prefix(), "/v1/x");
        assert_eq!(Address::parse(&deep.to_string()), Ok(deep));
        let long = format!("unix:/{}", "x".repeat(SOCKET_PATH));
        for bad in [
            "unix:",
            "unix:/",
            "unix:run/x",
            "unix://run/x",
            "unix:/run/x:/a b",
            "unix:/run/x:/\u{e4}",
            &long,
        ] {
            assert!(
                matches!(Address::parse(bad), Err(AddressError::Socket(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            Address::parse("unix:/run/x:/a?b"),
            Err(AddressError::Query(_))
        ));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            "127.0.0.1:9001",
            "/x",
            "http://",
            "http://u:p@h:1",
            "http://h:99999",
            "http://h:1x",
            "http://a,b:1",
            "http://h:1/\u{e4}",
        ] {
            assert!(
                matches!(Address::parse(bad), Err(AddressError::NoUrl(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            Address::parse("ftp://h:1"),
            Err(AddressError::Scheme(_))
        ));
        assert!(matches!(
            Address::parse("http://h:1/?a=b"),
            Err(AddressError::Query(_))
        ));
    }
}
