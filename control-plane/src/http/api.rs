//! The whole API as HTTP and JSON: each RPC has a route, and a request on it becomes the same call that gRPC makes,
//! through the same gates. What is here is the wire alone.

mod answer;
mod call;
mod json;
mod message;
mod query;
mod route;
mod schema;
mod stream;

#[cfg(test)]
mod tests;

use crate::grpc::{bad_field, bad_fields, code_name};
use crate::metrics::HTTP_REQUESTS;
use answer::Failure;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use call::Caller;
use json::Json;
use message::violation;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use route::{Answer, Found, Method, Route};
use serinus_proto::v1::Violation;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;
use tonic::service::Routes;
use tonic::{Code, Status};

/// Names an attempt: what `request_id` is in a message that does not have one.
const REQUEST_ID: &str = "x-request-id";
/// A browser's own header: the `id` of the last event that it has.
const LAST_EVENT_ID: &str = "last-event-id";
/// A body that is not here by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The API. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Api {
    routes: Routes,
    /// Only this host reaches the port: then a name that is not of this host is one that a page in a browser has made
    /// to point here.
    local: bool,
}

impl Api {
    /// In front of `routes`; `local` if it is served on loopback alone.
    pub(super) fn new(routes: Routes, local: bool) -> Self {
        Self { routes, local }
    }

    /// Answers any request under `/v1/`.
    pub(super) async fn answer(&self, request: Request) -> Response<Body> {
        let found = route::find(request.method().as_str(), request.uri().path());
        let name = match &found {
            Found::Route(route, _) => format!("{}.{}", route.service, route.rpc),
            Found::OtherMethods(_) | Found::Nothing => "none".to_owned(),
        };
        let id = request.headers().get(REQUEST_ID).cloned();
        let mut allow = None;
        let answered = match found {
            Found::Route(route, fields) => self.call(route, fields, request).await,
            Found::OtherMethods(methods) => {
                let methods = methods.join(", ");
                let message = format!("this path takes {methods} alone");
                allow = HeaderValue::from_str(&methods).ok();
                Err(Failure {
                    status: Status::unimplemented(message),
                    http: StatusCode::METHOD_NOT_ALLOWED,
                })
            }
            Found::Nothing => {
                let path = request.uri().path();
                let message = format!("there is no {path}; docs/http-api.md lists the paths");
                Err(Status::not_found(message).into())
            }
        };
        let code = answered
            .as_ref()
            .map_or_else(|failure| failure.status.code(), |_| Code::Ok);
        metrics::counter!(HTTP_REQUESTS, "rpc" => name, "code" => code_name(code)).increment(1);
        let mut response = answered.unwrap_or_else(|failure| answer::failure(&failure));
        let headers = response.headers_mut();
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        if let Some(id) = id {
            headers.insert(REQUEST_ID, id);
        }
        response
    }

