//! What the two processes say: JSON, a line each, descriptors beside it.

use crate::listen::Socket;
use anyhow::{Context as _, bail, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Version of what is said.
pub(super) const PROTOCOL: u32 = 1;
/// What the system takes in one message.
const MOST: usize = 253;
/// Longest line.
const LINE: usize = 64 << 10;

/// In the order in which they are said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// New: I am of this sidecar, and want its sockets.
    TakeOver { protocol: u32, name: String },
    /// Old: you are not, or we do not understand each other.
    Refused { why: String },
    /// Old: here they are.
    Sockets { kinds: Vec<Kind> },
    /// New: give up the state directory.
    Release,
    /// Old: it is free.
    Released,
    /// New: I serve; end what you have begun.
    Serving,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Inference,
    Admin,
}

/// One connection between two processes of the same user.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    /// Read, but not yet asked for.
    early: Vec<u8>,
}

impl Wire {
    /// Takes nobody else's connection.
    pub(super) fn new(stream: UnixStream) -> anyhow::Result<Self> {
        let other = stream.peer_cred().context("read who is there")?.uid();
        let own = rustix::process::geteuid().as_raw();
        ensure!(
            other == own,
            "the process there belongs to user {other}, not {own}"
        );
        Ok(Self {
            stream,
            early: Vec::new(),
        })
    }

    /// Id of the process at the other end.
    pub(super) fn peer(&self) -> Option<i32> {
        self.stream.peer_cred().ok()?.pid()
    }

    pub(super) async fn send(
        &self,
        message: &Message,
        fds: &[BorrowedFd<'_>],
    ) -> anyhow::Result<()> {
        ensure!(
            fds.len() <= MOST,
            "{} sockets; at most {MOST} can be handed over: use fewer workers or addresses",
            fds.len()
        );
        let mut line = serde_json::to_vec(message).context("write a message")?;
        line.push(b'\n');
        let write = || send_once(&self.stream, &line, fds);
        let sent = timeout(
            super::ANSWER_WITHIN,
            self.stream.async_io(Interest::WRITABLE, write),
        );
        let sent = sent.await.context("it does not listen")??;
        // Far less than a socket's buffer, which is empty.
        ensure!(sent == line.len(), "a message was cut");
        Ok(())
    }

    /// The next message and the sockets that came with it.
    pub(super) async fn receive(
        &mut self,
        within: Duration,
    ) -> anyhow::Result<(Message, Vec<Socket>)> {
        let mut fds = Vec::new();
        let line = timeout(within, self.line(&mut fds)).await;
        let line = line.with_context(|| format!("it said nothing within {within:?}"))??;
        let message = serde_json::from_slice(&line).context("read a message")?;
        let sockets: io::Result<Vec<_>> = fds.into_iter().map(Socket::inherit).collect();
        Ok((message, sockets.context("take over a socket")?))
    }

    pub(super) async fn expect(
        &mut self,
        wanted: &Message,
        within: Duration,
    ) -> anyhow::Result<()> {
        let (got, _) = self.receive(within).await?;
        ensure!(got == *wanted, "it said {got:?} instead of {wanted:?}");
        Ok(())
    }

    async fn line(&mut self, fds: &mut Vec<OwnedFd>) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.early.iter().position(|&byte| byte == b'\n') {
                let rest = self.early.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.early, rest));
            }
            ensure!(self.early.len() < LINE, "a message is too long");
            let (early, stream) = (&mut self.early, &self.stream);
            let read = || receive_once(stream, early, fds);
            let n = self.stream.async_io(Interest::READABLE, read).await?;
            if n == 0 {
                bail!("it has hung up");
            }
        }
    }
}

fn send_once(stream: &UnixStream, line: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("no room for the sockets"));
    }
    let bytes = [IoSlice::new(line)];
    Ok(sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)?)
}

fn receive_once(
    stream: &UnixStream,
    into: &mut Vec<u8>,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        flags,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    into.extend_from_slice(&bytes[..got.bytes]);
    Ok(got.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[tokio::test]
    async fn messages_arrive_in_order_with_their_sockets() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, mut other) = (Wire::new(one).unwrap(), Wire::new(other).unwrap());
        let listeners: Vec<_> = (0..40)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let fds: Vec<_> = listeners.iter().map(|listener| listener.as_fd()).collect();
        let kinds = vec![Kind::Inference; fds.len()];
        let sockets = Message::Sockets { kinds };
        one.send(&sockets, &fds).await.unwrap();
        one.send(&Message::Released, &[]).await.unwrap();
        let within = Duration::from_secs(10);
        let (message, came) = other.receive(within).await.unwrap();
        assert_eq!(message, sockets);
        for (socket, listener) in came.iter().zip(&listeners) {
            let address = crate::listen::Listen::Tcp(listener.local_addr().unwrap());
            assert_eq!(socket.address().unwrap(), address);
        }
        assert_eq!(came.len(), listeners.len());
        other.expect(&Message::Released, within).await.unwrap();
        drop(one);
        let error = other.receive(within).await.unwrap_err().to_string();
        assert!(error.contains("hung up"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_listening_socket_is_not_taken() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, mut other) = (Wire::new(one).unwrap(), Wire::new(other).unwrap());
        let file = tempfile::tempfile().unwrap();
        one.send(&Message::Release, &[file.as_fd()]).await.unwrap();
        assert!(other.receive(Duration::from_secs(10)).await.is_err());
        one.send(&Message::Release, &[]).await.unwrap();
        let strange = other.expect(&Message::Serving, Duration::from_secs(10));
        assert!(strange.await.is_err());
    }
}
