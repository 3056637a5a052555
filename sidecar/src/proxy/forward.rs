//! A request's head as an endpoint needs it.

use crate::pool::Endpoint;
use crate::rewrite::Rewrite;
use crate::table::{self, Address};
use http::header::{CONNECTION, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Uri, Version};

/// The path that names the model as the variant's server does.
pub(super) fn rename(head: &mut Parts, rewrite: &Rewrite) {
    let path = head.uri.path_and_query();
    let renamed = path.and_then(|path| rewrite.path(head.method.as_str(), path.as_str()));
    let Some(renamed) = renamed.and_then(|path| PathAndQuery::try_from(path).ok()) else {
        return;
    };
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.path_and_query = Some(renamed);
    // Only the path is another one, and it is a path.
    head.uri = Uri::from_parts(parts).unwrap_or_default();
}

/// For HTTP/1.1: the path alone, and the host in its header, which is there already if it `has_host`.
pub(super) fn to_h1(
    head: &mut Parts,
    endpoint: &Endpoint,
    has_host: bool,
    upgrade: Option<&HeaderValue>,
) {
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    head.version = Version::HTTP_11;
    if let Some(host) = named(&head.uri) {
        head.headers.insert(HOST, host);
    } else if !has_host {
        head.headers.insert(HOST, endpoint.host().clone());
    }
    if head.uri.authority().is_some() || !endpoint.address().prefix().is_empty() {
        let path = path(&head.uri, endpoint.address());
        head.uri = Uri::from(path);
    }
    if let Some(protocol) = upgrade {
        head.headers.insert(UPGRADE, protocol.clone());
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Says that the body is chunked: of a GET with a body of unknown length, the library would send none.
pub(super) fn chunk(head: &mut Parts) {
    let chunked = HeaderValue::from_static("chunked");
    head.headers.insert(TRANSFER_ENCODING, chunked);
}

/// The host in the target, which wins over the header (RFC 9112, section 3.2.2).
fn named(uri: &Uri) -> Option<HeaderValue> {
    HeaderValue::from_str(uri.authority()?.as_str()).ok()
}

/// For HTTP/2: scheme, authority and path; no `Host` beside the authority.
pub(super) fn to_h2(head: &mut Parts, endpoint: &Endpoint) {
    let host = head.headers.remove(HOST);
    let authority = head.uri.authority().cloned();
    let authority = authority.or_else(|| Authority::try_from(host?.as_bytes()).ok());
    let authority = authority.or_else(|| Authority::try_from(endpoint.address().authority()).ok());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match endpoint.address().scheme() {
        table::Scheme::Https => Scheme::HTTPS,
        _ => Scheme::HTTP,
    });
    parts.authority = authority;
    parts.path_and_query = Some(path(&head.uri, endpoint.address()));
    head.version = Version::HTTP_2;
    // The parts of a URI that was parsed make a URI.
    if let Ok(uri) = Uri::from_parts(parts) {
        head.uri = uri;
    }
}

fn path(uri: &Uri, address: &Address) -> PathAndQuery {
    let path = uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if address.prefix().is_empty() {
        return path;
    }
    let joined = format!("{}{}", address.prefix(), path);
    joined.parse().unwrap_or(path)
}

/// HTTP/2 may send a cookie header per cookie; HTTP/1.1 has one.
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers
        .get_all(COOKIE)
        .iter()
        .map(|value| value.as_bytes())
        .collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Dial;
    use http::Request;
    use std::sync::Arc;
    use std::time::Duration;

    fn head(uri: &str, version: Version) -> Parts {
        let request = Request::builder().uri(uri).version(version).body(());
        request.unwrap().into_parts().0
    }

    fn endpoint(url: &str) -> Endpoint {
        let dial = Arc::new(Dial::system());
        Endpoint::new(Address::parse(url).unwrap(), Duration::from_secs(1), dial)
    }

    #[test]
    fn http1_has_the_path_alone_and_a_host() {
        let mut parts = head("http://ml.local:80/a?b=c", Version::HTTP_2);
        parts
            .headers
            .append(COOKIE, HeaderValue::from_static("a=1"));
        parts
            .headers
            .append(COOKIE, HeaderValue::from_static("b=2"));
        to_h1(&mut parts, &endpoint("http://127.0.0.1:1"), false, None);
        assert_eq!(
            (parts.uri.to_string().as_str(), parts.version),
            ("/a?b=c", Version::HTTP_11)
        );
        assert_eq!(parts.headers[HOST], "ml.local:80");
        assert_eq!(parts.headers[COOKIE], "a=1; b=2");
        let mut bare = head("/x", Version::HTTP_10);
        to_h1(&mut bare, &endpoint("http://127.0.0.1:1/base"), false, None);
        assert_eq!(
            (bare.uri.to_string().as_str(), &bare.headers[HOST]),
            ("/base/x", &HeaderValue::from_static("127.0.0.1:1"))
        );
    }

    #[test]
    fn a_host_in_the_target_wins() {
        let mut parts = head("http://ml.local:80/a", Version::HTTP_11);
        parts
            .headers
            .insert(HOST, HeaderValue::from_static("other"));
        to_h1(&mut parts, &endpoint("http://127.0.0.1:1"), true, None);
        assert_eq!(
            (parts.uri.to_string().as_str(), &parts.headers[HOST]),
            ("/a", &HeaderValue::from_static("ml.local:80"))
        );
    }

    #[test]
    fn only_the_path_is_renamed() {
        let rewrite = Rewrite::new(&crate::rewrite::Spec {
            version: Some("2".into()),
            ..Default::default()
        });
        for (from, to) in [
            (
                "http://ml.local:80/v2/models/m/ready?x",
                "http://ml.local:80/v2/models/m/versions/2/ready?x",
            ),
            ("/v2/models/m", "/v2/models/m/versions/2"),
            ("/other?x", "/other?x"),
        ] {
            let mut parts = head(from, Version::HTTP_11);
            rename(&mut parts, &rewrite);
            assert_eq!(parts.uri, to);
        }
    }

    #[test]
    fn http2_has_an_authority_and_no_host() {
        let mut parts = head("/pkg.Service/Call", Version::HTTP_2);
        parts
            .headers
            .insert(HOST, HeaderValue::from_static("ml.local"));
        to_h2(&mut parts, &endpoint("http://127.0.0.1:1"));
        assert_eq!(parts.uri, "http://ml.local/pkg.Service/Call");
        assert!(!parts.headers.contains_key(HOST));
        let mut none = head("/x", Version::HTTP_2);
        to_h2(&mut none, &endpoint("http://127.0.0.1:1"));
        assert_eq!(none.uri, "http://127.0.0.1:1/x");
    }
}
