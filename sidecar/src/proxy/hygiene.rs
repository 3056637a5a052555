//! Headers that end here: those of one connection only, and our own names on requests from outside.

use crate::classify::{self, Protocol};
use http::header::{
    CONNECTION, EXPECT, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

pub(crate) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const OURS: &str = "x-serinus-";

/// What a look at a request's headers found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Some header has to go.
    unclean: bool,
    /// Some header is named like ours.
    pub(crate) ours: bool,
    /// The caller wants to change the protocol.
    pub(crate) upgrade: bool,
    /// Bytes of names and values.
    pub(crate) bytes: usize,
    /// By its content type.
    pub(crate) grpc: bool,
    /// The caller named a host.
    pub(crate) host: bool,
}

impl Found {
    pub(crate) fn protocol(self) -> Protocol {
        match self.grpc {
            true => Protocol::Grpc,
            false => Protocol::Http,
        }
    }
}

/// Looks at every header once; most requests need nothing more.
pub(crate) fn look(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    for (name, value) in headers {
        let text = name.as_str();
        // Name, ": ", value and line end.
        found.bytes += text.len() + value.len() + 4;
        found.unclean |= is_of_connection(text);
        match text.len() {
            4 => found.host |= text == "host",
            7 => found.upgrade |= text == "upgrade",
            12 if text == "content-type" => found.grpc |= classify::is_grpc(value.as_bytes()),
            _ => {}
        }
        found.ours |= text.starts_with(OURS);
    }
    found
}

/// Runs for every header of every message: the length rules most of them out.
#[inline]
fn is_of_connection(name: &str) -> bool {
    match name.len() {
        2 => name == "te",
        6 => name == "expect",
        7 => name == "upgrade",
        10 => name == "connection" || name == "keep-alive",
        16 => name == "proxy-connection",
        17 => name == "transfer-encoding",
        18 => name == "proxy-authenticate",
        19 => name == "proxy-authorization",
        _ => false,
    }
}

/// Takes out of a request what must not be passed on. `te: trailers` stays: gRPC needs it.
pub(crate) fn clean_request(headers: &mut HeaderMap, found: Found) {
    if found.ours {
        retain(headers, |name| !name.as_str().starts_with(OURS));
    }
    if found.unclean {
        let trailers = wants_trailers(headers);
        if trailers {
            // In its place.
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        clean(headers, |name| trailers && *name == TE);
    }
}

/// Takes out of an answer what must not be passed on.
pub(crate) fn clean_answer(headers: &mut HeaderMap) {
    if headers.keys().any(|name| is_of_connection(name.as_str())) {
        clean(headers, |_| false);
    }
}

fn clean(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    let named = named_by_connection(headers);
    let goes = |name: &HeaderName| OF_CONNECTION.contains(name) || named.contains(name);
    retain(headers, |name| stays(name) || !goes(name));
}

/// A map fills the place of a header that is removed with its last one: it is built anew, so that the others stay in
/// their order.
fn retain(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    let all = std::mem::take(headers);
    headers.reserve(all.keys_len());
    let mut current = None;
    for (name, value) in all {
        // Only the first value of a name comes with it.
        if let Some(name) = name {
            current = stays(&name).then_some(name);
        }
        if let Some(name) = &current {
            headers.append(name, value);
        }
    }
}

const OF_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    EXPECT,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Headers that the `Connection` header names. What frames the message is not for the other side to take away.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let protected = [http::header::CONTENT_LENGTH, http::header::HOST, TRAILER];
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !protected.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    fn cleaned(headers: &[(&str, &str)]) -> Vec<String> {
        let mut map = map(headers);
        let found = look(&map);
        clean_request(&mut map, found);
        let mut names: Vec<_> = map
            .iter()
            .map(|(n, v)| format!("{n}={}", v.to_str().unwrap()))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_belongs_to_the_connection_is_taken_out() {
        let got = cleaned(&[
            ("host", "a"),
            ("connection", "close, X-Hop"),
            ("connection", "content-length"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "secret"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip;q=1, trailers"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("traceparent", "t"),
            ("x-request-id", "r"),
        ]);
        assert_eq!(
            got,
            [
                "content-length=5",
                "host=a",
                "te=trailers",
                "traceparent=t",
                "x-request-id=r"
            ]
        );
    }

    #[test]
    fn our_own_names_from_outside_are_taken_out() {
        let got = cleaned(&[
            ("x-serinus-variant", "v2"),
            ("X-Serinus-Prediction-Id", "x"),
            ("x-serinusx", "1"),
        ]);
        assert_eq!(got, ["x-serinusx=1"]);
    }

    #[test]
    fn an_upgrade_is_noticed() {
        let found = look(&map(&[("upgrade", "websocket"), ("connection", "upgrade")]));
        assert!(found.upgrade && found.unclean && !found.ours);
        assert!(!look(&map(&[("content-type", "a"), ("user-agent", "b")])).unclean);
    }

    proptest! {
        #[test]
        fn nothing_of_the_connection_ever_gets_through(headers in prop::collection::vec(("connection|te|upgrade|keep-alive|x-a|x-b|x-serinus-[a-z]{1,3}|accept", "[a-z, -]{0,12}"), 0..8)) {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let named = named_by_connection(&map);
            let found = look(&map);
            let before: Vec<_> = map.keys().cloned().collect();
            clean_request(&mut map, found);
            prop_assert!(map.keys().is_sorted_by_key(|name| before.iter().position(|other| other == name)));
            for name in map.keys() {
                prop_assert!(!name.as_str().starts_with(OURS));
                prop_assert!(*name == TE || !is_of_connection(name.as_str()));
                prop_assert!(*name == TE || !named.contains(name));
            }
            prop_assert!(map.get(TE).is_none_or(|te| te == "trailers"));
        }
    }
}
