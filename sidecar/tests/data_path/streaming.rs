//! Bodies pass as they arrive.

use crate::client::{Client, SentBody, body, h2, infer, user_of};
use crate::sidecar::{Setup, eventually};
use crate::upstream::{AnswerBody, Upstream, full};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serinus_common::class::Class;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;

type Parts = UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

fn open_body() -> (Parts, SentBody) {
    let (send, receive) = unbounded_channel();
    let body = StreamBody::new(UnboundedReceiverStream::new(receive));
    (send, body.boxed_unsync())
}

fn part(text: impl Into<Bytes>) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(text.into()))
}

async fn echo(request: Request<Incoming>) -> Response<AnswerBody> {
    Response::new(
        request
            .into_body()
            .map_err(std::io::Error::other)
            .boxed_unsync(),
    )
}

async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    Some(body.frame().await?.map(|frame| frame.into_data().unwrap()))
}

#[tokio::test]
async fn a_large_body_goes_through_both_ways_while_it_is_being_sent() {
    let upstream = Upstream::h1(echo).await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.5).start();
    let mut client = Client::connect(sidecar.addr).await;
    let (parts, body) = open_body();
    let request = infer("ana", "").map(|_| body);
    // The answer begins before the request has ended.
    parts.send(part("begin")).unwrap();
    let mut answer = client.send(request).await.into_body();
    assert_eq!(next(&mut answer).await.unwrap().unwrap(), "begin");
    let block = Bytes::from(vec![7u8; 64 << 10]);
    let (mut sent, mut got) = (0usize, 0usize);
    for _ in 0..320 {
        parts.send(part(block.clone())).unwrap();
        sent += block.len();
        while got + (1 << 20) < sent {
            got += next(&mut answer).await.unwrap().unwrap().len();
        }
    }
    drop(parts);
    while let Some(data) = next(&mut answer).await {
        got += data.unwrap().len();
    }
    assert_eq!(got, 20 << 20);
    let counted = sidecar.finish().await;
    let bytes = counted.of("v1").response_bytes + counted.of("v2").response_bytes;
    assert_eq!(bytes, (20 << 20) + 5);
}

#[tokio::test]
async fn events_are_not_held_back() {
    let (events, receive) = unbounded_channel();
    let receive = Arc::new(std::sync::Mutex::new(Some(receive)));
    let upstream = Upstream::h1(move |_| {
        let receive = receive.lock().unwrap().take().unwrap();
        async move {
            let body = StreamBody::new(UnboundedReceiverStream::new(receive));
            let mut response = Response::new(body.boxed_unsync());
            response
                .headers_mut()
                .insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let response = client.send(infer("ana", "")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for n in 0..5 {
        let event = format!("data: {n}\n\n");
        events.send(part(event.clone())).unwrap();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), event);
    }
    drop(events);
    assert!(next(&mut body).await.is_none());
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_reaches_the_caller_as_broken() {
    let seen = Arc::new(Notify::new());
    let gate = Arc::clone(&seen);
    let upstream = Upstream::bare(move |mut stream| {
        let seen = Arc::clone(&gate);
        async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
            let _ = stream.write_all(head).await;
            seen.notified().await;
        }
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let response = client.send(infer("ana", "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "abc");
    seen.notify_one();
    assert!(next(&mut body).await.unwrap().is_err());
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Model), 1);
    assert_eq!(counted.of("v1").user_errors, 1);
}

#[tokio::test]
async fn what_came_before_the_break_reaches_the_caller() {
    let upstream = Upstream::bare(|mut stream| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let parts =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n";
        let _ = stream.write_all(parts).await;
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
        let request = b"GET /x HTTP/1.1\r\nhost: a\r\nx-user-id: ana\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got).await;
        let got = String::from_utf8(got).unwrap();
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got:?}");
        assert!(got.contains("abc") && got.contains("def"), "{got:?}");
        assert!(!got.ends_with("\r\n0\r\n\r\n"), "{got:?}");
    }
    let mut send = h2(sidecar.addr).await;
    for _ in 0..20 {
        let request = Request::get("http://a/x").header("x-user-id", "ana");
        let answer = send.send_request(request.body(body("")).unwrap()).await;
        let mut answer = answer.unwrap().into_body();
        let mut got = Vec::new();
        let end = loop {
            match next(&mut answer).await {
                Some(Ok(data)) => got.extend_from_slice(&data),
                end => break end,
            }
        };
        assert_eq!(got, b"abcdef");
        assert!(end.is_some_and(|end| end.is_err()));
    }
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Model), 40);
}

#[tokio::test]
async fn an_answer_before_the_whole_request_leaves_the_connection_open() {
    let upstream = Upstream::bare(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    let length = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n".as_slice();
    let chunks = b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let bodies = [b"hello".as_slice(), b"2\r\nhe\r\n0\r\n\r\n"];
    for (head, body) in [length, chunks].into_iter().zip(bodies).cycle().take(10) {
        stream.write_all(head).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\nno") {
            got.push(stream.read_u8().await.unwrap());
        }
        let got = String::from_utf8(got).unwrap();
        assert!(got.starts_with("HTTP/1.1 404 Not Found\r\n"), "{got:?}");
        assert!(!got.contains("connection: close"), "{got:?}");
        stream.write_all(body).await.unwrap();
    }
    drop(stream);
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Client), 10);
}

