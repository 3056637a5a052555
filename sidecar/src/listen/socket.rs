//! A listening socket, whoever bound it.

use super::Listen;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix domain socket.
    Unix(UnixListener),
}

impl Socket {
    /// From a descriptor that another process bound.
    ///
    /// # Errors
    /// If it is no listening socket of a kind that is served.
    pub fn inherit(fd: OwnedFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(fd);
        if !socket.is_listener()? {
            return Err(io::Error::other("the descriptor is no listening socket"));
        }
        socket.set_nonblocking(true)?;
        let domain = socket.domain()?;
        let fd = OwnedFd::from(socket);
        if domain == socket2::Domain::UNIX {
            return Ok(Self::Unix(fd.into()));
        }
        Ok(Self::Tcp(fd.into()))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says; or a Unix domain socket without a path.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname();
                let path = path.ok_or_else(|| io::Error::other("a socket without a path"))?;
                Ok(Listen::Unix(path.to_owned()))
            }
        }
    }

    /// The same socket once more: with the same queue of connections.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}
