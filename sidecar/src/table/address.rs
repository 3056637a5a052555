//! Where a variant answers.

use thiserror::Error;

/// An endpoint: `http://host:port` with an optional path prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    authority: String,
    host: String,
    port: u16,
    prefix: String,
}

/// The text is no endpoint.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not an absolute URL with a host.
    #[error("{0:?} is no URL; write for example \"http://127.0.0.1:9001\"")]
    NoUrl(String),
    /// Not plain HTTP.
    #[error(
        "{0:?}: only http:// endpoints are supported in this version; the sidecar runs beside the model server"
    )]
    Scheme(String),
    /// A query or a fragment.
    #[error(
        "{0:?}: an endpoint has no query; write only scheme, host, port and, if needed, a path"
    )]
    Query(String),
}

impl Address {
    /// Reads an endpoint.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let no_url = || AddressError::NoUrl(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| no_url())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(_) => return Err(AddressError::Scheme(text.to_owned())),
            None => return Err(no_url()),
        }
        let authority = uri.authority().ok_or_else(no_url)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(no_url());
        }
        if uri.query().is_some() {
            return Err(AddressError::Query(text.to_owned()));
        }
        let host = authority.host();
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Host and port as they stand in a `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What to connect to.
    #[must_use]
    pub fn host_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Path in front of every request's path; empty, or like `/base`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let plain = Address::parse("http://127.0.0.1:9001").unwrap();
        assert_eq!(plain.host_port(), ("127.0.0.1", 9001));
        assert_eq!(plain.prefix(), "");
        let deep = Address::parse("http://ml.local/base/").unwrap();
        assert_eq!(
            (deep.host_port(), deep.prefix()),
            (("ml.local", 80), "/base")
        );
        assert_eq!(deep.to_string(), "http://ml.local/base");
        let six = Address::parse("http://[::1]:90").unwrap();
        assert_eq!(six.host_port(), ("::1", 90));
        assert_eq!(six.authority(), "[::1]:90");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in ["", "127.0.0.1:9001", "/x", "http://", "http://u:p@h:1"] {
            assert!(
                matches!(Address::parse(bad), Err(AddressError::NoUrl(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            Address::parse("https://h:1"),
            Err(AddressError::Scheme(_))
        ));
        assert!(matches!(
            Address::parse("http://h:1/?a=b"),
            Err(AddressError::Query(_))
        ));
    }
}
