//! Taking connections from several sockets.

use super::Socket;
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A new connection.
#[derive(Debug)]
pub(crate) enum Arrived {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Arrived {
    /// Writes without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }
}

/// The sockets of one worker.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
    /// Which one is asked first: each in turn.
    first: Cell<usize>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Socket::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Arrived::Tcp(stream)),
            Self::Unix(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Arrived::Unix(stream)),
        }
    }

    /// Everything that waits in the queue of the system.
    fn rest(self) -> io::Result<Vec<Arrived>> {
        let mut rest = Vec::new();
        match self {
            Self::Tcp(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    rest.push(Arrived::Tcp(TcpStream::from_std(stream)?));
                }
            }
            Self::Unix(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    rest.push(Arrived::Unix(UnixStream::from_std(stream)?));
                }
            }
        }
        Ok(rest)
    }
}

impl Listeners {
    pub(crate) fn new(sockets: Vec<Socket>) -> io::Result<Self> {
        let all: io::Result<Vec<_>> = sockets.into_iter().map(Listener::new).collect();
        Ok(Self {
            all: all?,
            first: Cell::new(0),
        })
    }

    /// The next connection of any of them.
    pub(crate) async fn accept(&self) -> io::Result<Arrived> {
        std::future::poll_fn(|cx| {
            let n = self.all.len();
            for step in 0..n {
                let at = (self.first.get() + step) % n;
                if let Poll::Ready(arrived) = self.all[at].poll_accept(cx) {
                    self.first.set((at + 1) % n);
                    return Poll::Ready(arrived);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Stops listening. Who had connected by then, as far as the system says so, is not turned away.
    pub(crate) fn close(self) -> Vec<Arrived> {
        let mut rest = Vec::new();
        for listener in self.all {
            match listener.rest() {
                Ok(arrived) => rest.extend(arrived),
                Err(error) => tracing::warn!(%error, "waiting connections cannot be taken"),
            }
        }
        rest
    }
}
