//! Accepting connections, serving them, and draining.

use super::connection::{Order, State};
use super::io::ClientIo;
use super::{DrainPatience, LocalExecutor, Sealed, Worker, seal};
use crate::fast::{self, HandOver};
use crate::h2;
use crate::listen::{Arrived, Listeners, Socket};
use crate::net::Stream;
use crate::proxy;
use crate::shared::Count;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serinus_runtime::shutdown::Drain;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// After an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// For connections to end that were told to end now.
const ABORT: Duration = Duration::from_secs(1);

/// Bounds of one client's HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// One read buffer: at least a head, and large enough that a large body takes few reads.
const READ_BUFFER: usize = 256 << 10;

const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 56\r\n\r\nserinus: too many open connections (limits.connections)\n";

/// The life of a worker: serve, drain, seal.
pub(super) async fn run(
    worker: Rc<Worker>,
    sockets: Vec<Socket>,
    sealed: UnboundedSender<Sealed>,
    mut drain: Drain,
    patience: DrainPatience,
) {
    let ticking = tokio::task::spawn_local(Rc::clone(&worker.deadlines).run());
    let sealing = tokio::task::spawn_local(seal::run(Rc::clone(&worker), sealed.clone()));
    match Listeners::new(sockets) {
        Ok(listeners) => {
            let servers = Rc::new(Servers::new(&worker));
            tokio::select! {
                () = accept(&worker, &servers, &listeners) => {}
                () = drain.wait() => {}
            }
            for arrived in listeners.close() {
                take(&worker, &servers, arrived);
            }
        }
        Err(error) => tracing::error!(%error, "cannot listen"),
    }
    retire(&worker, patience.linger).await;
    worker.connections.order_all(Order::Finish);
    if tokio::time::timeout(patience.finish, emptied(&worker))
        .await
        .is_err()
    {
        tracing::warn!(
            connections = worker.connections.count(),
            "the grace period is over"
        );
        worker.connections.order_all(Order::Abort);
        // So that what they were doing is booked before the last seal.
        let _ = tokio::time::timeout(ABORT, emptied(&worker)).await;
    }
    sealing.abort();
    ticking.abort();
    worker.seal(&sealed, true);
}

/// Connections end with their next answer; those that get none are left after `linger`.
async fn retire(worker: &Worker, linger: Duration) {
    worker.connections.order_all(Order::Retire);
    let _ = tokio::time::timeout(linger, emptied(worker)).await;
}

/// Ends when no connection is open.
async fn emptied(worker: &Worker) {
    while worker.connections.count() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(worker: &Rc<Worker>, servers: &Rc<Servers>, listeners: &Listeners) {
    loop {
        match listeners.accept().await {
            Ok(arrived) => take(worker, servers, arrived),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn take(worker: &Rc<Worker>, servers: &Rc<Servers>, arrived: Arrived) {
    if worker.connections.count() >= worker.limits.connections {
        worker.shared.count(Count::ConnectionRefused);
        // It is lost on a client that has not read by now.
        let _ = arrived.try_write(TURNED_AWAY);
        return;
    }
    let state = worker.connections.add(&worker.deadlines);
    let serve = Rc::clone(servers).serve(Rc::clone(worker), arrived, state);
    tokio::task::spawn_local(serve);
}

/// Shakes hands, where TLS is wanted.
async fn open(worker: &Worker, arrived: Arrived) -> io::Result<Stream> {
    let stream = match arrived {
        Arrived::Unix(stream) => return Ok(stream.into()),
        Arrived::Tcp(stream) => stream,
    };
    stream.set_nodelay(true)?;
    match &worker.tls.accept {
        Some(tls) if tls.is_wanted(&stream).await? => {
            Ok(Box::pin(tls.accept(stream)).await?.into())
        }
        _ => Ok(stream.into()),
    }
}

struct Servers {
    h1: http1::Builder,
    h2: http2::Builder<LocalExecutor>,
}

impl Servers {
    fn new(worker: &Worker) -> Self {
        let head_bytes = worker.limits.head_bytes;
        let mut h1 = http1::Builder::new();
        // No `pipeline_flush`: with it the answer to a head that cannot be parsed is never sent.
        h1.max_buf_size(READ_BUFFER.max(head_bytes))
            .preserve_header_case(true);
        let mut h2 = http2::Builder::new(LocalExecutor);
        h2.max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX));
        Self { h1, h2 }
    }

    async fn serve(self: Rc<Self>, worker: Rc<Worker>, arrived: Arrived, state: Rc<State>) {
        worker.shared.connections(1);
        let served = self.serve_stream(&worker, arrived, &state).await;
        if let Err(error) = served {
            tracing::debug!(%error, "a client's connection has failed");
        }
        worker.shared.connections(-1);
    }

    async fn serve_stream(
        &self,
        worker: &Rc<Worker>,
        arrived: Arrived,
        state: &Rc<State>,
    ) -> io::Result<()> {
        let opening = pin!(open(worker, arrived));
        let Some(stream) = unless(Order::Finish, state, opening).await else {
            return Ok(());
        };
        match fast::serve(Rc::clone(worker), Rc::clone(state), stream?).await? {
            Some(rest) => Box::pin(self.go_on(worker, rest, state)).await,
            None => Ok(()),
        }
    }

    /// What the fast path does not serve.
    async fn go_on(
        &self,
        worker: &Rc<Worker>,
        rest: HandOver,
        state: &Rc<State>,
    ) -> io::Result<()> {
        let (for_request, of_connection) = (Rc::clone(worker), Rc::clone(state));
        let service = service_fn(move |request| {
            proxy::serve(Rc::clone(&for_request), of_connection.begin(), request)
        });
        if rest.is_h2 {
            state.speaks_h2();
            let server = self.h2.clone();
            let open_inner = Box::new(move |stream: Stream| {
                let served = server.serve_connection(TokioIo::new(stream), service.clone());
                tokio::task::spawn_local(served);
            });
            let (worker, state) = (Rc::clone(worker), Rc::clone(state));
            return h2::serve(worker, state, (rest.stream, rest.early), open_inner).await;
        }
        let io = ClientIo::new(rest, Rc::clone(worker), Rc::clone(state));
        let mut connection = self.h1.serve_connection(io, service);
        let driven = Pin::new(&mut connection);
        drive(state, Order::Finish, driven, |c| c.graceful_shutdown()).await?;
        if let Some(tunnel) = state.take_tunnel() {
            let parts = connection.into_parts();
            let (stream, unread) = parts.io.into_inner();
            let early = [&parts.read_buf[..], &unread].concat();
            let run = pin!(tunnel.run(stream, early.into()));
            return unless(Order::Abort, state, run).await.unwrap_or(Ok(()));
        }
        Ok(())
    }
}

/// Polls a connection to its end, or until it is told to abort. HTTP/2 takes requests that are on their way even after
/// it was told to finish.
async fn drive<C>(
    state: &State,
    last: Order,
    mut connection: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>),
) -> io::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut finishing = false;
    std::future::poll_fn(|cx| {
        let order = state.ordered(cx.waker());
        if order == Order::Abort {
            return Poll::Ready(Ok(()));
        }
        if order >= last && !std::mem::replace(&mut finishing, true) {
            finish(connection.as_mut());
        }
        connection.as_mut().poll(cx).map_err(io::Error::other)
    })
    .await
}

/// What the future comes to, unless the connection is told `order` or more.
async fn unless<F: Future>(
    order: Order,
    state: &State,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        if state.ordered(cx.waker()) >= order {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
