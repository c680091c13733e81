//! A small backend of the demo: an HTTP/1.1 server on a loopback port that takes its time, and can be made to misbehave.
//!
//! `GET /health` is answered at once; everything else after the backend's delay (± 20 %), with its id and the path as the body, so
//! that a client can tell whose answer it has and that it is its own. Killing it is what a crash looks like from outside: the
//! listener is gone and open connections are reset, requests in flight and all. Slow, it takes many times its delay; failing, it
//! answers 500 at once. Neither touches `/health`, as with a server whose database is the trouble.

use super::body_of;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How many times its delay a slow backend takes: 600 ms for the demo's third.
pub(crate) const SLOWNESS: u32 = 24;

/// One backend of the demo. Dropping it kills it.
pub(crate) struct DemoBackend {
    id: Arc<str>,
    delay: Duration,
    manners: Arc<Manners>,
    address: SocketAddr,
    /// Holds the port while the backend is dead, without listening: a connection attempt is refused, and nobody else can get it.
    _reservation: Socket,
    alive: Option<Alive>,
}

/// How it behaves just now; its connections look at it with each request.
#[derive(Default)]
struct Manners {
    slow: AtomicBool,
    failing: AtomicBool,
}

struct Alive {
    kill: watch::Sender<bool>,
    in_flight: Arc<AtomicUsize>,
    server: JoinHandle<usize>,
}

/// What a kill cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Killed {
    /// Connections that were reset.
    pub(crate) connections: usize,
    /// Requests that were under way on them.
    pub(crate) in_flight: usize,
}

impl DemoBackend {
    /// A living backend on a free loopback port. Needs a tokio runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub(crate) fn start(id: &str, delay: Duration) -> io::Result<Self> {
        let reservation = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = reservation.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let manners = Arc::default();
        let mut backend =
            Self { id: id.into(), delay, manners, address, _reservation: reservation, alive: None };
        backend.revive()?;
        Ok(backend)
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long it takes over a request, on average.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    /// The longest that it takes while it is slow.
    pub(crate) fn slowest(&self) -> Duration {
        (self.delay * SLOWNESS).mul_f64(1.2)
    }

    /// From now on it takes [`SLOWNESS`] times its delay, or no longer. Requests under way are not hurried.
    pub(crate) fn set_slow(&self, slow: bool) {
        self.manners.slow.store(slow, Relaxed);
    }

    /// From now on it answers 500 to everything at once, or no longer.
    pub(crate) fn set_failing(&self, failing: bool) {
        self.manners.failing.store(failing, Relaxed);
    }

    /// Listens again on the same port. Nothing happens if it is alive.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub(crate) fn revive(&mut self) -> io::Result<()> {
        if self.alive.is_some() {
            return Ok(());
        }
        let socket = bound(self.address)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket.into())?;
        let (kill, killed) = watch::channel(false);
        let in_flight = Arc::new(AtomicUsize::new(0));
        let (id, manners) = (self.id.clone(), self.manners.clone());
        let work = Work { id, delay: self.delay, manners, in_flight: in_flight.clone() };
        let server = tokio::spawn(serve(listener, work, killed));
        self.alive = Some(Alive { kill, in_flight, server });
        Ok(())
    }

    /// Closes the listener, resets every connection, and returns when both have happened. `None` if it was dead.
    pub(crate) async fn kill(&mut self) -> Option<Killed> {
        let Alive { kill, in_flight, server } = self.alive.take()?;
        let in_flight = in_flight.load(Relaxed);
        kill.send_replace(true);
        // The server task neither panics nor is aborted; should it all the same, there is nothing left to count.
        let connections = server.await.unwrap_or(0);
        Some(Killed { connections, in_flight })
    }
}

/// Serves at an address for as long as the process lives.
///
/// # Errors
/// When the address cannot be listened at.
pub(crate) async fn serve_at(address: SocketAddr, id: &str, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let (_never, killed) = watch::channel(false);
    let work = Work { id: id.into(), delay, manners: Arc::default(), in_flight: Arc::default() };
    serve(listener, work, killed).await;
    Ok(())
}

/// A TCP socket with this address. `SO_REUSEADDR` on both lets a listener have the address beside the reservation.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What a connection needs to answer.
#[derive(Clone)]
struct Work {
    id: Arc<str>,
    delay: Duration,
    manners: Arc<Manners>,
    in_flight: Arc<AtomicUsize>,
}

