//! Connections kept, closed and cut.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn post() -> Post {
    Post {
        uri: Uri::from_static("/x"),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

/// Answers `calls` calls on one connection, then closes it.
async fn answer(listener: &TcpListener, calls: usize) {
    let (mut stream, _) = listener.accept().await.unwrap();
    for _ in 0..calls {
        let mut seen = Vec::new();
        while !seen.ends_with(b"{}") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_a_closed_one_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = Pool::new(listener.local_addr().unwrap());
    let first = tokio::spawn(async move {
        answer(&listener, 2).await;
        listener
    });
    for _ in 0..2 {
        assert_eq!(pool.call(post()).await.unwrap().body, "ok");
    }
    let listener = first.await.unwrap();
    while pool
        .idle
        .lock()
        .unwrap()
        .iter()
        .any(|sender| !sender.is_closed())
    {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(async move { answer(&listener, 1).await });
    assert_eq!(pool.call(post()).await.unwrap().status, StatusCode::OK);
    second.await.unwrap();
}

#[tokio::test]
async fn nobody_listening_and_a_cut_answer_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = Pool::new(listener.local_addr().unwrap());
    let cut = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"{}") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
            .await
            .unwrap();
    });
    assert!(matches!(
        pool.call(post()).await,
        Err(CallError::Exchange(_))
    ));
    cut.await.unwrap();
    assert!(matches!(
        pool.call(post()).await,
        Err(CallError::Connect(_))
    ));
}
