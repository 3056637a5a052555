//! Versions that share a server, or are called by other names there.

use crate::client::{Client, SentBody, body, h2, infer, user_of};
use crate::sidecar::{Setup, Sidecar};
use crate::upstream::{AnswerBody, Upstream, full};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use serinus_common::class::Class;
use serinus_proto::v1;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio_stream::iter;
use tokio_stream::wrappers::UnboundedReceiverStream;

fn named(model: &str, version: &str) -> v1::Rewrite {
    v1::Rewrite {
        model: model.into(),
        version: version.into(),
        ..Default::default()
    }
}

/// Answers with what it was sent: method, target, `content-length`, body.
async fn tell(request: Request<Incoming>) -> Response<AnswerBody> {
    let (head, sent) = request.into_parts();
    let length = head.headers.get("content-length");
    let length = length.map_or("chunked", |length| length.to_str().unwrap());
    let mut text = format!("{} {} {length} ", head.method, head.uri).into_bytes();
    text.extend(sent.collect().await.unwrap().to_bytes());
    Response::new(full(text))
}

fn post(user: &str, path: &str, text: impl Into<Bytes>) -> Request<SentBody> {
    let mut request = infer(user, text);
    *request.uri_mut() = path.parse().unwrap();
    request
}

async fn one_server(setup: impl FnOnce(Setup) -> Setup) -> (Sidecar, Client, [String; 2]) {
    let server = Upstream::h1(tell).await;
    let url = format!("{}/base", server.url);
    let sidecar = setup(Setup::new(&url, &url, 0.5)).start();
    let client = Client::connect(sidecar.addr).await;
    let users = ["v1", "v2"].map(|variant| user_of(variant, 0.5, 0));
    (sidecar, client, users)
}

#[tokio::test]
async fn two_versions_in_one_server_are_both_pinned() {
    let (sidecar, mut client, [one, two]) = one_server(|setup| {
        let setup = setup.rewrite("v1", named("", "1"));
        setup.rewrite("v2", named("digits/x", "2"))
    })
    .await;
    for (user, version, path) in [
        (&one, "v1", "/base/v2/models/m/versions/1/infer"),
        (&two, "v2", "/base/v2/models/digits%2Fx/versions/2/infer"),
    ] {
        let got = client.infer(user).await;
        assert_eq!(got.variant(), version);
        assert_eq!(got.text, format!("POST {path} 2 {{}}"));
    }
    // Questions about the model go to stable, as it is called there; those about the server stay as they are.
    for (method, path, asked) in [
        ("GET", "/v2/models/m/ready", "/v2/models/m/versions/1/ready"),
        ("GET", "/v2/health/ready", "/v2/health/ready"),
        ("POST", "/v2/repository/index", "/v2/repository/index"),
        (
            "POST",
            "/v2/repository/models/m/load",
            "/v2/repository/models/m/load",
        ),
    ] {
        let mut request = post(&two, path, "");
        *request.method_mut() = method.parse().unwrap();
        let got = client.get(request).await;
        assert_eq!(got.variant(), "v1");
        assert!(
            got.text.starts_with(&format!("{method} /base{asked} ")),
            "{}",
            got.text
        );
    }
    let counted = sidecar.finish().await;
    assert_eq!(
        (counted.of("v1").assigned, counted.of("v2").assigned),
        (1, 1)
    );
}

