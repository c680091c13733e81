//! Listening sockets: one per worker and address, sharing the port (`SO_REUSEPORT`), so that the kernel spreads new
//! connections and no worker waits for another. A unix socket is one, accepted from by all workers.

use super::ServeError;
use super::per_ip::PerIp;
use crate::settings::{ListenAddress, ListenerSettings};
use crate::socket::Socket;
use socket2::{Domain, Protocol, SockAddr, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 4_096;

/// An address with its sockets, before workers have taken them.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) address: ListenAddress,
    settings: Arc<ListenerSettings>,
    /// One permit an open connection, over all workers.
    permits: Arc<Semaphore>,
    per_ip: Option<Arc<PerIp>>,
    sockets: Vec<socket2::Socket>,
}

/// A worker's part of a listener.
#[derive(Debug)]
pub(super) struct WorkerSocket {
    pub(super) settings: Arc<ListenerSettings>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) per_ip: Option<Arc<PerIp>>,
    socket: socket2::Socket,
}

impl Bound {
    pub(super) fn bind(settings: ListenerSettings, workers: usize) -> Result<Self, ServeError> {
        let refused = |source: io::Error| ServeError::Bind {
            address: settings.address.clone(),
            reason: reason(&source),
            source,
        };
        let (address, sockets) = match &settings.address {
            ListenAddress::Tcp(a) => tcp(*a, workers).map(|(a, s)| (ListenAddress::Tcp(a), s)),
            ListenAddress::Unix(p) => unix(p, workers).map(|s| (ListenAddress::Unix(p.clone()), s)),
        }
        .map_err(refused)?;
        let permits = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let per_ip = settings.max_connections_per_ip.map(|max| Arc::new(PerIp::new(max)));
        Ok(Self { address, settings: Arc::new(settings), permits, per_ip, sockets })
    }

    pub(super) fn next_worker(&mut self) -> Option<WorkerSocket> {
        let socket = self.sockets.pop()?;
        let Self { settings, permits, per_ip, .. } = self;
        let (settings, permits, per_ip) = (settings.clone(), permits.clone(), per_ip.clone());
        Some(WorkerSocket { settings, permits, per_ip, socket })
    }

    pub(super) fn unix_path(&self) -> Option<PathBuf> {
        match &self.address {
            ListenAddress::Unix(p) => Some(p.clone()),
            ListenAddress::Tcp(_) => None,
        }
    }
}

fn reason(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::AddrInUse => "the address is in use by another process".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied (ports below 1024 need root)".to_owned(),
        _ => e.to_string(),
    }
}

fn tcp(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<socket2::Socket>)> {
    if address.port() != 0 {
        // Taken once without sharing: with SO_REUSEPORT alone, two processes of one user would both succeed and split the traffic.
        socket(address)?.bind(&address.into())?;
    }
    let first = listening(address)?;
    let actual = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(listening(actual)?);
    }
    Ok((actual, sockets))
}

fn listening(address: SocketAddr) -> io::Result<socket2::Socket> {
    let s = socket(address)?;
    s.set_reuse_port(true)?;
    s.bind(&address.into())?;
    s.listen(BACKLOG)?;
    Ok(s)
}

fn socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let s = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        s.set_only_v6(address.ip() != IpAddr::from([0u16; 8]))?;
    }
    s.set_reuse_address(true)?;
    s.set_nonblocking(true)?;
    Ok(s)
}

fn unix(path: &PathBuf, workers: usize) -> io::Result<Vec<socket2::Socket>> {
    // A socket file that nobody listens on is what a crash left behind.
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if std::fs::symlink_metadata(path)
        .is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type()))
    {
        std::fs::remove_file(path)?;
    }
    let s = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    s.set_nonblocking(true)?;
    s.bind(&SockAddr::unix(path)?)?;
    s.listen(BACKLOG)?;
    let mut all = (1..workers).map(|_| s.try_clone()).collect::<io::Result<Vec<_>>>()?;
    all.push(s);
    Ok(all)
}

/// A listener within a worker's runtime.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) fn new(socket: &WorkerSocket) -> io::Result<Self> {
        let s = socket.socket.try_clone()?;
        match socket.settings.address {
            ListenAddress::Tcp(_) => TcpListener::from_std(s.into()).map(Self::Tcp),
            ListenAddress::Unix(_) => UnixListener::from_std(s.into()).map(Self::Unix),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match self {
            Self::Tcp(l) => l.accept().await.map(|(s, peer)| (Socket::tcp(s), Some(peer.ip()))),
            Self::Unix(l) => l.accept().await.map(|(s, _)| (Socket::Unix(s), None)),
        }
    }
}
