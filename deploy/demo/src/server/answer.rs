//! From a request to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::route::{ModelCall, ModelPath, Route};
use super::{Fault, Faults, INPUT_NAME, OUTPUT_NAME, Served, infer};
use crate::models::PIXELS;

/// Room for 1024 images with generous number formats.
const MAX_BODY: usize = 2 << 20;

pub(super) struct App {
    pub(super) served: Served,
    pub(super) faults: Arc<Faults>,
}

/// Makes hyper close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
pub(super) struct Cut;

type Answer = Response<Full<Bytes>>;

pub(super) async fn answer(app: &App, request: Request<Incoming>) -> Result<Answer, Cut> {
    let (head, body) = request.into_parts();
    let route = Route::of(head.uri.path());
    if app.faults.refuses() && route != Route::Fault {
        return Err(Cut);
    }
    let allowed = match route {
        Route::Model {
            call: ModelCall::Infer,
            ..
        } => &[Method::POST][..],
        Route::Fault => &[Method::GET, Method::POST],
        _ => &[Method::GET],
    };
    if route != Route::Unknown && !allowed.contains(&head.method) {
        return Ok(wrong_method(allowed));
    }
    Ok(match route {
        Route::ServerMetadata => ok(&server_metadata()),
        Route::Live => ok(&json!({"live": true})),
        Route::Ready => ok(&json!({"ready": true})),
        Route::Fault if head.method == Method::POST => set_fault(app, body).await,
        Route::Fault => report_fault(app),
        Route::Model { model, call } => match absent(&app.served, &model) {
            Some(refusal) => refusal,
            None => model_call(app, call, body).await,
        },
        Route::Unknown => error(
            StatusCode::NOT_FOUND,
            &format!("no such path: {}", head.uri.path()),
        ),
    })
}

async fn model_call(app: &App, call: ModelCall, body: Incoming) -> Answer {
    match call {
        ModelCall::Metadata => ok(&model_metadata(&app.served)),
        ModelCall::Ready => ok(&json!({"name": app.served.name, "ready": true})),
        ModelCall::Infer => infer(app, body).await.unwrap_or_else(|refusal| refusal),
    }
}

async fn infer(app: &App, body: Incoming) -> Result<Answer, Answer> {
    let body = read(body).await?;
    let injection = app.faults.next();
    if injection.hang {
        app.faults.released().await;
    }
    if !injection.delay.is_zero() {
        tokio::time::sleep(injection.delay).await;
    }
    let request = infer::parse(&body).map_err(|why| error(StatusCode::BAD_REQUEST, &why))?;
    if let Some(status) = injection
        .status
        .and_then(|status| StatusCode::from_u16(status).ok())
    {
        app.faults.injected();
        return Err(error(status, "this error was asked for through /fault"));
    }
    Ok(json_answer(
        StatusCode::OK,
        infer::answer(&app.served, &request, injection.wrong),
    ))
}

async fn set_fault(app: &App, body: Incoming) -> Answer {
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let fault: Fault = match serde_json::from_slice(&body) {
        Ok(fault) => fault,
        Err(why) => {
            return error(
                StatusCode::BAD_REQUEST,
                &format!("the body is no fault: {why}"),
            );
        }
    };
    match app.faults.set(fault) {
        Ok(()) => report_fault(app),
        Err(why) => error(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

fn report_fault(app: &App) -> Answer {
    let report = serde_json::to_vec(&app.faults.report());
    json_answer(
        StatusCode::OK,
        report.expect("a report holds only finite numbers and flags"),
    )
}

async fn read(body: Incoming) -> Result<Bytes, Answer> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(why) if why.is::<LengthLimitError>() => {
            let why = format!("the body has more than {MAX_BODY} bytes");
            Err(error(StatusCode::PAYLOAD_TOO_LARGE, &why))
        }
        Err(why) => Err(error(
            StatusCode::BAD_REQUEST,
            &format!("the body broke off: {why}"),
        )),
    }
}

fn absent(served: &Served, asked: &ModelPath<'_>) -> Option<Answer> {
    let name_fits = asked.name == served.name;
    if name_fits
        && asked
            .version
            .as_ref()
            .is_none_or(|version| *version == served.version)
    {
        return None;
    }
    let version = asked
        .version
        .as_ref()
        .map(|v| format!(" version `{v}`"))
        .unwrap_or_default();
    let why = format!(
        "model `{}`{version} is unknown; this server has `{}` version `{}`",
        asked.name, served.name, served.version
    );
    Some(error(StatusCode::NOT_FOUND, &why))
}

fn server_metadata() -> Value {
    json!({"name": "serinus-model-server", "version": env!("CARGO_PKG_VERSION"), "extensions": []})
}

fn model_metadata(served: &Served) -> Value {
    json!({
        "name": served.name,
        "versions": [served.version],
        "platform": "serinus-demo",
        "inputs": [{"name": INPUT_NAME, "datatype": "FP32", "shape": [-1, PIXELS]}],
        "outputs": [{"name": OUTPUT_NAME, "datatype": "INT64", "shape": [-1]}],
    })
}

fn ok(body: &Value) -> Answer {
    json_answer(StatusCode::OK, body.to_string())
}

fn error(status: StatusCode, why: &str) -> Answer {
    json_answer(status, json!({"error": why}).to_string())
}

fn wrong_method(allowed: &[Method]) -> Answer {
    let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
    let names = names.join(", ");
    let mut answer = error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("this path takes {names}"),
    );
    let names = HeaderValue::from_str(&names).expect("names of methods are plain ASCII");
    answer.headers_mut().insert(header::ALLOW, names);
    answer
}

fn json_answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