#[tokio::test]
async fn the_head_of_a_long_request_does_not_wait_for_its_body() {
    let arrived = Arc::new(Notify::new());
    let arrives = Arc::clone(&arrived);
    let upstream = Upstream::h1(move |request: Request<Incoming>| {
        arrives.notify_one();
        echo(request)
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    // The second one goes over a connection that is there already.
    for _ in 0..2 {
        let (parts, body) = open_body();
        let mut request = infer("ana", "").map(|_| body);
        let length = (2 << 20).to_string().parse().unwrap();
        request.headers_mut().insert("content-length", length);
        let answer = client.send(request);
        let sending = async {
            arrived.notified().await;
            parts.send(part(vec![7; 2 << 20])).unwrap();
            drop(parts);
        };
        let both = async { tokio::join!(answer, sending).0 };
        let answer = tokio::time::timeout(Duration::from_secs(10), both).await;
        let body = answer.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes().len(), 2 << 20);
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_nobodys_failure() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let upstream = Upstream::h1(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<Response<AnswerBody>>()
    })
    .await;
    let share = 0.5;
    let sidecar = Setup::new(&upstream.url, &upstream.url, share).start();
    for variant in ["v1", "v2"] {
        let user = user_of(variant, share, 0);
        let before = asked.load(Ordering::SeqCst);
        let calling = tokio::spawn(async move {
            let mut client = Client::connect(sidecar.addr).await;
            client.infer(&user).await
        });
        eventually("the call", || asked.load(Ordering::SeqCst) > before).await;
        calling.abort();
    }
    eventually("the end of both connections", || {
        sidecar.shared.local().connections == 0
    })
    .await;
    let counted = sidecar.finish().await;
    for variant in ["v1", "v2"] {
        let tally = counted.of(variant);
        assert_eq!(tally.class(Class::Cancelled), 1, "{variant}");
        assert_eq!((tally.user_errors, tally.rescued), (0, 0));
        assert!(tally.latency.is_empty());
    }
}

#[tokio::test]
async fn a_body_without_length_or_content_is_passed_on() {
    let upstream = Upstream::h1(|request: Request<Incoming>| async move {
        let mut response = Response::new(full(""));
        if request.method() == http::Method::HEAD {
            response
                .headers_mut()
                .insert("content-length", "5".parse().unwrap());
        } else {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..3 {
        let got = client.infer("ana").await;
        assert_eq!(got.status, StatusCode::NO_CONTENT);
        let mut head = infer("ana", "");
        *head.method_mut() = http::Method::HEAD;
        let got = client.get(head).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, ""));
        assert_eq!(got.headers["content-length"], "5");
    }
    assert_eq!(upstream.connected(), 1, "the connection is used again");
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 6);
}

#[tokio::test]
async fn a_websocket_is_passed_through() {
    let upstream = Upstream::bare(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(String::from_utf8(head).unwrap().contains("upgrade: websocket"));
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello ";
        stream.write_all(agreed).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let mut request = infer("ana", "");
    *request.method_mut() = http::Method::GET;
    request
        .headers_mut()
        .insert("connection", "Upgrade".parse().unwrap());
    request
        .headers_mut()
        .insert("upgrade", "websocket".parse().unwrap());
    let response = client.send(request).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["x-serinus-variant"], "v2");
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut got = vec![0; 10];
    stream.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, b"hello ping");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut got).await.unwrap(), 0);
    drop(stream);
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v2").class(Class::Ok), 1);
}
