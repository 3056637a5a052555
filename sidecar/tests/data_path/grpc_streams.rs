//! gRPC in all its shapes: streams, large messages, ends on either side, and endpoints that come and go.

use crate::client::{SentBody, body, h2};
use crate::frames::{
    CALL, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, Peer, RESET, SETTINGS, WINDOW,
    fields, frame,
};
use crate::sidecar::{Setup, eventually};
use crate::upstream::{AnswerBody, Upstream, full};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serinus_common::class::Class;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;

const URL: &str = "http://ml.local/pkg.Service/Call";

fn call(body: SentBody) -> Request<SentBody> {
    let request = Request::post(URL).header("content-type", "application/grpc+proto");
    request.header("te", "trailers").body(body).unwrap()
}

fn message(text: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend(text);
    framed
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )])
}

fn done(body: impl Into<Bytes>) -> Response<AnswerBody> {
    let body = full(body).with_trailers(std::future::ready(Some(Ok(trailers()))));
    let response = Response::builder().header("content-type", "application/grpc+proto");
    response.body(body.boxed_unsync()).unwrap()
}

/// A body that is fed from the test.
fn fed() -> (tokio::sync::mpsc::UnboundedSender<Vec<u8>>, SentBody) {
    let (send, receive) = unbounded_channel::<Vec<u8>>();
    let parts = tokio_stream::StreamExt::map(UnboundedReceiverStream::new(receive), |part| {
        Ok(http_body::Frame::data(Bytes::from(part)))
    });
    (send, StreamBody::new(parts).boxed_unsync())
}

