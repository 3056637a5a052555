//! A stop loses nothing.

use crate::client::{Client, infer};
use crate::sidecar::{Setup, eventually};
use crate::upstream::{AnswerBody, Model, Upstream, full};
use http::{Response, StatusCode};
use serinus_common::class::Class;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;

#[tokio::test]
async fn requests_in_flight_are_answered_and_counted() {
    let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counter, gate) = (Arc::clone(&asked), Arc::clone(&go));
    let upstream = Upstream::h1(move |_| {
        let (asked, go) = (Arc::clone(&counter), Arc::clone(&gate));
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            go.notified().await;
            Response::new(full("done"))
        }
    })
    .await;
    let sidecar = Setup::new(&upstream.url, &upstream.url, 0.0).start();
    let addr = sidecar.addr;
    let idle = Client::connect(addr).await;
    let call = tokio::spawn(async move { Client::connect(addr).await.infer("ana").await });
    eventually("the call", || asked.load(Ordering::SeqCst) == 1).await;
    sidecar.start_draining();
    loop {
        // The port closes, and with it new connections.
        match TcpStream::connect(addr).await {
            Err(_) => break,
            Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    assert!(!sidecar.has_drained());
    go.notify_one();
    let got = call.await.unwrap();
    assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "done"));
    assert_eq!(got.headers["connection"], "close");
    let counted = sidecar.finish().await;
    drop(idle);
    assert_eq!(counted.in_cells("v1", |cell| cell.ok), 1);
    assert_eq!(counted.keys.len(), 1);
}

#[tokio::test]
async fn a_drain_ends_after_its_grace_period() {
    let upstream = Upstream::h1(|_| std::future::pending::<Response<AnswerBody>>()).await;
    let mut setup = Setup::new(&upstream.url, &upstream.url, 0.0);
    setup.drain.finish = Duration::from_millis(50);
    let sidecar = setup.start();
    let addr = sidecar.addr;
    let call = tokio::spawn(async move {
        let mut client = Client::connect(addr).await;
        client.send(infer("ana", "")).await
    });
    eventually("the call", || upstream.connected() == 1).await;
    let counted = sidecar.finish().await;
    assert!(call.await.is_err(), "its connection was closed");
    assert_eq!(counted.of("v1").class(Class::Cancelled), 1);
}

#[tokio::test]
async fn kept_connections_end_after_the_answer() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    assert_eq!(client.infer("ana").await.status, StatusCode::OK);
    // Returns only because the idle connection was closed.
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 1);
}

#[tokio::test]
async fn a_request_that_was_on_its_way_is_answered_with_a_goodbye() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let mut setup = Setup::new(&stable.url, &stable.url, 0.0);
    setup.drain.linger = Duration::from_secs(3600);
    let sidecar = setup.start();
    let mut kept = Client::connect(sidecar.addr).await;
    assert!(!kept.infer("ana").await.headers.contains_key("connection"));
    // Neither accepted perhaps, nor has it said anything.
    let mut fresh = Client::connect(sidecar.addr).await;
    sidecar.start_draining();
    let mut asked = 1;
    while kept.infer("ana").await.headers.get("connection").is_none() {
        asked += 1;
    }
    let got = fresh.infer("ana").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.headers["connection"], "close");
    // Ends long before the linger: everybody has been told.
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), asked + 2);
}