    async fn call(
        &self,
        route: &'static Route,
        path: Vec<(&'static str, String)>,
        request: Request,
    ) -> Result<Response<Body>, Failure> {
        if self.local {
            is_local(request.headers())?;
        }
        let (parts, body) = request.into_parts();
        let input = schema::method(route.service, route.rpc).input();
        let mut fields = match route.method {
            Method::Get => query::fields(&input, parts.uri.query().unwrap_or_default()),
            Method::Post => {
                if parts.uri.query().is_some() {
                    let message = "takes no parameters in the URL; write them into the body";
                    return Err(bad_field("query", message).into());
                }
                read_body(&parts.headers, body, route.bytes).await?
            }
        };
        let mut wrong = Vec::new();
        for (name, value) in path {
            give(&input, &mut fields, name, value, "the path", &mut wrong);
        }
        let request_id = parts.headers.get(REQUEST_ID);
        let named = input.get_field_by_name("request_id").and(request_id);
        if let Some(id) = named.and_then(|id| id.to_str().ok()) {
            let source = "the header x-request-id";
            give(
                &input,
                &mut fields,
                "request_id",
                id.to_owned(),
                source,
                &mut wrong,
            );
        }
        let resumed = (route.service, route.rpc) == ("Events", "Watch");
        let resumed = resumed.then(|| resume(&parts.headers, &mut fields, &mut wrong));
        let afresh = resumed.flatten();
        let message = read(&input, fields, wrong)?;
        let caller = Caller::new(&parts.headers, parts.extensions);
        if route.answer == Answer::Once {
            let answer = call::once(&self.routes, route, &caller, message).await?;
            return Ok(answer::message(&answer));
        }
        let form = stream::form(parts.headers.get(header::ACCEPT), route.answer);
        let answered = self.stream(route, &caller, message, form).await;
        match (answered, afresh) {
            (Err(status), Some(fields)) if status.code() == Code::OutOfRange => {
                let message = read(&input, fields, Vec::new())?;
                Ok(self.stream(route, &caller, message, form).await?)
            }
            (answered, _) => Ok(answered?),
        }
    }

    async fn stream(
        &self,
        route: &Route,
        caller: &Caller,
        message: DynamicMessage,
        form: Answer,
    ) -> Result<Response<Body>, Status> {
        let messages = call::stream(&self.routes, route, caller, message).await?;
        stream::answer(messages, form).await
    }
}

fn read(
    input: &MessageDescriptor,
    fields: Vec<(String, Json)>,
    mut wrong: Vec<Violation>,
) -> Result<DynamicMessage, Status> {
    let message = message::read(input, Json::Object(fields), "", &mut wrong);
    match wrong.as_slice() {
        [] => Ok(message),
        [one] => Err(bad_field(&one.path, one.message.clone())),
        several => {
            let message = format!("{} mistakes in the request", several.len());
            Err(bad_fields(several, message))
        }
    }
}

/// Sets a field that something else than the body names too.
fn give(
    input: &MessageDescriptor,
    fields: &mut Vec<(String, Json)>,
    name: &str,
    value: String,
    source: &str,
    wrong: &mut Vec<Violation>,
) {
    let value = Json::text(value);
    let wanted = message::field(input, name);
    let same = |key: &str| message::field(input, key) == wanted;
    match fields.iter().find(|(key, _)| same(key)) {
        Some((_, given)) if *given == value => {}
        Some((key, _)) => {
            let text = format!("is not what {source} says; leave it out");
            wrong.push(violation(key, text));
        }
        None => fields.push((name.to_owned(), value)),
    }
}

/// A stream over HTTP goes on unless told otherwise, and from where the caller was. What to ask for instead if that is
/// not known here any more: a snapshot, if the caller has asked for one to begin with.
fn resume(
    headers: &HeaderMap,
    fields: &mut Vec<(String, Json)>,
    wrong: &mut Vec<Violation>,
) -> Option<Vec<(String, Json)>> {
    if !fields.iter().any(|(key, _)| key == "follow") {
        fields.push(("follow".into(), Json::Plain(true.into())));
    }
    let last = headers.get(LAST_EVENT_ID)?;
    let position = last.to_str().ok().and_then(position);
    let Some((generation, revision)) = position else {
        let text = "is no id of an event of this stream, such as 1-42; leave it out to begin anew";
        wrong.push(violation(LAST_EVENT_ID, text));
        return None;
    };
    let begun = |key: &str| matches!(key, "after_revision" | "afterRevision" | "generation");
    fields.retain(|(key, _)| !begun(key));
    let afresh = fields
        .iter()
        .any(|(key, value)| key == "snapshot" && *value == Json::Plain(true.into()));
    let afresh = afresh.then(|| fields.clone());
    fields.retain(|(key, _)| key != "snapshot");
    fields.push(("after_revision".into(), Json::text(revision.to_string())));
    fields.push(("generation".into(), Json::text(generation.to_string())));
    afresh
}

/// `GENERATION-REVISION`, or a revision alone.
fn position(id: &str) -> Option<(u64, u64)> {
    match id.split_once('-') {
        Some((generation, revision)) => Some((generation.parse().ok()?, revision.parse().ok()?)),
        None => Some((0, id.parse().ok()?)),
    }
}

/// The fields of a body, which is an object.
async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Vec<(String, Json)>, Failure> {
    // A page of another site can send a form, but not this.
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(answer::JSON) {
        let message = "send JSON, with the header content-type: application/json";
        return Err(Failure {
            status: bad_field("content-type", message),
            http: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        });
    }
    let read = timeout(PATIENCE, to_bytes(body, limit)).await;
    let read = read.map_err(|_| Failure {
        status: Status::deadline_exceeded(format!("the body was not here within {PATIENCE:?}")),
        http: StatusCode::REQUEST_TIMEOUT,
    })?;
    let bytes = read.map_err(|_| Failure {
        status: Status::resource_exhausted(format!("the body is longer than {limit} bytes")),
        http: StatusCode::PAYLOAD_TOO_LARGE,
    })?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let json: Json = serde_json::from_slice(&bytes)
        .map_err(|error| bad_field("body", format!("is no JSON: {error}")))?;
    match json {
        Json::Object(fields) => Ok(fields),
        other => {
            let message = format!("is {}; write an object, {{...}}", other.kind());
            Err(bad_field("body", message).into())
        }
    }
}

/// On loopback whoever can connect may command, and a page in a browser can connect by a name of its own.
fn is_local(headers: &HeaderMap) -> Result<(), Status> {
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let named = name == "localhost" || name.ends_with(".localhost");
    if named || bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let message = format!(
        "this port is for this host alone, and {host:?} is another name; use an address or localhost"
    );
    Err(Status::permission_denied(message))
}
