//! From messages and statuses to HTTP answers. An error is a `google.rpc.Status` with its details, under the HTTP code
//! that belongs to its gRPC code.

use super::schema;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use prost_reflect::DynamicMessage;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub(super) const JSON: &str = "application/json";

/// An answer, or an error with the HTTP code that it has.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    pub(super) http: StatusCode,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let http = http(status.code());
        Self { status, http }
    }
}

/// The HTTP code of a gRPC code, as `google/rpc/code.proto` has them.
pub(super) fn http(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // "Client closed request", which has no name.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// One message.
pub(super) fn message(message: &DynamicMessage) -> Response<Body> {
    let mut response = Response::new(Body::from(text(message)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error.
pub(super) fn failure(failure: &Failure) -> Response<Body> {
    let Failure { status, http } = failure;
    let mut response = Response::new(Body::from(status_text(status)));
    *response.status_mut() = *http;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status.code() == Code::Unauthenticated {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"serinus\""),
        );
    }
    let details = status.get_error_details();
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    if let Some(wait) = wait {
        // Whole seconds, never too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A message as JSON on one line.
pub(super) fn text(message: &DynamicMessage) -> Bytes {
    // Only a time beyond year 9999 cannot be written, and a map with other keys than text.
    let text = serde_json::to_vec(message);
    text.map_or_else(|error| internal(&error), Bytes::from)
}

fn internal(error: &serde_json::Error) -> Bytes {
    let text = serde_json::json!({ "code": 13, "message": error.to_string() });
    Bytes::from(text.to_string())
}

/// A status as JSON on one line.
pub(super) fn status_text(status: &Status) -> Bytes {
    let written = tonic_types::pb::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: details(status),
    };
    let mut message = DynamicMessage::new(schema::status());
    match message.transcode_from(&written) {
        Ok(()) => text(&message),
        Err(error) => Bytes::from(
            serde_json::json!({ "code": written.code, "message": error.to_string() }).to_string(),
        ),
    }
}

/// Those of which the type is known; JSON has no form for others.
fn details(status: &Status) -> Vec<prost_types::Any> {
    let decoded: Result<tonic_types::pb::Status, _> = prost::Message::decode(status.details());
    let details = decoded.map(|status| status.details).unwrap_or_default();
    let known = |any: &prost_types::Any| {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        schema::pool().get_message_by_name(name).is_some()
    };
    details.into_iter().filter(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_status_is_written_with_its_details() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        details.set_error_info("REASON", "serinus", [("k".to_owned(), "v".to_owned())]);
        details.add_bad_request_violation("steps[1].split", "is off");
        let status = Status::with_error_details(Code::Unavailable, "later", details);
        let response = failure(&status.clone().into());
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        let text = String::from_utf8(status_text(&status).to_vec()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&json["code"], &json["message"]),
            (&14.into(), &"later".into())
        );
        let of = |name: &str| {
            let url = format!("type.googleapis.com/google.rpc.{name}");
            let details = json["details"].as_array().unwrap();
            let found = details
                .iter()
                .find(|detail| detail["@type"] == url.as_str());
            found.unwrap_or_else(|| panic!("{name} in {text}")).clone()
        };
        assert_eq!(of("RetryInfo")["retryDelay"], "1.500s");
        assert_eq!(of("ErrorInfo")["reason"], "REASON");
        assert_eq!(of("ErrorInfo")["metadata"]["k"], "v");
        let violation = &of("BadRequest")["fieldViolations"][0];
        assert_eq!(violation["field"], "steps[1].split");
        assert_eq!(violation["description"], "is off");
    }

    #[test]
    fn codes_are_those_of_google_rpc() {
        let expected = [
            200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
        ];
        for (code, expected) in (0..).zip(expected) {
            assert_eq!(http(Code::from_i32(code)).as_u16(), expected, "{code}");
        }
    }
}