#[tokio::test]
async fn messages_larger_than_four_mebibytes_pass_both_ways() {
    let upstream = Upstream::h2(|request: Request<Incoming>| async move {
        let whole = request.into_body().collect().await.unwrap().to_bytes();
        done(whole)
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    let bytes: Vec<u8> = (0..6_000_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    let sent = message(&bytes);
    let response = send.send_request(call(body(sent.clone()))).await.unwrap();
    let got = response.into_body().collect().await.unwrap();
    assert_eq!(got.trailers().unwrap()["grpc-status"], "0");
    assert!(got.to_bytes() == sent);
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").response_bytes, sent.len() as u64);
}

#[tokio::test]
async fn metadata_passes_as_it_came() {
    let upstream = Upstream::h2(|request: Request<Incoming>| async move {
        let mut response = done(Bytes::new());
        for (name, value) in request.headers() {
            let name: http::HeaderName = format!("saw-{name}").parse().unwrap();
            response.headers_mut().append(name, value.clone());
        }
        let target = request.uri().to_string().parse().unwrap();
        response.headers_mut().insert("saw-uri", target);
        response
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    for n in 0..3 {
        let mut request = call(body(message(b"")));
        let headers = request.headers_mut();
        headers.insert("grpc-timeout", "7S".parse().unwrap());
        headers.insert("trace-bin", "AAECAw".parse().unwrap());
        headers.append("many", "one".parse().unwrap());
        headers.append("many", "two, three".parse().unwrap());
        headers.insert("n", n.to_string().parse().unwrap());
        headers.insert("x-serinus-variant", "v2".parse().unwrap());
        let response = send.send_request(request).await.unwrap();
        let saw = response.headers();
        assert_eq!(saw["saw-uri"], URL);
        assert_eq!(
            (&saw["saw-grpc-timeout"], &saw["saw-trace-bin"]),
            (&"7S".parse().unwrap(), &"AAECAw".parse().unwrap())
        );
        let many: Vec<_> = saw.get_all("saw-many").iter().collect();
        assert_eq!(many, ["one", "two, three"]);
        assert_eq!(
            (saw["saw-n"].to_str().unwrap(), &saw["saw-te"]),
            (n.to_string().as_str(), &"trailers".parse().unwrap())
        );
        assert!(!saw.contains_key("saw-x-serinus-variant") && !saw.contains_key("saw-host"));
        assert_eq!(saw["x-serinus-variant"], "v1");
    }
}

#[tokio::test]
async fn the_bound_of_bodies_is_that_of_one_message() {
    let upstream = Upstream::h2(|request: Request<Incoming>| async move {
        let whole = request.into_body().collect().await;
        done(whole.map(|body| body.to_bytes()).unwrap_or_default())
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0)
        .limits(|limits| limits.body_bytes = 1000)
        .start();
    let mut send = h2(sidecar.addr).await;
    let many = message(&[7; 900]).repeat(200);
    let response = send.send_request(call(body(many.clone()))).await.unwrap();
    assert!(response.into_body().collect().await.unwrap().to_bytes() == many);
    let response = send
        .send_request(call(body(message(&[7; 1001]))))
        .await
        .unwrap();
    assert_eq!(response.headers()["grpc-status"], "8");
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_call_at_the_endpoint() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    let upstream = Upstream::h2(move |request: Request<Incoming>| {
        let counter = Arc::clone(&counter);
        async move {
            let broken = request.into_body().collect().await.is_err();
            counter.fetch_add(usize::from(broken), Ordering::SeqCst);
            done(Bytes::new())
        }
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    let (feed, request) = fed();
    feed.send(message(b"one")).unwrap();
    let answer = tokio::spawn(send.send_request(call(request)));
    eventually("the call", || upstream.connected() == 1).await;
    answer.abort();
    drop(feed);
    let mut other = Peer::connect(&sidecar).await;
    other.call(1, false).await;
    other.write(&frame(RESET, 0, 1, &8u32.to_be_bytes())).await;
    eventually("the end of both", || ended.load(Ordering::SeqCst) >= 1).await;
    let counted = sidecar.finish().await;
    let stable = counted.of("v1");
    assert!(stable.class(Class::Cancelled) >= 1 && stable.user_errors == 0);
}

#[tokio::test]
async fn an_answer_that_is_cut_reaches_the_caller_as_the_same_cut() {
    let upstream = Upstream::bare(|stream| async move {
        let mut peer = Peer::accept(stream).await;
        let asked = peer.until(HEADERS).await.stream;
        let head = fields(&[(":status", "200"), ("content-type", "application/grpc")]);
        peer.write(&frame(HEADERS, END_HEADERS, asked, &head)).await;
        peer.write(&frame(DATA, 0, asked, &message(b"half"))).await;
        peer.write(&frame(RESET, 0, asked, &13u32.to_be_bytes()))
            .await;
        while peer.next().await.is_some() {}
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut peer = Peer::connect(&sidecar).await;
    peer.call(1, true).await;
    assert_eq!(peer.until(DATA).await.payload, message(b"half"));
    let reset = peer.until(RESET).await;
    assert_eq!((reset.stream, reset.code()), (1, 13));
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Model), 1);
}

/// Serves whole calls; `first` says what the first connection does with its first call.
async fn second_time_lucky(first: fn(u32) -> Vec<u8>) -> Upstream {
    let connections = Arc::new(AtomicUsize::new(0));
    Upstream::bare(move |stream| {
        let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            let mut peer = Peer::accept(stream).await;
            while let Some(Frame { kind, stream, .. }) = peer.next().await {
                if kind != HEADERS {
                    continue;
                }
                if is_first {
                    peer.write(&first(stream)).await;
                    continue;
                }
                let head = fields(&[
                    (":status", "200"),
                    ("content-type", "application/grpc"),
                    ("grpc-status", "0"),
                ]);
                peer.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head))
                    .await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_call_that_the_endpoint_has_not_looked_at_is_made_again() {
    let refuse: fn(u32) -> Vec<u8> = |stream| frame(RESET, 0, stream, &7u32.to_be_bytes());
    let leave: fn(u32) -> Vec<u8> = |_| frame(GOAWAY, 0, 0, &[0; 8]);
    for first in [refuse, leave] {
        let upstream = second_time_lucky(first).await;
        let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
        let mut send = h2(sidecar.addr).await;
        let mut request = call(body(message(b"abc")));
        // Not even those that must not be made twice were made once.
        request
            .headers_mut()
            .insert("x-serinus-idempotent", "false".parse().unwrap());
        let response = send.send_request(request).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "0");
        assert_eq!(upstream.connected(), 2);
        let counted = sidecar.finish().await;
        assert_eq!(
            (counted.of("v1").class(Class::Ok), counted.of("v1").assigned),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn more_calls_than_a_connection_takes_go_over_others() {
    let running = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&running);
    let upstream = Upstream::bare(move |stream| {
        let inside = Arc::clone(&inside);
        async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let inside = Arc::clone(&inside);
                async move {
                    inside.fetch_add(1, Ordering::SeqCst);
                    while inside.load(Ordering::SeqCst) < 10 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Ok::<_, Infallible>(done(Bytes::new()))
                }
            });
            let mut server = http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(3);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let send = h2(sidecar.addr).await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let mut send = send.clone();
            tokio::spawn(async move { send.send_request(call(body(message(b"x")))).await.unwrap() })
        })
        .collect();
    for answer in calls {
        let response = answer.await.unwrap();
        assert!(!response.headers().contains_key("grpc-status"));
    }
    assert!(
        (4..=8).contains(&upstream.connected()),
        "{}",
        upstream.connected()
    );
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_the_call() {
    let upstream = Upstream::h2(|_| std::future::ready(done(message(b"enough")))).await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    let (feed, request) = fed();
    feed.send(message(b"one")).unwrap();
    let response = send.send_request(call(request)).await.unwrap();
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), message(b"enough"));
    eventually("the end of the request", || feed.is_closed()).await;
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 1);
}

#[tokio::test]
async fn a_caller_who_does_not_read_stops_nobody_else() {
    let upstream = Upstream::h2(|request: Request<Incoming>| async move {
        let large = request.into_body().collect().await.unwrap().to_bytes() == message(b"large");
        done(vec![7; if large { 8 << 20 } else { 10 }])
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut sloths = Vec::new();
    for _ in 0..6 {
        let mut sloth = Peer::connect(&sidecar).await;
        sloth.call(1, false).await;
        sloth
            .write(&frame(DATA, END_STREAM, 1, &message(b"large")))
            .await;
        sloth.until(DATA).await;
        sloths.push(sloth);
    }
    let mut send = h2(sidecar.addr).await;
    for _ in 0..20 {
        let response = send
            .send_request(call(body(message(b"small"))))
            .await
            .unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            vec![7; 10]
        );
    }
    assert_eq!(upstream.connected(), 1);
    // Once it reads, it gets all of it.
    let mut sloth = sloths.remove(0);
    sloth
        .write(&frame(WINDOW, 0, 0, &(16u32 << 20).to_be_bytes()))
        .await;
    sloth
        .write(&frame(WINDOW, 0, 1, &(16u32 << 20).to_be_bytes()))
        .await;
    let mut got = 0;
    while got < (8 << 20) - (16 << 10) {
        got += sloth.until(DATA).await.payload.len();
    }
    drop((sloth, sloths));
    eventually("the end", || sidecar.shared.local().connections == 1).await;
    drop(send);
    let counted = sidecar.finish().await;
    assert!(counted.of("v1").class(Class::Cancelled) >= 5);
}

#[tokio::test]
async fn one_connection_carries_grpc_and_everything_else() {
    let grpc = Upstream::h2(|_| std::future::ready(done(message(b"grpc")))).await;
    let sidecar = Setup::new(&grpc.url, &grpc.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    for n in 0..6 {
        if n % 2 == 0 {
            let response = send.send_request(call(body(message(b"x")))).await.unwrap();
            assert_eq!(
                response.into_body().collect().await.unwrap().to_bytes(),
                message(b"grpc")
            );
            continue;
        }
        // The endpoint speaks HTTP/2 only: what counts is that the answer is HTTP's.
        let request = Request::get("http://ml.local/v2/health/ready").body(body(""));
        let response = send.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 502);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert!(text.starts_with(b"serinus: "));
    }
}

#[tokio::test]
async fn a_drain_lets_a_stream_end() {
    let upstream = Upstream::h2(|request: Request<Incoming>| async move {
        let body = request.into_body().map_err(std::io::Error::other);
        let body = body.with_trailers(std::future::ready(Some(Ok(trailers()))));
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(body.boxed_unsync()).unwrap()
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    let (feed, request) = fed();
    feed.send(message(b"one")).unwrap();
    let response = send.send_request(call(request)).await.unwrap();
    let mut answer = response.into_body();
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, message(b"one"));
    let mut watcher = Peer::connect(&sidecar).await;
    watcher.until(SETTINGS).await;
    sidecar.start_draining();
    watcher.until(GOAWAY).await;
    drop(watcher);
    feed.send(message(b"two")).unwrap();
    drop(feed);
    let rest = answer.collect().await.unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(rest.to_bytes(), message(b"two"));
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 1);
}

#[tokio::test]
async fn padding_is_taken_off_and_given_back() {
    let upstream = Upstream::h2(|request: Request<Incoming>| async move {
        let whole = request.into_body().collect().await.unwrap().to_bytes();
        done(whole.len().to_string())
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut peer = Peer::connect(&sidecar).await;
    peer.write(&frame(HEADERS, END_HEADERS, 1, &fields(&CALL)))
        .await;
    let text = message(&[7; 3_000_000]);
    let mut window = 0i64;
    for part in text.chunks(16_000) {
        let mut padded = vec![200];
        padded.extend(part);
        padded.extend([0; 200]);
        while window + (256 << 10) < padded.len() as i64 {
            let update = peer.until(WINDOW).await;
            if update.stream == 1 {
                window += i64::from(update.code());
            }
        }
        window -= padded.len() as i64;
        peer.write(&frame(DATA, 8, 1, &padded)).await;
    }
    peer.write(&frame(DATA, END_STREAM, 1, b"")).await;
    assert_eq!(
        peer.until(DATA).await.payload,
        text.len().to_string().as_bytes()
    );
}