/// Accepts until killed; gives the number of connections that were reset.
async fn serve(listener: TcpListener, work: Work, mut killed: watch::Receiver<bool>) -> usize {
    let of_connections = killed.clone();
    let mut connections = JoinSet::new();
    let mut reset = 0;
    loop {
        tokio::select! {
            // An error of one accept (a client that left, descriptors used up) is no reason to die.
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, work.clone(), of_connections.clone())); }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            // A connection may hear of the kill before this loop does.
            Some(ended) = connections.join_next() => reset += usize::from(matches!(ended, Ok(true))),
            () = told(&mut killed) => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        reset += usize::from(matches!(ended, Ok(true)));
    }
    reset
}

/// Waits until the backend is killed, or was dropped.
async fn told(killed: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    let _ = killed.wait_for(|&k| k).await;
}

/// Serves one connection until the client closes it (`false`) or the backend is killed (`true`).
async fn connection(stream: TcpStream, work: Work, mut killed: watch::Receiver<bool>) -> bool {
    // Small answers: latency matters, and failing to set it does not.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(work.clone(), request));
    let mut connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An error here is the peer's: it went away in the middle of something.
        _ = &mut connection => return false,
        () = told(&mut killed) => {}
    }
    let stream = connection.into_parts().io.into_inner();
    // Closing with this set sends a reset instead of a goodbye, as the kernel does for a crashed process with unread data.
    let _ = stream.set_zero_linger();
    true
}

async fn answer(work: Work, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/health" {
        return Ok(Response::new(Full::from("ok\n")));
    }
    if work.manners.failing.load(Relaxed) {
        let mut refusal = Response::new(Full::from("out of order\n"));
        *refusal.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(refusal);
    }
    let _counted = Counted::new(&work.in_flight);
    let delay = if work.manners.slow.load(Relaxed) { work.delay * SLOWNESS } else { work.delay };
    tokio::time::sleep(delay.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    Ok(Response::new(Full::from(body_of(&work.id, request.uri().path()))))
}

/// A request in flight; dropped with its connection, too.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn send(backend: &DemoBackend, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(backend.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn get(backend: &DemoBackend, path: &str) -> io::Result<String> {
        let mut text = String::new();
        send(backend, path).await.read_to_string(&mut text).await?;
        Ok(text)
    }

    #[tokio::test]
    async fn it_answers_with_its_id_and_the_path() {
        let backend = DemoBackend::start("a", Duration::from_millis(1)).unwrap();
        let text = get(&backend, "/demo/1/2").await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(text.ends_with("\r\n\r\na /demo/1/2\n"), "{text}");
        assert!(get(&backend, "/health").await.unwrap().ends_with("\r\n\r\nok\n"));
    }

    #[tokio::test]
    async fn failing_and_slow_it_still_says_that_it_is_well() {
        let backend = DemoBackend::start("a", Duration::from_millis(1)).unwrap();
        backend.set_failing(true);
        assert!(get(&backend, "/x").await.unwrap().starts_with("HTTP/1.1 500"));
        assert!(get(&backend, "/health").await.unwrap().ends_with("ok\n"));
        backend.set_failing(false);
        backend.set_slow(true);
        let (start, least) = (tokio::time::Instant::now(), Duration::from_millis(1) * SLOWNESS * 8 / 10);
        assert!(get(&backend, "/health").await.unwrap().ends_with("ok\n"));
        assert!(get(&backend, "/x").await.unwrap().ends_with("a /x\n"));
        assert!(start.elapsed() >= least);
    }

    #[tokio::test]
    async fn a_kill_resets_connections_and_a_revival_takes_the_same_port() {
        let mut backend = DemoBackend::start("a", Duration::from_secs(3_600)).unwrap();
        let mut waiting = send(&backend, "/slow").await;
        let in_flight = backend.alive.as_ref().unwrap().in_flight.clone();
        let looked = async {
            let mut looks = tokio::time::interval(Duration::from_millis(1));
            while in_flight.load(Relaxed) == 0 {
                looks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), looked).await.unwrap();
        // However the connection and the accept loop share the news.
        assert_eq!(backend.kill().await, Some(Killed { connections: 1, in_flight: 1 }));
        assert_eq!(waiting.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let refused = TcpStream::connect(backend.address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(backend.kill().await, None);

        let address = backend.address;
        backend.revive().unwrap();
        assert_eq!(backend.address, address);
        assert!(get(&backend, "/health").await.unwrap().ends_with("ok\n"));
    }
}
