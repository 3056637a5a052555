//! Serves HTTP/1.1 on connections that were let in.

use crate::listen::{Incoming, Stream};
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serinus_runtime::shutdown::Drain;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::codegen::Service as _;

/// How long a request's head may take, and an idle connection stay.
const HEAD: Duration = Duration::from_secs(10);
/// Longest head, bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves until the drain, then until every request has been answered.
pub(super) async fn serve(mut incoming: Incoming, router: Router, mut drain: Drain) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            stream = incoming.recv() => match stream {
                Some(stream) => {
                    open.spawn(connection(stream, router.clone(), drain.clone()));
                }
                None => break,
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
            () = drain.wait() => break,
        }
    }
    drop(incoming);
    while open.join_next().await.is_some() {}
}

async fn connection(stream: Stream, router: Router, mut drain: Drain) {
    let peer = stream.peer().clone();
    let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.clone().call(request)
    });
    let mut served = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), answer)
    );
    // How a connection breaks is no news.
    tokio::select! {
        _ = served.as_mut() => return,
        () = drain.wait() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}
