//! Tells systemd which process serves (`sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// This process serves, and is the unit's main one. Without systemd nothing happens.
pub(super) fn serving() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let state = format!("READY=1\nMAINPID={}", std::process::id());
    if let Err(error) = send(&path, state.as_bytes()) {
        tracing::warn!(%error, "systemd cannot be told that the sidecar serves");
    }
}

fn send(path: &OsStr, state: &[u8]) -> io::Result<()> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(state, &address)
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), b"READY=1").unwrap();
        let mut heard = [0; 16];
        let n = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..n], b"READY=1");
        assert!(send(OsStr::new("/nobody/there"), b"x").is_err());
    }
}
