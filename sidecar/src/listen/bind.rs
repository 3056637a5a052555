//! Binding: what was inherited first, the rest anew.

use super::{Listen, Socket};
use socket2::{Domain, Protocol, SockAddr, Type};
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use thiserror::Error;

const BACKLOG: i32 = 1024;

/// How to listen.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where.
    pub addresses: Vec<Listen>,
    /// Threads that accept; each has a queue of its own on every TCP address.
    pub workers: usize,
    /// Other processes of the same user may listen on the same ports.
    pub reuse_port: bool,
    /// Permissions of Unix domain sockets.
    pub socket_mode: u32,
}

/// An address cannot be used.
#[derive(Debug, Error)]
#[error("listen: {address}: {source}")]
pub struct BindError {
    /// Which.
    pub address: Listen,
    /// Why.
    pub source: io::Error,
}

/// Sockets for every address: those of `inherited` that fit, else new ones. What nobody asked for is closed.
///
/// # Errors
/// See [`BindError`].
pub fn bind(plan: &Plan, inherited: Vec<Socket>) -> Result<Vec<Socket>, BindError> {
    let mut left: Vec<(Listen, Socket)> = inherited
        .into_iter()
        .filter_map(|socket| Some((socket.address().ok()?, socket)))
        .collect();
    let mut sockets = Vec::new();
    for address in &plan.addresses {
        let fits = |(bound, _): &mut (Listen, Socket)| address.is_met_by(bound);
        let mine: Vec<_> = left.extract_if(.., fits).collect();
        if mine.is_empty() {
            let bound = bind_one(plan, address).map_err(|source| BindError {
                address: address.clone(),
                source,
            })?;
            sockets.extend(bound);
        }
        sockets.extend(mine.into_iter().map(|(_, socket)| socket));
    }
    Ok(sockets)
}

fn bind_one(plan: &Plan, address: &Listen) -> io::Result<Vec<Socket>> {
    match address {
        Listen::Tcp(address) => bind_tcp(plan, *address),
        Listen::Unix(path) => Ok(vec![bind_unix(plan, path)?]),
    }
}

/// One socket per worker, all on one port.
fn bind_tcp(plan: &Plan, address: SocketAddr) -> io::Result<Vec<Socket>> {
    let mut address = address;
    let mut sockets = Vec::with_capacity(plan.workers);
    for _ in 0..plan.workers {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if plan.workers > 1 || plan.reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = std::net::TcpListener::from(socket);
        // Port 0 is settled by the first one.
        address = listener.local_addr()?;
        sockets.push(Socket::Tcp(listener));
    }
    Ok(sockets)
}

/// One socket for all workers. Nobody can connect before its permissions are set.
fn bind_unix(plan: &Plan, path: &Path) -> io::Result<Socket> {
    remove_stale(path)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(plan.socket_mode))?;
    socket.listen(BACKLOG)?;
    Ok(Socket::Unix(socket.into()))
}

/// Removes a socket that a process left behind: a file that is none, or one where somebody answers, stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(about) => about.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        let why = "there is a file that is no socket; remove it or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process answers there",
        )),
    }
}

/// Who accepts on what: every worker on every address, with its own queue where there are enough.
pub(crate) fn spread(sockets: Vec<Socket>, workers: usize) -> io::Result<Vec<Vec<Socket>>> {
    let mut groups: Vec<(Listen, Vec<Socket>)> = Vec::new();
    for socket in sockets {
        let address = socket.address()?;
        match groups.iter_mut().find(|(known, _)| *known == address) {
            Some((_, group)) => group.push(socket),
            None => groups.push((address, vec![socket])),
        }
    }
    let mut all: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    for (_, group) in groups {
        for worker in group.len()..workers {
            all[worker].push(group[worker % group.len()].try_clone()?);
        }
        for (at, socket) in group.into_iter().enumerate() {
            all[at % workers].push(socket);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(addresses: &[&str], workers: usize) -> Plan {
        Plan {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            workers,
            reuse_port: false,
            socket_mode: 0o600,
        }
    }

    fn addresses(sockets: &[Socket]) -> Vec<Listen> {
        sockets
            .iter()
            .map(|socket| socket.address().unwrap())
            .collect()
    }

    #[test]
    fn every_worker_accepts_everywhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = format!("unix:{}/s", directory.path().display());
        let sockets = bind(&plan(&["127.0.0.1:0", &path], 3), Vec::new()).unwrap();
        assert_eq!(sockets.len(), 4, "one per worker, and one for all");
        let all = spread(sockets, 3).unwrap();
        for mine in &all {
            assert_eq!(addresses(mine), addresses(&all[0]));
            assert_eq!(mine.len(), 2);
        }
    }

    #[test]
    fn inherited_sockets_come_first_and_none_is_left_alone() {
        let first = bind(&plan(&["127.0.0.1:0"], 3), Vec::new()).unwrap();
        let known = addresses(&first);
        let fewer = bind(&plan(&["127.0.0.1:0"], 2), first).unwrap();
        assert_eq!(addresses(&fewer), known);
        let all = spread(fewer, 2).unwrap();
        assert_eq!((all[0].len(), all[1].len()), (2, 1));
        let all: Vec<Socket> = all.into_iter().flatten().collect();
        let other = bind(&plan(&["127.0.0.1:0", "[::1]:0"], 4), all).unwrap();
        assert_eq!(other.len(), 3 + 4);
        let all = spread(other, 4).unwrap();
        assert!(all.iter().all(|mine| mine.len() == 2));
    }

    #[test]
    fn only_a_dead_socket_gives_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let plan = plan(&[&format!("unix:{}", path.display())], 1);
        let alive = bind(&plan, Vec::new()).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = bind(&plan, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("another process answers"), "{error}");
        drop(alive);
        assert!(path.exists());
        bind(&plan, Vec::new()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        let error = bind(&plan, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert!(path.exists());
    }
}
