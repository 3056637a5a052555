//! An address that may be called.

use super::address::is_forbidden;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use std::net::IpAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why an address is not called. The messages hold nothing of it: it may have a secret in its path.
#[derive(Debug, Error)]
pub(crate) enum TargetError {
    /// It is no address.
    #[error("must be an address such as https://hooks.example.com/serinus: {0}")]
    Syntax(&'static str),
    /// There is nothing of a user's.
    #[error("{0} is link-local or no address of a service: it is not called")]
    Forbidden(IpAddr),
    /// The CA cannot be read.
    #[error("ca {path}: {why}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Scheme, host, port and path.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    tls: bool,
    host: String,
    port: u16,
    authority: HeaderValue,
    path: PathAndQuery,
}

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    /// If it is none, or none that is called.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let syntax = |why| Err(TargetError::Syntax(why));
        if text.contains('#') {
            return syntax("leave out the part from `#` on");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return syntax("it cannot be read");
        };
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return syntax("begin it with http:// or https://"),
        };
        let Some(authority) = uri.authority().filter(|of| !of.host().is_empty()) else {
            return syntax("it names no host");
        };
        if authority.as_str().contains('@') {
            return syntax("leave out user and password");
        }
        let bare = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let address = bare.parse().ok();
        if let Some(address) = address.filter(|address| is_forbidden(*address)) {
            return Err(TargetError::Forbidden(address));
        }
        let Ok(value) = HeaderValue::from_str(authority.as_str()) else {
            return syntax("its host cannot be sent");
        };
        let default = if tls { 443 } else { 80 };
        let path = uri.path_and_query().cloned();
        Ok(Self {
            tls,
            host: bare.to_owned(),
            port: authority.port_u16().unwrap_or(default),
            authority: value,
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Without the brackets of IPv6.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As in `Host`.
    pub(super) fn authority(&self) -> HeaderValue {
        self.authority.clone()
    }

    pub(crate) fn path(&self) -> PathAndQuery {
        self.path.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let target = Target::parse("https://hooks.example.com/a/b?c=d").unwrap();
        assert!(target.is_tls());
        assert_eq!((target.host(), target.port()), ("hooks.example.com", 443));
        assert_eq!(target.path().as_str(), "/a/b?c=d");
        let target = Target::parse("http://[::1]:9000").unwrap();
        assert_eq!((target.host(), target.port()), ("::1", 9000));
        assert_eq!(target.authority(), "[::1]:9000");
        assert_eq!(target.path().as_str(), "/");
    }

    #[test]
    fn what_is_no_address_to_call_is_refused_without_repeating_it() {
        let refused = [
            "hooks.example.com/secret",
            "ftp://hooks.example.com/secret",
            "file:///etc/secret",
            "http://",
            "http:///secret",
            "http://user:secret@example.com/",
            "https://example.com/#secret",
            "https://example.com/ secret",
            "http://169.254.169.254/latest/secret",
            "http://[fe80::1]/secret",
            "http://[::ffff:169.254.169.254]/secret",
            "http://0.0.0.0:80/secret",
            "",
        ];
        for text in refused {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }
}
