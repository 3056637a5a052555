//! What an answer says about how the call went.

use crate::inspect;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};
use serinus_common::class::Class;
use std::time::Duration;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// Whether a content type is gRPC's. gRPC-Web has its status in the body: to us it is HTTP.
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// Class by the answer's head. For gRPC the last word may come in the trailers.
pub(crate) fn of_head(protocol: Protocol, status: StatusCode, headers: &HeaderMap) -> Class {
    let of_grpc = match protocol {
        Protocol::Grpc => grpc_status(headers),
        Protocol::Http => None,
    };
    of_grpc.unwrap_or_else(|| Class::of_http(status.as_u16()))
}

/// Class by a gRPC status in headers or trailers; `None` where there is none.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<Class> {
    Some(status(headers.get(GRPC_STATUS)?.as_bytes()))
}

/// Class by the text of a gRPC status. A code that nobody knows is UNKNOWN.
pub(crate) fn status(code: &[u8]) -> Class {
    let code = std::str::from_utf8(code).ok();
    Class::of_grpc(code.and_then(|code| code.trim().parse().ok()).unwrap_or(2))
}

/// Whether an answer is a stream of events, whose latency is that of its head.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(inspect::is_event_stream)
}

fn content_type(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(CONTENT_TYPE).map(|value| value.as_bytes())
}

/// The caller's own bound of the whole call.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    timeout(headers.get(GRPC_TIMEOUT)?.as_bytes())
}

/// A `grpc-timeout`: at most eight digits and a unit.
pub(crate) fn timeout(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn heads_are_classed() {
        let none = HeaderMap::new();
        assert_eq!(of_head(Protocol::Http, StatusCode::OK, &none), Class::Ok);
        assert_eq!(
            of_head(Protocol::Http, StatusCode::BAD_GATEWAY, &none),
            Class::Model
        );
        let unavailable = map("grpc-status", "14");
        assert_eq!(
            of_head(Protocol::Grpc, StatusCode::OK, &unavailable),
            Class::Overload
        );
        assert_eq!(
            of_head(Protocol::Http, StatusCode::OK, &unavailable),
            Class::Ok
        );
        assert_eq!(
            of_head(Protocol::Grpc, StatusCode::SERVICE_UNAVAILABLE, &none),
            Class::Overload
        );
        assert_eq!(grpc_status(&map("grpc-status", "0")), Some(Class::Ok));
        assert_eq!(grpc_status(&map("grpc-status", "x")), Some(Class::Model));
        assert_eq!(grpc_status(&none), None);
    }

    #[test]
    fn protocols_are_told_apart() {
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=1",
        ] {
            assert!(is_grpc(grpc.as_bytes()), "{grpc}");
        }
        for http in ["application/grpc-web", "application/json", ""] {
            assert!(!is_grpc(http.as_bytes()), "{http}");
        }
        assert!(is_event_stream(&map(
            "content-type",
            "text/event-stream; charset=utf-8"
        )));
        assert!(!is_event_stream(&HeaderMap::new()));
    }

    #[test]
    fn callers_name_their_own_bounds() {
        let of = |text: &str| grpc_timeout(&map("grpc-timeout", text));
        assert_eq!(of("100m"), Some(Duration::from_millis(100)));
        assert_eq!(of("2S"), Some(Duration::from_secs(2)));
        assert_eq!(
            of("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for bad in ["", "m", "1", "1d", "123456789m", "-1m", "1.5S"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_timeout_is_read_without_panic(text in "[ -~]{0,12}") {
            let _ = grpc_timeout(&map("grpc-timeout", &text));
        }
    }
}
