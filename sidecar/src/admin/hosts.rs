//! Which host names the admin port answers to: a web page whose name was made to point here must not read it.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The names, lower-case.
#[derive(Debug)]
pub(super) struct Hosts(BTreeSet<String>);

impl Hosts {
    pub(super) fn new(names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase());
        Self(names.chain(["localhost".to_owned()]).collect())
    }

    /// Whether a `Host` header, with or without a port, is an address or a known name.
    fn allow(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok() || self.0.contains(&name.to_ascii_lowercase())
    }
}

pub(super) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let host = host.or_else(|| request.uri().host());
    if host.is_some_and(|host| hosts.allow(host)) {
        return next.run(request).await;
    }
    let text = "unknown host name; add it to admin_hosts, or use an address or localhost\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_known_names_are_let_in() {
        let hosts = Hosts::new(&["Serinus-A".into()]);
        for good in [
            "127.0.0.1",
            "127.0.0.1:7411",
            "10.1.2.3:80",
            "[::1]:7411",
            "localhost:7411",
            "LOCALHOST",
            "serinus-a:7411",
        ] {
            assert!(hosts.allow(good), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:7411",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "",
        ] {
            assert!(!hosts.allow(bad), "{bad}");
        }
    }
}
