//! Sockets that systemd has bound before the process started (`sd_listen_fds(3)`).

use crate::listen::Socket;
use anyhow::Context as _;
use listenfd::ListenFd;
use std::os::fd::OwnedFd;

/// Every listening socket that was passed on.
pub(super) fn sockets() -> anyhow::Result<Vec<Socket>> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..passed.len() {
        let fd = match passed.take_tcp_listener(at) {
            Ok(listener) => listener.map(OwnedFd::from),
            Err(_) => {
                let listener = passed.take_unix_listener(at);
                let listener =
                    listener.with_context(|| format!("systemd's socket {at} cannot be used"))?;
                listener.map(OwnedFd::from)
            }
        };
        if let Some(fd) = fd {
            sockets.push(Socket::inherit(fd).context("systemd's socket")?);
        }
    }
    Ok(sockets)
}