#[tokio::test]
async fn the_model_in_a_json_body_is_another_one_and_nothing_else() {
    let (_sidecar, mut client, [one, two]) = one_server(|setup| {
        let setup = setup.limits(|limits| limits.replay_bytes = 1000);
        setup.rewrite("v2", named("llama-3.1", ""))
    })
    .await;
    let padded = |length: usize| {
        let pad = "x".repeat(length);
        format!("{{ \"messages\":[{{\"model\":\"m\"}}] ,\"model\" : \"m\",\"user\":\"{pad}\"}}")
    };
    for (length, counted) in [(0, true), (3000, false)] {
        let text = padded(length);
        let got = client.get(post(&one, "/v1/chat/completions", text.clone()));
        let unchanged = format!("POST /base/v1/chat/completions {} {text}", text.len());
        assert_eq!(got.await.text, unchanged);
        let renamed = text.replace("\"model\" : \"m\"", "\"model\" : \"llama-3.1\"");
        let got = client.get(post(&two, "/v1/chat/completions", text)).await;
        let said = match counted {
            true => renamed.len().to_string(),
            false => "chunked".to_owned(),
        };
        assert_eq!(got.variant(), "v2");
        assert_eq!(
            got.text,
            format!("POST /base/v1/chat/completions {said} {renamed}")
        );
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_changed_as_it_passes() {
    let (_sidecar, mut client, [_, two]) =
        one_server(|setup| setup.rewrite("v2", named("a\"b", ""))).await;
    let parts = ["{\"mo", "del\":\"", "m", "\",\"input\":[1", ",2]}"];
    let frames = parts.map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))));
    let request = post(&two, "/v1/embeddings", "").map(|_| {
        let stream = StreamBody::new(iter(frames));
        stream.boxed_unsync()
    });
    let got = client.get(request).await;
    assert_eq!(
        got.text,
        r#"POST /base/v1/embeddings chunked {"model":"a\"b","input":[1,2]}"#
    );
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_and_counts_for_nobody() {
    let (sidecar, mut client, [one, two]) =
        one_server(|setup| setup.rewrite("v2", named("x", ""))).await;
    for (user, status) in [
        (&one, StatusCode::OK),
        (&two, StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let mut request = post(user, "/v1/completions", "not JSON");
        let coding = "gzip".parse().unwrap();
        request.headers_mut().insert("content-encoding", coding);
        let got = client.get(request).await;
        assert_eq!(got.status, status, "{}", got.text);
    }
    drop(client);
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!((canary.class(Class::Cancelled), canary.user_errors), (1, 0));
}

#[tokio::test]
async fn stable_answers_under_its_own_name() {
    let stable = Upstream::h1(tell).await;
    let asked = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&asked);
    let canary = Upstream::h1(move |request: Request<Incoming>| {
        let heard = Arc::clone(&heard);
        async move {
            let told = tell(request).await.into_body().collect().await.unwrap();
            *heard.lock().unwrap() = String::from_utf8(told.to_bytes().to_vec()).unwrap();
            let mut failure = Response::new(full("no"));
            *failure.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            failure
        }
    })
    .await;
    let setup = Setup::new(&stable.url, &canary.url, 1.0).rewrite("v1", named("old", "1"));
    let sidecar = setup.rewrite("v2", named("the-new-one", "2")).start();
    let mut client = Client::connect(sidecar.addr).await;
    for (path, at_canary, at_stable) in [
        (
            "/v1/completions",
            "POST /v1/completions 23 {\"model\":\"the-new-one\"}",
            "POST /v1/completions 15 {\"model\":\"old\"}",
        ),
        (
            "/v1/models/m:predict",
            "POST /v1/models/the-new-one/versions/2:predict 13 {\"model\":\"m\"}",
            "POST /v1/models/old/versions/1:predict 13 {\"model\":\"m\"}",
        ),
    ] {
        let got = client.get(post("ana", path, "{\"model\":\"m\"}")).await;
        assert_eq!((got.variant(), got.text.as_str()), ("v1", at_stable));
        assert_eq!(*asked.lock().unwrap(), at_canary);
    }
}

const STREAM_INFER: &str = "http://ml.local/inference.GRPCInferenceService/ModelStreamInfer";

/// Echoes the messages, and says how they went.
async fn echo(request: Request<Incoming>) -> Response<AnswerBody> {
    let mut status = http::HeaderMap::new();
    status.insert("grpc-status", "0".parse().unwrap());
    let sent = request.into_body().map_err(std::io::Error::other);
    let trailers = std::future::ready(Some(Ok(status)));
    let response = Response::builder().header("content-type", "application/grpc");
    let echoed = sent.with_trailers(trailers).boxed_unsync();
    response.body(echoed).unwrap()
}

