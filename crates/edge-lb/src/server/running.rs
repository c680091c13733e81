//! A server at work, and how it ends.

use super::admin::{Admin, RunningAdmin};
use super::splits::Splits;
use super::{AssembleError, Assembled, log};
use lb_admin::{RolloutReport, SplitControl as _};
use lb_balancer::{LoadBalancer, Running as RunningBalancer};
use lb_proxy::{ListenAddress, ProxyStats, RunningServer, ShutdownReport};
use lb_split::{Nanos, RolloutError, RolloutSettings, Split};
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
    splits: Splits,
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
        let Assembled { entries, pools, stores, geography, splits, server, admin, grace } = assembled;
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
        tasks.push(Task(tokio::spawn(splits.clone().follow())));
        let server = server.start()?;
        // Last: it says "ready" as soon as it answers.
        let admin = admin.map(Admin::start);
        Ok(Self {
            addresses,
            admin_address,
            pools,
            splits,
            stats,
            grace,
            server,
            admin,
            background,
            _tasks: tasks,
        })
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

    /// The split of this name: to look at, and to change by [`split_time`](Self::split_time). A change is logged within a second.
    pub fn split(&self, name: &str) -> Option<&Arc<Split>> {
        self.splits.splitting(name).map(|s| s.split())
    }

    /// The time that splits go by.
    pub fn split_time(&self) -> Nanos {
        self.splits.now()
    }

    /// The rollout of the split of this name: the one under way, or the last.
    pub fn rollout(&self, split: &str) -> Option<RolloutReport> {
        self.splits.rollout(split)
    }

    /// Begins a guarded rollout, by the configuration's settings or others.
    ///
    /// # Errors
    /// No split of this name, a rollout under way, settings out of their bounds, or no room for its last step.
    pub fn start_rollout(
        &self,
        split: &str,
        settings: Option<RolloutSettings>,
        by: &str,
    ) -> Result<(), RolloutError> {
        let entry = self.splits.split(split);
        let configured = entry.map(|entry| entry.rollout).unwrap_or_default();
        self.splits.start(split, settings.unwrap_or(configured), by)
    }

    /// Gives it as long as its patience again.
    ///
    /// # Errors
    /// None is under way.
    pub fn extend_rollout(&self, split: &str, by: &str) -> Result<(), RolloutError> {
        self.splits.extend(split, by)
    }

    /// Ends it: the first target has all again.
    ///
    /// # Errors
    /// None is under way, or somebody has overtaken it.
    pub fn abort_rollout(&self, split: &str, by: &str) -> Result<(), RolloutError> {
        self.splits.abort(split, by)
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
