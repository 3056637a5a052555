//! Answers of the sidecar itself.

use crate::classify::Protocol;
use crate::rewrite::Unchangeable;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Bytes;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_ACCEPT: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why a request is not passed on, or why there is no answer to pass back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoModel,
    HeadTooLarge,
    BodyTooLarge,
    BadBody,
    SlowBody,
    Upgrade,
    Busy,
    NoConnection,
    Broken,
    Timeout,
    /// The variant is called by another name than the request can be made to say.
    Unchangeable(Unchangeable),
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoModel => StatusCode::NOT_FOUND,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadBody => StatusCode::BAD_REQUEST,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Upgrade => StatusCode::NOT_IMPLEMENTED,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoConnection | Self::Broken => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Unchangeable(Unchangeable::Tasks) => StatusCode::NOT_IMPLEMENTED,
            Self::Unchangeable(Unchangeable::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unchangeable(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// gRPC codes as in the gRPC specification's status codes.
    fn grpc(self) -> &'static str {
        match self {
            Self::NoModel => "5",
            Self::HeadTooLarge | Self::BodyTooLarge => "8",
            Self::BadBody => "13",
            Self::Unchangeable(Unchangeable::TooLong) => "8",
            Self::Upgrade | Self::Unchangeable(_) => "12",
            Self::Busy | Self::NoConnection | Self::Broken => "14",
            Self::SlowBody | Self::Timeout => "4",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NoModel => {
                "serinus: no model in the sidecar's file matches this request; see `match` in [[model]]"
            }
            Self::HeadTooLarge => "serinus: the request's head is larger than limits.head_bytes",
            Self::BodyTooLarge => "serinus: the request's body is larger than limits.body_bytes",
            Self::BadBody => "serinus: the request's body broke off",
            Self::SlowBody => {
                "serinus: the beginning of the body, which names the model or the key, took too long"
            }
            Self::Upgrade => "serinus: only upgrades of HTTP/1.1 connections are passed on",
            Self::Busy => {
                "serinus: too many requests in flight (limits.in_flight_per_variant); try again"
            }
            Self::NoConnection => "serinus: no endpoint of the model accepts a connection",
            Self::Broken => "serinus: the model closed the connection before it answered",
            Self::Timeout => "serinus: the model did not answer in time",
            Self::Unchangeable(why) => match why {
                Unchangeable::Encoded => {
                    "serinus: the variant's rewrite names another model, which cannot be written into a body with content-encoding; send it without"
                }
                Unchangeable::Compressed => {
                    "serinus: the variant's rewrite cannot be written into a compressed message; send it without compression"
                }
                Unchangeable::TooLong => {
                    "serinus: the message is too long for the variant's rewrite"
                }
                Unchangeable::Tasks => {
                    "serinus: MultiInference names a model in each task, which no rewrite changes; call Classify or Regress"
                }
            },
        }
    }

    /// The answer: an HTTP status and a line of text, or a gRPC status in a head without a body.
    pub(crate) fn answer(self, protocol: Protocol) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        if protocol == Protocol::Grpc {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from_static(self.grpc()));
            headers.insert(GRPC_MESSAGE, HeaderValue::from_static(self.text()));
            if self == Self::Unchangeable(Unchangeable::Compressed) {
                headers.insert(GRPC_ACCEPT, HeaderValue::from_static("identity"));
            }
            return response;
        }
        *response.status_mut() = self.status();
        *response.body_mut() = Bytes::from_static(self.text().as_bytes());
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if self == Self::Busy {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify;
    use serinus_common::class::Class;

    #[test]
    fn both_protocols_say_the_same() {
        for (refusal, class) in [
            (Refusal::Busy, Class::Overload),
            (Refusal::Timeout, Class::Timeout),
            (Refusal::NoModel, Class::Client),
        ] {
            let http = refusal.answer(Protocol::Http);
            let grpc = refusal.answer(Protocol::Grpc);
            assert_eq!(Class::of_http(http.status().as_u16()), class);
            assert_eq!(classify::grpc_status(grpc.headers()), Some(class));
            assert_eq!(grpc.status(), StatusCode::OK);
            assert!(http.body().starts_with(b"serinus: ") && grpc.body().is_empty());
        }
    }
}