fn grpc(path: &str, sent: SentBody) -> Request<SentBody> {
    let request = Request::post(path).header("content-type", "application/grpc");
    let request = request.header("te", "trailers").header("x-user-id", "ana");
    request.body(sent).unwrap()
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

#[tokio::test]
async fn every_message_of_a_grpc_stream_is_renamed() {
    let server = Upstream::h2(echo).await;
    let setup = Setup::new(&server.url, &server.url, 1.0).rewrite("v2", named("digits", "2"));
    let sidecar = setup.start();
    let mut send = h2(sidecar.addr).await;
    let messages: Vec<_> = (0..20usize)
        .map(|n| [b"\x0a\x01m".to_vec(), vec![0x2a, 1, n as u8]].concat())
        .collect();
    let bytes: Vec<u8> = messages.iter().flat_map(|m| frame(0, m)).collect();
    let parts: Vec<_> = bytes
        .chunks(7)
        .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part))))
        .collect();
    let sent = StreamBody::new(iter(parts)).boxed_unsync();
    let response = send.send_request(grpc(STREAM_INFER, sent)).await.unwrap();
    assert_eq!(response.headers()["x-serinus-variant"], "v2");
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    let expected: Vec<u8> = messages
        .iter()
        .flat_map(|m| frame(0, &[m, &b"\x0a\x06digits\x12\x012"[..]].concat()))
        .collect();
    assert_eq!(whole.to_bytes(), expected);
}

/// Answers when it has the whole request, as a unary call does.
async fn echo_at_the_end(request: Request<Incoming>) -> Response<AnswerBody> {
    let sent = request.into_body().collect().await;
    // Nobody reads what is answered to half a request.
    let sent = sent.map(|sent| sent.to_bytes()).unwrap_or_default();
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(full(sent)).unwrap()
}

#[tokio::test]
async fn a_message_that_is_refused_late_is_not_the_models_failure() {
    let server = Upstream::h2(echo).await;
    let setup = Setup::new(&server.url, &server.url, 1.0).rewrite("v2", named("digits", ""));
    let sidecar = setup.start();
    let mut send = h2(sidecar.addr).await;
    let (parts, receive) = tokio::sync::mpsc::unbounded_channel();
    let sent = UnboundedReceiverStream::new(receive);
    parts.send(Ok(Frame::data(frame(0, b"").into()))).unwrap();
    let sent = StreamBody::new(sent).boxed_unsync();
    let response = send.send_request(grpc(STREAM_INFER, sent)).await.unwrap();
    let mut answer = response.into_body();
    let first = answer.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), frame(0, b"\x0a\x06digits"));
    parts.send(Ok(Frame::data(frame(1, b"").into()))).unwrap();
    assert!(answer.collect().await.is_err());
    drop((parts, send));
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!(
        (canary.class(Class::Cancelled), canary.class(Class::Model)),
        (1, 0)
    );
}

#[tokio::test]
async fn a_compressed_message_is_refused_with_a_reason() {
    let server = Upstream::h2(echo_at_the_end).await;
    let setup = Setup::new(&server.url, &server.url, 1.0).rewrite("v2", named("digits", ""));
    let sidecar = setup.start();
    let mut send = h2(sidecar.addr).await;
    for (path, bytes, why) in [
        (STREAM_INFER, frame(1, b"zipped"), "compressed"),
        (
            "http://ml.local/tensorflow.serving.PredictionService/MultiInference",
            frame(0, b""),
            "MultiInference",
        ),
    ] {
        let never = |never: Infallible| match never {};
        let sent = http_body_util::Full::new(Bytes::from(bytes)).map_err(never);
        let response = send.send_request(grpc(path, sent.boxed_unsync())).await;
        let head = response.unwrap().into_parts().0;
        assert_eq!(head.headers["grpc-status"], "12");
        let message = head.headers["grpc-message"].to_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
    let plain = grpc(STREAM_INFER, body(frame(0, b"")));
    let response = send.send_request(plain).await.unwrap();
    let whole = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole, frame(0, b"\x0a\x06digits"));
}
