//! The server: a listener, a bound on its connections, and time limits on each.

use crate::api;
use crate::error::AdminError;
use crate::state::AdminState;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The most connections at once; further ones wait in the listener's queue.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a request's head, or the next one's on an idle connection, may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one connection may last, so that slow readers give their place back.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long open requests may take once the server shuts down, or a connection's time is over.
const GRACE: Duration = Duration::from_secs(5);

/// The admin server, bound but not serving yet.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl AdminServer {
    /// Listens on `address`, which must be a loopback one; port 0 takes a free one. Connections wait until [`serve`](Self::serve).
    ///
    /// # Errors
    /// Another address than loopback, or one that cannot be listened on.
    pub fn bind(address: SocketAddr, state: AdminState) -> Result<Self, AdminError> {
        if !address.ip().is_loopback() {
            return Err(AdminError::NotLoopback { address });
        }
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bind().map_err(|error| AdminError::Bind { address, error })?;
        Ok(Self { listener, address, router: api::router(state) })
    }

    /// Where it listens: the actual port, if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done; then takes no more connections, finishes open requests within 5 s, and returns.
    /// Needs a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// The listener cannot be given to the runtime.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), AdminError> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(AdminError::Runtime)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accept = async {
                let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
                (place, listener.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                // Forgets those that have ended.
                Some(_) = connections.join_next() => {}
                (place, accepted) = accept => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, self.router.clone(), stopped.clone(), place));
                    }
                    // Out of file descriptors, or the client has gone: the next one may do better, but not at once.
                    Err(_) => sleep(Duration::from_millis(50)).await,
                },
            }
        }
        drop(listener);
        drop(stop);
        // What is not done then is cut off.
        let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
        connections.shutdown().await;
        Ok(())
    }
}

/// Serves one connection until it ends, its time is over, or the server stops.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        // What went wrong with one connection is its client's business.
        _ = &mut served => return,
        // The sender is never used, only dropped.
        _ = stopped.changed() => {}
        () = sleep(CONNECTION_TIMEOUT) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, served).await;
}
