//! What one caller may cost, and connections that are used again.

use crate::client::{Client, infer};
use crate::sidecar::{Setup, eventually};
use crate::upstream::{Model, Upstream};
use http::StatusCode;
use serinus_common::class::Class;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn too_many_requests_in_flight_are_answered_at_once_and_booked_on_nobody() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    v1.hangs.store(true, Ordering::SeqCst);
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0)
        .limits(|limits| limits.in_flight_per_variant = 2)
        .start();
    let addr = sidecar.addr;
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(async move { Client::connect(addr).await.infer("ana").await }))
        .collect();
    eventually("two calls", || v1.called() == 2).await;
    let mut client = Client::connect(addr).await;
    let got = client.infer("ana").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.headers["retry-after"], "1");
    assert_eq!(sidecar.shared.local().shed, 1);
    waiting.iter().for_each(|task| task.abort());
    v1.hangs.store(false, Ordering::SeqCst);
    let mut last = client.infer("ana").await;
    while last.status != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(2)).await;
        last = client.infer("ana").await;
    }
    drop(client);
    let counted = sidecar.finish().await;
    let stable = counted.of("v1");
    assert_eq!((stable.assigned, stable.class(Class::Overload)), (3, 0));
    assert_eq!(
        (stable.class(Class::Ok), stable.class(Class::Cancelled)),
        (1, 2)
    );
}

#[tokio::test]
async fn stable_answers_for_a_canary_with_too_many_requests_in_flight() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v2.hangs.store(true, Ordering::SeqCst);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0)
        .limits(|limits| limits.in_flight_per_variant = 2)
        .start();
    let addr = sidecar.addr;
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(async move { Client::connect(addr).await.infer("ana").await }))
        .collect();
    eventually("two calls", || v2.called() == 2).await;
    let mut client = Client::connect(addr).await;
    let got = client.infer("ana").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.headers["x-serinus-variant"], "v1");
    assert_eq!(sidecar.shared.local().shed, 0);
    waiting.iter().for_each(|task| task.abort());
    drop(client);
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!((canary.assigned, canary.rescued), (3, 1));
    assert_eq!((canary.class(Class::Overload), canary.user_errors), (1, 0));
}

#[tokio::test]
async fn bodies_and_heads_have_a_bound() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0)
        .limits(|limits| {
            limits.body_bytes = 1000;
            limits.head_bytes = 4000;
        })
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    assert_eq!(
        client.get(infer("ana", vec![0; 1000])).await.status,
        StatusCode::OK
    );
    let got = client.get(infer("ana", vec![0; 1001])).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(got.text.contains("limits.body_bytes"));
    let mut client = Client::connect(sidecar.addr).await;
    let mut long = infer("ana", "");
    long.headers_mut()
        .insert("x-long", "y".repeat(4000).parse().unwrap());
    assert_eq!(
        client.get(long).await.status,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    let chunked =
        b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut bare = TcpStream::connect(sidecar.addr).await.unwrap();
    bare.write_all(chunked).await.unwrap();
    bare.write_all(format!("7d0\r\n{}\r\n0\r\n\r\n", "z".repeat(2000)).as_bytes())
        .await
        .unwrap();
    let mut answer = [0; 12];
    bare.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    drop((client, bare));
    let counted = sidecar.finish().await;
    let stable = counted.of("v1");
    // The chunked one had begun; it is the caller's own doing.
    assert_eq!(
        (stable.class(Class::Ok), stable.class(Class::Cancelled)),
        (1, 1)
    );
    assert_eq!((stable.class(Class::Client), stable.user_errors), (0, 0));
}

#[tokio::test]
async fn too_many_connections_are_turned_away() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0)
        .limits(|limits| limits.connections = 1)
        .start();
    let mut first = Client::connect(sidecar.addr).await;
    assert_eq!(first.infer("ana").await.status, StatusCode::OK);
    let mut second = TcpStream::connect(sidecar.addr).await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", text.len())),
        "{head}"
    );
    assert_eq!(first.infer("ana").await.status, StatusCode::OK);
    assert_eq!(sidecar.shared.local().connections_refused, 1);
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0)
        .limits(|limits| limits.header_timeout = Duration::from_millis(100))
        .start();
    let mut slow = TcpStream::connect(sidecar.addr).await.unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nhost:").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    let mut silent = TcpStream::connect(sidecar.addr).await.unwrap();
    silent.read_to_end(&mut answer).await.unwrap();
    eventually("no connection", || sidecar.shared.local().connections == 0).await;
}

#[tokio::test]
async fn ambiguous_requests_never_reach_the_model() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0).start();
    for head in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length : 5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "x: a\r\n folded: b\r\n",
    ] {
        let mut bare = TcpStream::connect(sidecar.addr).await.unwrap();
        let request = format!("POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\n{head}\r\n");
        bare.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = bare.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
    }
    assert_eq!(v1.called(), 0);
}

#[tokio::test]
async fn connections_to_the_model_are_used_again() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0).start();
    for _ in 0..3 {
        let mut client = Client::connect(sidecar.addr).await;
        for _ in 0..20 {
            assert_eq!(client.infer("ana").await.status, StatusCode::OK);
        }
    }
    assert_eq!((v1.called(), stable.connected()), (60, 1));
}

#[tokio::test]
async fn a_pooled_connection_that_dies_costs_the_user_nothing() {
    // Answers one request per connection, then closes at the sight of the next one, as some model servers do.
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let upstream = Upstream::bare(move |mut stream| {
        let served = Arc::clone(&counter);
        async move {
            let mut buffer = vec![0; 8192];
            let _ = stream.read(&mut buffer).await;
            served.fetch_add(1, Ordering::SeqCst);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            let _ = stream.read(&mut buffer[..1]).await;
        }
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.5).start();
    let mut client = Client::connect(sidecar.addr).await;
    for n in 0..50 {
        let got = client.infer(&format!("user-{n}")).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "ok"));
    }
    assert_eq!(served.load(Ordering::SeqCst), 50);
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!(s.class(Class::Ok) + c.class(Class::Ok), 50);
    assert_eq!(
        (s.class(Class::Model), c.class(Class::Model), c.rescued),
        (0, 0, 0)
    );
}
