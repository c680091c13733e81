//! What stands between this worker and the backends of one pool.
//!
//! | file | what |
//! |---|---|
//! | `settings` | how connections are kept |
//! | `pool` | this worker's idle connections |
//! | `sockets` | one backend's open sockets, counted over all workers |
//! | `shared` | what the workers know of each other's: room is made at a limit, metrics are added up |
//! | `preconnect` | connections that are opened before requests ask for them |
//! | `connect` | from an address to a socket |

pub(crate) mod connect;
pub(crate) mod pool;
pub(crate) mod preconnect;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod sockets;
#[cfg(test)]
mod tests;

use crate::door::Door;
use crate::engine::{Connection, RequestBody};
use crate::retry::hedge::Recent;
use crate::settings::ProxySettings;
use lb_balancer::LoadBalancer;
use lb_core::BackendState;
use lb_types::Nanos;
use pool::IdlePool;
use shared::Shared;
use std::io;
use std::sync::{Arc, Mutex};

/// A pool's backends as this worker reaches them; with `geo-aware` there is one for each region.
pub(crate) struct Upstream<B: RequestBody> {
    pub(crate) settings: ProxySettings,
    /// What stands before them.
    pub(crate) door: Option<Door>,
    pub(crate) idle: Arc<IdlePool<Connection<B>>>,
    pub(crate) shared: Arc<Shared<Connection<B>>>,
    /// For hedges; untouched without them.
    pub(crate) recent: Mutex<Recent>,
}

impl<B: RequestBody> Upstream<B> {
    pub(crate) fn new(
        settings: ProxySettings,
        lb: &LoadBalancer,
        shared: Arc<Shared<Connection<B>>>,
    ) -> Self {
        let door = Door::new(&settings, lb);
        Self { door, settings, idle: shared.join(), shared, recent: Mutex::default() }
    }

    /// A new connection to a backend, in a place that was taken for it.
    pub(crate) async fn open(
        &self,
        backend: &BackendState,
        place: sockets::Place,
        now: Nanos,
    ) -> io::Result<Connection<B>> {
        let socket = connect::connect(backend.url()).await?;
        // By chance a tenth more or less: those that were opened together shall not close together.
        let ends =
            self.settings.pooling.max_lifetime.map_or(Nanos::MAX, |lifetime| {
                now + Nanos::from(lifetime.mul_f64(0.9 + 0.2 * fastrand::f64()))
            });
        Connection::open(socket, place, ends).await.map_err(io::Error::other)
    }
}
