//! A scripted backend: a server that does what its script says.
//!
//! All backends of a process run on one runtime with two threads. A killed backend keeps its port by a socket that is bound
//! and does not listen, so that connections are refused and nobody else gets the port.

use crate::address::Address;
use crate::record::{Received, Record};
use crate::script::{Reply, Step};
use crate::serve::{self, Scripted};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(2)
            .thread_name("backends")
            .enable_all()
            .build()
            .expect("threads can be started")
    })
}

/// Where a backend listens.
#[derive(Clone, Debug, Default)]
pub enum Place {
    /// 127.0.0.1, any free port.
    #[default]
    V4,
    /// `[::1]`, any free port.
    V6,
    /// A unix socket at this path.
    Unix(PathBuf),
}

/// A server that does what its script says. Dropping it kills it.
pub struct Backend {
    address: Address,
    scripted: Arc<Scripted>,
    /// Keeps the port while the backend is dead.
    _reserved: Option<TcpSocket>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: Arc<Notify>,
    task: JoinHandle<usize>,
}

/// What a backend does, before it is started.
pub struct BackendBuilder {
    scripted: Scripted,
    place: Place,
}

impl BackendBuilder {
    /// Where to listen; 127.0.0.1 if not said.
    #[must_use]
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// What to do with each request; [`Backend::start`]'s answer if not said.
    #[must_use]
    pub fn on_request(mut self, handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        self.scripted.handler = Box::new(handler);
        self
    }

    /// What to do with each connection (numbered from 0) before its first request: nothing if not said.
    #[must_use]
    pub fn on_connect(
        mut self,
        greeting: impl Fn(usize) -> Option<Vec<Step>> + Send + Sync + 'static,
    ) -> Self {
        self.scripted.greeting = Box::new(greeting);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn start(self) -> Backend {
        let (address, reserved) = match &self.place {
            Place::V4 => reserve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            Place::V6 => reserve(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
            Place::Unix(path) => (Address::Unix(path.clone()), None),
        };
        let backend = Backend {
            address,
            scripted: Arc::new(self.scripted),
            _reserved: reserved,
            running: Mutex::new(None),
        };
        backend.revive();
        backend
    }
}

fn reserve(at: SocketAddr) -> (Address, Option<TcpSocket>) {
    let socket = socket(at).expect("a loopback port is free");
    socket.bind(at).expect("a loopback port is free");
    let address = socket.local_addr().expect("a bound socket has an address");
    (Address::Tcp(address), Some(socket))
}

fn socket(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    Ok(socket)
}

impl Backend {
    /// Answers every request with status 200 and its id as body and in the header `X-Served-By`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(id: &str) -> Self {
        Self::builder(id).start()
    }

    /// Does this with every request.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn with(id: &str, handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::builder(id).on_request(handler).start()
    }

    /// To say more before it starts.
    pub fn builder(id: &str) -> BackendBuilder {
        let body = id.to_owned();
        let scripted = Scripted {
            id: id.to_owned(),
            record: Arc::default(),
            handler: Box::new(move |_| Reply::ok(body.clone())),
            greeting: Box::new(|_| None),
        };
        BackendBuilder { scripted, place: Place::default() }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.scripted.id
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its address as a backend's `url`.
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// Stops listening and resets every connection, like a process that dies. Returns how many requests were in flight.
    /// Does nothing to a dead one.
    pub fn kill(&self) -> usize {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return 0 };
        self.record().is_killed.store(true, SeqCst);
        running.stop.notify_one();
        let cut = runtime().block_on(running.task).unwrap_or(0);
        if let Address::Unix(path) = &self.address {
            // The path may be gone with its folder.
            let _ = std::fs::remove_file(path);
        }
        cut
    }

    /// Listens again where it did before. Does nothing to a living one.
    ///
    /// # Panics
    /// When it cannot listen there any more.
    pub fn revive(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return;
        }
        self.record().is_killed.store(false, SeqCst);
        let _inside = runtime().enter();
        let listener = match &self.address {
            Address::Tcp(at) => Listener::tcp(*at),
            Address::Unix(path) => UnixListener::bind(path).map(Listener::Unix),
        };
        let listener = listener.unwrap_or_else(|e| panic!("cannot listen at {}: {e}", self.address));
        let stop = Arc::new(Notify::new());
        let task = runtime().spawn(accept(listener, self.scripted.clone(), stop.clone()));
        *running = Some(Running { stop, task });
    }

    fn record(&self) -> &Record {
        &self.scripted.record
    }

    /// Every request whose head came, in their order (the first 65 536).
    pub fn requests(&self) -> Vec<Received> {
        self.record().all_requests()
    }

    /// How many requests came.
    pub fn request_count(&self) -> usize {
        self.record().request_count.load(SeqCst)
    }

    /// What came and was no request.
    pub fn malformed(&self) -> Vec<String> {
        self.record().all_malformed()
    }

    /// The bytes that came on each connection (the first MiB).
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.record().all_wire()
    }

    /// How many connections were ever made.
    pub fn connection_count(&self) -> usize {
        self.record().connection_count()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.record().open.load(SeqCst)
    }

    /// How many requests are being answered: from their head to just before the last bytes of the answer.
    pub fn in_flight(&self) -> usize {
        self.record().in_flight.load(SeqCst)
    }

    /// The most requests that were ever being answered at once.
    pub fn in_flight_max(&self) -> usize {
        self.record().in_flight_max.load(SeqCst)
    }

    /// How many bytes the kernel took from it.
    pub fn bytes_sent(&self) -> u64 {
        self.record().bytes_sent.load(SeqCst)
    }

    /// How many bytes came.
    pub fn bytes_received(&self) -> u64 {
        self.record().bytes_received.load(SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn tcp(at: SocketAddr) -> io::Result<Self> {
        let socket = socket(at)?;
        socket.bind(at)?;
        socket.listen(BACKLOG).map(Self::Tcp)
    }

    async fn accept(&self) -> io::Result<serve::Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(serve::Socket::Tcp(stream))
            }
            Self::Unix(listener) => Ok(serve::Socket::Unix(listener.accept().await?.0)),
        }
    }
}

/// Serves until it is stopped; returns how many requests were in flight then.
async fn accept(listener: Listener, scripted: Arc<Scripted>, stop: Arc<Notify>) -> usize {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.notified() => break,
            accepted = listener.accept() => if let Ok(socket) = accepted {
                connections.spawn(serve::connection(socket, scripted.clone()));
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let cut = scripted.record.in_flight.load(SeqCst);
    connections.shutdown().await;
    cut
}
