//! Accepting connections, serving them, and draining.

use super::connection::{Order, State};
use super::io::ClientIo;
use super::{LocalExecutor, Sealed, Worker, seal};
use crate::h2;
use crate::net::Stream;
use crate::proxy;
use crate::shared::Count;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serinus_runtime::shutdown::Drain;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;

const BACKLOG: i32 = 1024;

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

/// One listening socket per worker, all on one port.
pub(super) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let mut address = address;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if workers > 1 {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = std::net::TcpListener::from(socket);
        // Port 0 is settled by the first one.
        address = listener.local_addr()?;
        sockets.push(listener);
    }
    Ok(sockets)
}

/// The life of a worker: serve, drain, seal.
pub(super) async fn run(
    worker: Rc<Worker>,
    socket: std::net::TcpListener,
    sealed: UnboundedSender<Sealed>,
    mut drain: Drain,
    grace: Duration,
) {
    let ticking = tokio::task::spawn_local(Rc::clone(&worker.deadlines).run());
    let sealing = tokio::task::spawn_local(seal::run(Rc::clone(&worker), sealed.clone()));
    match TcpListener::from_std(socket) {
        Ok(listener) => tokio::select! {
            () = accept(&worker, listener) => {}
            () = drain.wait() => {}
        },
        Err(error) => tracing::error!(%error, "cannot listen"),
    }
    worker.connections.order_all(Order::Finish);
    if tokio::time::timeout(grace, emptied(&worker)).await.is_err() {
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

/// Ends when no connection is open.
async fn emptied(worker: &Worker) {
    while worker.connections.count() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(worker: &Rc<Worker>, listener: TcpListener) {
    let servers = Rc::new(Servers::new(worker));
    loop {
        match listener.accept().await {
            Ok((stream, _)) if worker.connections.count() >= worker.limits.connections => {
                worker.shared.count(Count::ConnectionRefused);
                // It is lost on a client that has not read by now.
                let _ = stream.try_write(TURNED_AWAY);
            }
            Ok((stream, _)) => {
                let state = worker.connections.add(&worker.deadlines);
                let serve = Rc::clone(&servers).serve(Rc::clone(worker), stream, state);
                tokio::task::spawn_local(serve);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
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
        h1.max_buf_size(READ_BUFFER.max(head_bytes));
        let mut h2 = http2::Builder::new(LocalExecutor);
        h2.max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX));
        Self { h1, h2 }
    }

    async fn serve(self: Rc<Self>, worker: Rc<Worker>, stream: TcpStream, state: Rc<State>) {
        worker.shared.connections(1);
        let served = self.serve_stream(&worker, stream, &state).await;
        if let Err(error) = served {
            tracing::debug!(%error, "a client's connection has failed");
        }
        worker.shared.connections(-1);
    }

    async fn serve_stream(
        &self,
        worker: &Rc<Worker>,
        stream: TcpStream,
        state: &Rc<State>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let opening = pin!(ClientIo::open(stream.into(), Rc::clone(state)));
        let Some(opened) = unless(Order::Finish, state, opening).await else {
            return Ok(());
        };
        let Some((io, is_h2)) = opened? else {
            return Ok(());
        };
        let (for_request, of_connection) = (Rc::clone(worker), Rc::clone(state));
        let service = service_fn(move |request| {
            proxy::serve(Rc::clone(&for_request), of_connection.begin(), request)
        });
        if is_h2 {
            state.speaks_h2();
            let server = self.h2.clone();
            let open_inner = Box::new(move |stream: Stream| {
                let served = server.serve_connection(TokioIo::new(stream), service.clone());
                tokio::task::spawn_local(served);
            });
            let (worker, state) = (Rc::clone(worker), Rc::clone(state));
            return h2::serve(worker, state, io.into_inner(), open_inner).await;
        }
        let mut connection = self.h1.serve_connection(io, service);
        drive(state, Pin::new(&mut connection), |c| c.graceful_shutdown()).await?;
        if let Some(tunnel) = state.take_tunnel() {
            let parts = connection.into_parts();
            let run = pin!(tunnel.run(parts.io.into_inner(), parts.read_buf));
            return unless(Order::Abort, state, run).await.unwrap_or(Ok(()));
        }
        Ok(())
    }
}

/// Polls a connection to its end, or until it is told to abort.
async fn drive<C>(
    state: &State,
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
        if order == Order::Finish && !std::mem::replace(&mut finishing, true) {
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
