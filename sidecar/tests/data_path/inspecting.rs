//! What only the bodies of answers tell: streams that fail with status 200, tokens, the first of them.

use crate::client::{Client, SentBody, body, h2, user_of};
use crate::sidecar::{Counted, Setup, eventually};
use crate::upstream::{AnswerBody, Upstream, full};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use serinus_common::class::Class;
use serinus_sidecar::meter::Tally;
use serinus_sidecar::rewrite::StreamForm;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;

const CHAT: &str = "/v1/chat/completions";
const HI: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn post(path: &str) -> Request<SentBody> {
    let request = Request::post(path).header("host", "ml.local");
    let request = request.header("content-type", "application/json");
    request.header("x-user-id", "ana").body(body("{}")).unwrap()
}

/// A server that always answers the same.
async fn server(status: u16, content_type: &'static str, text: String) -> Upstream {
    Upstream::h1(move |_| {
        let mut response = Response::new(full(text.clone()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let value = HeaderValue::from_static(content_type);
        response.headers_mut().insert("content-type", value);
        std::future::ready(response)
    })
    .await
}

/// What is counted of one call to the canary, which gets the answer whole.
async fn counted(path: &str, status: u16, content_type: &'static str, parts: &[&str]) -> Tally {
    let canary = server(status, content_type, parts.concat()).await;
    let sidecar = Setup::new(&canary.url, &canary.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let got = client.get(post(path)).await;
    assert_eq!((got.status.as_u16(), got.text), (status, parts.concat()));
    sidecar.finish().await.of("v2").clone()
}

async fn streamed(path: &str, parts: &[&str]) -> Tally {
    counted(path, 200, "text/event-stream", parts).await
}

#[tokio::test]
async fn tokens_are_the_servers_count() {
    let tally = streamed(CHAT, &[HI, HI, STOP, USAGE, DONE]).await;
    assert_eq!(tally.class(Class::Ok), 1);
    let contents = tally.contents;
    assert_eq!((contents.streams, contents.failed_streams), (1, 0));
    assert_eq!((contents.input_tokens, contents.output_tokens), (5, 9));
    assert_eq!(contents.chunks, 2);
    assert_eq!(contents.first_token.total(), 1);
    assert_eq!(contents.per_token.total(), 1);
    let whole = "{\"choices\":[{\"message\":{\"content\":\"Hi\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":20}}";
    let contents = counted(CHAT, 200, "application/json", &[whole])
        .await
        .contents;
    assert_eq!((contents.streams, contents.output_tokens), (0, 20));
    assert!(contents.first_token.is_empty());
}

#[tokio::test]
async fn streams_that_fail_with_status_200_are_failures() {
    let error = "data: {\"error\":{\"message\":\"boom\"}}\n\n";
    let triton = "data: {\"error\":\"in ensemble\"}\n\n";
    let generate = "/v2/models/m/generate_stream";
    for (path, parts) in [
        (CHAT, &[HI, error, DONE][..]),
        (CHAT, &[HI, DONE]),
        (CHAT, &[]),
        (generate, &["data: {\"text_output\":\"a\"}\n\n", triton]),
    ] {
        let tally = streamed(path, parts).await;
        assert_eq!(tally.class(Class::Model), 1, "{parts:?}");
        assert_eq!((tally.user_errors, tally.rescued), (1, 0));
        assert_eq!(tally.contents.failed_streams, 1);
    }
    // Nobody knows what it means there.
    let tally = streamed("/news", &[error]).await;
    assert_eq!(tally.class(Class::Ok), 1);
}

#[tokio::test]
async fn a_400_with_a_stack_trace_is_the_models() {
    let thrown = "{\"error_code\":\"BAD_REQUEST\",\"message\":\"x\",\"stack_trace\":\"Traceback\"}";
    let refused = "{\"error_code\":\"BAD_REQUEST\",\"message\":\"x\"}";
    for (text, class) in [(thrown, Class::Model), (refused, Class::Client)] {
        let tally = counted("/invocations", 400, "application/json", &[text]).await;
        assert_eq!(tally.class(class), 1, "{text}");
        assert_eq!(tally.contents, Default::default());
    }
}

/// A stream whose server never ends it; the caller hangs up after the given parts.
async fn left_after(parts: &[&str]) -> Counted {
    let (events, receive) = unbounded_channel();
    let receive = Arc::new(Mutex::new(Some(receive)));
    let upstream = Upstream::h1(move |_| {
        let receive = receive.lock().unwrap().take().unwrap();
        let body = StreamBody::new(UnboundedReceiverStream::new(receive));
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(response.body(body.boxed_unsync()).unwrap())
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let mut answer = client.send(post(CHAT)).await.into_body();
    for part in parts {
        let data = Frame::data(Bytes::from((*part).to_owned()));
        events.send(Ok::<_, std::io::Error>(data)).unwrap();
        let got = answer.frame().await.unwrap().unwrap();
        assert_eq!(got.into_data().unwrap(), *part);
    }
    drop((answer, client));
    eventually("the end", || sidecar.shared.local().connections == 0).await;
    sidecar.finish().await
}

#[tokio::test]
async fn a_caller_who_has_all_may_hang_up() {
    let counted = left_after(&[HI, STOP, USAGE, DONE]).await;
    let tally = counted.of("v2");
    assert_eq!((tally.class(Class::Ok), tally.user_errors), (1, 0));
    assert_eq!(tally.contents.output_tokens, 9);
    let counted = left_after(&[HI]).await;
    let tally = counted.of("v2");
    assert_eq!(tally.class(Class::Cancelled), 1);
    assert_eq!(
        (tally.contents.chunks, tally.contents.failed_streams),
        (1, 0)
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_arrives_as_cut() {
    let upstream = Upstream::bare(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let part = format!("{:x}\r\n{HI}\r\n", HI.len());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all((head.to_owned() + &part).as_bytes()).await;
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let mut answer = client
        .send(post("/v2/models/m/infer_stream"))
        .await
        .into_body();
    let first = answer.frame().await.unwrap().unwrap();
    assert_eq!(
        first.into_data().unwrap(),
        HI,
        "what came before the cut arrives"
    );
    assert!(answer.frame().await.unwrap().is_err());
    let counted = sidecar.finish().await;
    let tally = counted.of("v2");
    assert_eq!((tally.class(Class::Model), tally.user_errors), (1, 1));
    assert_eq!(
        (tally.contents.chunks, tally.contents.failed_streams),
        (1, 1)
    );
}

/// uvicorn closes the connection after an unhandled 500 without saying so.
#[tokio::test]
async fn a_connection_that_died_while_it_was_idle_is_no_failure() {
    let upstream = Upstream::bare(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let answer =
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 21\r\n\r\nInternal Server Error";
        let _ = stream.write_all(answer.as_bytes()).await;
        // Closed as soon as the next request comes: too late for the sidecar to have seen it.
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..4 {
        let got = client.infer(&user_of("v1", 0.0, 0)).await;
        assert_eq!(
            got.text, "Internal Server Error",
            "and not an answer of ours"
        );
    }
    assert_eq!(upstream.connected(), 4);
    let counted = sidecar.finish().await;
    let tally = counted.of("v1");
    assert_eq!((tally.class(Class::Model), tally.assigned), (4, 4));
}

/// A message of a gRPC stream: field 1 is a string, the error where answers are wrapped.
fn message(text: &str) -> Bytes {
    let mut out = vec![0, 0, 0, 0, 2 + text.len() as u8, 0x0a, text.len() as u8];
    out.extend(text.as_bytes());
    out.into()
}

async fn grpc_stream(form: StreamForm) -> Tally {
    let upstream = Upstream::h2(|_: Request<Incoming>| {
        let status = (HeaderName::from_static("grpc-status"), HeaderValue::from(0));
        let trailers = std::future::ready(Some(Ok(HeaderMap::from_iter([status]))));
        let body = Full::new(message("boom")).map_err(|never: Infallible| match never {});
        let response = Response::builder().header("content-type", "application/grpc");
        let body: AnswerBody = body.with_trailers(trailers).boxed_unsync();
        std::future::ready(response.body(body).unwrap())
    })
    .await;
    let mut setup = Setup::new(&upstream.url, &upstream.url, 1.0);
    setup.stream = form;
    let sidecar = setup.start();
    let call = "http://ml.local/inference.GRPCInferenceService/ModelStreamInfer";
    let request = Request::post(call).header("content-type", "application/grpc");
    let request = request.header("te", "trailers").body(body("")).unwrap();
    let answer = h2(sidecar.addr).await.send_request(request).await.unwrap();
    let whole = answer.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), message("boom"));
    sidecar.finish().await.of("v2").clone()
}

#[tokio::test]
async fn an_error_within_a_grpc_stream_overrides_its_status() {
    let wrapped = grpc_stream(StreamForm::Wrapped).await;
    assert_eq!(
        (wrapped.class(Class::Model), wrapped.class(Class::Ok)),
        (1, 0)
    );
    assert_eq!(wrapped.contents.failed_streams, 1);
    let plain = grpc_stream(StreamForm::Plain).await;
    assert_eq!((plain.class(Class::Model), plain.class(Class::Ok)), (0, 1));
    assert_eq!((plain.contents.streams, plain.contents.chunks), (1, 1));
}
