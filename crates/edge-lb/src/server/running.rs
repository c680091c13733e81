//! A server at work, and how it ends.

use super::admin::{Admin, RunningAdmin};
use super::{AssembleError, Assembled, log};
use lb_balancer::{LoadBalancer, Running as RunningBalancer};
use lb_proxy::{ListenAddress, ProxyStats, RunningServer, ShutdownReport};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// How a shutdown went: whether all connections ended by themselves, and how many were cut.
pub type Report = ShutdownReport;

/// A server at work. Dropping it cuts all connections; [`shutdown`](Self::shutdown) lets them finish.
#[must_use = "dropping it stops the server"]
#[derive(Debug)]
pub struct Running {
    addresses: Vec<ListenAddress>,
    admin_address: Option<SocketAddr>,
    pools: BTreeMap<String, LoadBalancer>,
    stats: Arc<ProxyStats>,
    grace: Duration,
    // In the order in which they end.
    server: RunningServer,
    admin: Option<RunningAdmin>,
    background: Vec<RunningBalancer>,
    _tasks: Vec<Task>,
}

/// A task that ends with its guard.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Running {
    pub(super) fn start(assembled: Assembled) -> Result<Self, AssembleError> {
        let Assembled { entries, pools, stores, geography, server, admin, grace } = assembled;
        let addresses = server.addresses().to_vec();
        let admin_address = admin.as_ref().map(Admin::address);
        let stats = server.stats();
        for balancer in pools.values() {
            log::health(balancer);
            log::faults(balancer);
            log::scaling(balancer);
        }
        // The others are regions of these.
        let background = entries.iter().map(LoadBalancer::start).collect::<Result<_, _>>()?;
        let watches = pools.values().filter_map(log::discovery);
        let mut tasks: Vec<_> = watches.map(|watch| Task(tokio::spawn(watch))).collect();
        tasks.push(Task(tokio::spawn(stores.probe())));
        tasks.push(Task(tokio::spawn(async move { geography.follow().await })));
        let server = server.start()?;
        // Last: it says "ready" as soon as it answers.
        let admin = admin.map(Admin::start);
        Ok(Self { addresses, admin_address, pools, stats, grace, server, admin, background, _tasks: tasks })
    }

    /// The addresses for clients; see [`Assembled::addresses`].
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// The admin address, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The pool of this name.
    pub fn balancer(&self, pool: &str) -> Option<&LoadBalancer> {
        self.pools.get(pool)
    }

    /// The data plane's counters.
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.stats.clone()
    }

    /// Ends in order: readiness says no, nothing more is accepted, open requests finish within the configuration's `shutdown_grace`
    /// (what is left is cut), instances that auto-scaling made are stopped, health checks and discovery end, and the admin API last.
    pub async fn shutdown(self) -> Report {
        if let Some(admin) = &self.admin {
            admin.not_ready();
        }
        let report = self.server.shutdown(self.grace).await;
        // At once: each may have instances to stop, which takes its time.
        let mut ending = JoinSet::new();
        for balancer in self.background {
            ending.spawn(balancer.shutdown());
        }
        drop(ending.join_all().await);
        if let Some(admin) = self.admin {
            admin.shutdown().await;
        }
        report
    }
}
