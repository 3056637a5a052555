//! gRPC: HTTP/2 end to end, with trailers.

use crate::client::{SentBody, h2};
use crate::sidecar::{Setup, eventually};
use crate::upstream::{AnswerBody, Upstream, full};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use serinus_common::class::Class;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;

const CALL: &str = "http://ml.local/inference.GRPCInferenceService/ModelInfer";

fn call(body: SentBody) -> Request<SentBody> {
    let request = Request::post(CALL).header("content-type", "application/grpc");
    let request = request.header("te", "trailers").header("x-user-id", "ana");
    request.body(body).unwrap()
}

/// A message as gRPC frames it.
fn message(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut framed = vec![0];
    framed.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend(text);
    framed
}

fn status(code: u32) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from(code),
    )])
}

/// Echoes every message as it comes, then the status.
fn echo(code: Arc<AtomicU32>) -> impl Fn(Request<Incoming>) -> EchoAnswer + Clone {
    move |request| std::future::ready(echoed(request, code.load(Ordering::SeqCst)))
}

type EchoAnswer = std::future::Ready<Response<AnswerBody>>;

fn echoed(request: Request<Incoming>, code: u32) -> Response<AnswerBody> {
    assert_eq!(request.headers()["te"], "trailers");
    let trailers = std::future::ready(Some(Ok(status(code))));
    let body = request.into_body().map_err(std::io::Error::other);
    let response = Response::builder().header("content-type", "application/grpc");
    response
        .body(body.with_trailers(trailers).boxed_unsync())
        .unwrap()
}

/// A status and nothing else.
fn refused(code: u32) -> Response<AnswerBody> {
    let mut response = Response::new(full(""));
    *response.headers_mut() = status(code);
    response
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    response
}

#[tokio::test]
async fn messages_pass_both_ways_and_the_trailers_after_them() {
    let code = Arc::new(AtomicU32::new(0));
    let upstream = Upstream::h2(echo(Arc::clone(&code))).await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 1.0).start();
    let mut send = h2(sidecar.addr).await;
    let (parts, receive) = unbounded_channel();
    let body = StreamBody::new(UnboundedReceiverStream::new(receive)).boxed_unsync();
    let response = send.send_request(call(body)).await.unwrap();
    assert_eq!(response.headers()["x-serinus-variant"], "v2");
    let mut body = response.into_body();
    for n in 0..10u8 {
        let message = Bytes::from(vec![n; 100_000]);
        parts.send(Ok(Frame::data(message.clone()))).unwrap();
        let mut got = 0;
        while got < message.len() {
            got += body
                .frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap()
                .len();
        }
    }
    drop(parts);
    let trailers = body
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v2").class(Class::Ok), 1);
    assert_eq!(counted.of("v2").response_bytes, 1_000_000);
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let upstream = Upstream::h2(echo(Arc::default())).await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let send = h2(sidecar.addr).await;
    let calls = (0..50u8).map(|n| {
        let mut send = send.clone();
        tokio::spawn(async move {
            let response = send
                .send_request(call(crate::client::body(message([n; 10]))))
                .await
                .unwrap();
            let whole = response.into_body().collect().await.unwrap();
            (
                whole.trailers().unwrap()["grpc-status"] == "0",
                whole.to_bytes() == message([n; 10]),
            )
        })
    });
    for task in calls.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), (true, true));
    }
    assert_eq!(upstream.connected(), 1);
}

#[tokio::test]
async fn the_status_in_the_trailers_is_the_result() {
    let code = Arc::new(AtomicU32::new(13));
    let upstream = Upstream::h2(echo(Arc::clone(&code))).await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 1.0).start();
    let mut send = h2(sidecar.addr).await;
    let mut request = call(crate::client::body("abc"));
    // Nobody knows whether its answer is a stream.
    *request.uri_mut() = "http://ml.local/mine.Service/Call".parse().unwrap();
    let response = send.send_request(request).await.unwrap();
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "13");
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    // Its answer had begun: too late to be rescued.
    assert_eq!(
        (
            canary.class(Class::Model),
            canary.rescued,
            canary.user_errors
        ),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn an_answer_without_a_status_is_judged_all_the_same() {
    for (http, class) in [
        (200, Class::Model),
        (404, Class::Client),
        (429, Class::Overload),
        (502, Class::Model),
        (504, Class::Timeout),
    ] {
        let upstream = Upstream::h2(move |_| {
            let mut response = Response::new(full("abc"));
            *response.status_mut() = http.try_into().unwrap();
            let value = "application/grpc".parse().unwrap();
            response.headers_mut().insert("content-type", value);
            std::future::ready(response)
        })
        .await;
        let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
        let mut send = h2(sidecar.addr).await;
        let response = send.send_request(call(crate::client::body("abc"))).await;
        let response = response.unwrap();
        assert_eq!(response.status(), http);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "abc"
        );
        let counted = sidecar.finish().await;
        assert_eq!(counted.of("v1").class(class), 1, "{http}");
    }
}

#[tokio::test]
async fn stable_answers_for_a_canary_that_is_unavailable() {
    let stable = Upstream::h2(echo(Arc::default())).await;
    let canary = Upstream::h2(|_| std::future::ready(refused(14))).await;
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut send = h2(sidecar.addr).await;
    let response = send
        .send_request(call(crate::client::body("abc")))
        .await
        .unwrap();
    assert_eq!(response.headers()["x-serinus-variant"], "v1");
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "abc");
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!(
        (
            canary.class(Class::Overload),
            canary.rescued,
            canary.user_errors
        ),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_caller_gets_a_grpc_answer_where_no_model_is() {
    let gone = Upstream::refusing().await;
    let sidecar = Setup::new(&gone.url, &gone.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    let response = send
        .send_request(call(crate::client::body("abc")))
        .await
        .unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(
        response.headers()["grpc-message"]
            .to_str()
            .unwrap()
            .contains("no endpoint")
    );
}

#[tokio::test]
async fn the_callers_own_deadline_bounds_the_attempt() {
    let stable = Upstream::h2(echo(Arc::default())).await;
    let canary = Upstream::h2(|_| std::future::pending::<Response<AnswerBody>>()).await;
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut send = h2(sidecar.addr).await;
    let mut request = call(crate::client::body("abc"));
    request
        .headers_mut()
        .insert("grpc-timeout", "400m".parse().unwrap());
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.headers()["x-serinus-variant"], "v1");
    drop(response);
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!((canary.class(Class::Timeout), canary.rescued), (1, 1));
    let waited = canary.latency.quantile(1.0).unwrap();
    assert!(
        waited < 2_000_000.0,
        "half of the caller's deadline, not the plan's: {waited} us"
    );
}

#[tokio::test]
async fn a_model_that_restarts_is_found_again() {
    let upstream = Upstream::bare(|stream| async move {
        // Serves one call per connection.
        let service = hyper::service::service_fn(|request| async {
            Ok::<_, std::convert::Infallible>(echoed(request, 0))
        });
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let serve = hyper::server::conn::http2::Builder::new(executor);
        let mut connection = std::pin::pin!(serve.serve_connection(io, service));
        tokio::select! {
            _ = connection.as_mut() => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    while upstream.connected() < 3 {
        let response = send
            .send_request(call(crate::client::body("abc")))
            .await
            .unwrap();
        let whole = response.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    }
    drop(send);
    eventually("the end", || sidecar.shared.local().connections == 0).await;
    let counted = sidecar.finish().await;
    let stable = counted.of("v1");
    assert_eq!(stable.class(Class::Ok), stable.assigned);
}
