//! The server: listeners, worker threads, shutdown.

mod awake;
mod connection;
mod listener;
mod per_ip;
mod socket;
mod worker;

use crate::gateway::Gateway;
use crate::proxy::Proxy;
use crate::service::SharedLeaf;
use crate::settings::{ListenAddress, ListenerSettings, ProxySettings};
use crate::stats::ProxyStats;
use crate::upstream::preconnect::Part;
use lb_balancer::LoadBalancer;
use listener::Bound;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Why a server could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address could not be taken.
    #[error("cannot listen on {address}: {reason}")]
    Bind {
        /// Which.
        address: ListenAddress,
        /// Why, for a person.
        reason: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// No listener was given.
    #[error("no listeners")]
    NoListeners,
    /// A worker thread or its runtime could not be started.
    #[error("cannot start worker {worker}: {source}")]
    Worker {
        /// Which, from 0.
        worker: usize,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// A bound server that does not accept yet.
#[derive(Debug)]
pub struct Server {
    bound: Vec<Bound>,
    addresses: Vec<ListenAddress>,
    workers: usize,
    gateway: Gateway,
    stats: Arc<ProxyStats>,
}

/// What workers are told about shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Serving,
    /// Accept nothing more; finish what is open.
    Draining,
    /// Cut what is left.
    Stopped,
}

impl Server {
    /// Takes all addresses, once per worker. `workers` of 0 counts as 1.
    ///
    /// # Errors
    /// The first address that cannot be taken, and why.
    pub fn bind(
        listeners: Vec<ListenerSettings>,
        workers: usize,
        balancer: LoadBalancer,
        settings: ProxySettings,
    ) -> Result<Self, ServeError> {
        Self::bind_gateway(listeners, workers, Gateway::new(balancer, settings))
    }

    /// The same for several pools, and the routes to them.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_gateway(
        listeners: Vec<ListenerSettings>,
        workers: usize,
        gateway: Gateway,
    ) -> Result<Self, ServeError> {
        if listeners.is_empty() {
            return Err(ServeError::NoListeners);
        }
        let workers = workers.max(1);
        let bound: Vec<Bound> =
            listeners.into_iter().map(|l| Bound::bind(l, workers)).collect::<Result<_, _>>()?;
        let addresses = bound.iter().map(|b| b.address.clone()).collect();
        Ok(Self { bound, addresses, workers, gateway, stats: Arc::default() })
    }

    /// The addresses in force: free ports that were taken for port 0 have their numbers.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// The counters.
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.stats.clone()
    }

    /// Starts the worker threads: from now on clients are served.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made; the workers that were started are stopped.
    pub fn start(self) -> Result<RunningServer, ServeError> {
        let (stage, _) = watch::channel(Stage::Serving);
        let (alive, ended) = mpsc::channel::<usize>(self.workers);
        let mut threads = vec![];
        let mut bound = self.bound;
        let shared = SharedLeaf::of(&self.gateway.targets, &self.stats);
        let workers = u32::try_from(self.workers).unwrap_or(u32::MAX);
        for index in 0..self.workers {
            let sockets = bound.iter_mut().filter_map(Bound::next_worker).collect();
            let proxy = Proxy::among(self.gateway.clone(), self.stats.clone(), &shared);
            let part = Part { index: u32::try_from(index).unwrap_or(u32::MAX), workers };
            let worker = worker::Worker { sockets, proxy, stage: stage.subscribe(), part };
            let alive = alive.clone();
            let started = worker.start(index, alive);
            threads.push(started.map_err(|source| {
                stage.send_replace(Stage::Stopped);
                ServeError::Worker { worker: index, source }
            })?);
        }
        let unix = bound.iter().filter_map(Bound::unix_path).collect();
        Ok(RunningServer { stage, ended, threads, unix, stats: self.stats })
    }
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// All connections ended by themselves within the grace.
    pub closed_in_time: bool,
    /// Connections that were cut.
    pub aborted_connections: usize,
}

/// A server at work. Dropping it cuts all connections.
#[derive(Debug)]
pub struct RunningServer {
    stage: watch::Sender<Stage>,
    ended: mpsc::Receiver<usize>,
    threads: Vec<std::thread::JoinHandle<()>>,
    unix: Vec<std::path::PathBuf>,
    stats: Arc<ProxyStats>,
}

impl RunningServer {
    /// The counters.
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.stats.clone()
    }

    /// Stops: nothing more is accepted, idle connections are closed, open requests finish (their responses say
    /// `Connection: close`); what is left after `grace` is cut.
    pub async fn shutdown(mut self, grace: Duration) -> ShutdownReport {
        self.stage.send_replace(Stage::Draining);
        let mut left = self.threads.len();
        let mut aborted = 0;
        let drain = async {
            while left > 0 && self.ended.recv().await.is_some() {
                left -= 1;
            }
        };
        let in_time = tokio::time::timeout(grace, drain).await.is_ok();
        if !in_time {
            self.stage.send_replace(Stage::Stopped);
            while left > 0 {
                let Some(cut) = self.ended.recv().await else { break };
                aborted += cut;
                left -= 1;
            }
        }
        ShutdownReport { closed_in_time: in_time, aborted_connections: aborted }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Stopped);
        for t in self.threads.drain(..) {
            let _ = t.join(); // a worker's panic was printed where it happened
        }
        for path in &self.unix {
            let _ = std::fs::remove_file(path); // somebody else may have removed it
        }
    }
}
