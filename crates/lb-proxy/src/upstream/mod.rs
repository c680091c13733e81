//! What stands between this worker and the backends of one pool.

pub(crate) mod connect;
pub(crate) mod pool;

use crate::engine::RequestBody;
use crate::retry::hedge::Recent;
use crate::settings::ProxySettings;
use pool::IdlePool;
use std::sync::Mutex;

/// A pool's backends as this worker reaches them; with `geo-aware` there is one for each region.
pub(crate) struct Upstream<B: RequestBody> {
    pub(crate) settings: ProxySettings,
    pub(crate) idle: IdlePool<B>,
    /// For hedges; untouched without them.
    pub(crate) recent: Mutex<Recent>,
}

impl<B: RequestBody> Upstream<B> {
    pub(crate) fn new(settings: ProxySettings) -> Self {
        let idle = IdlePool::new(settings.max_idle_per_backend, settings.max_idle_time);
        Self { settings, idle, recent: Mutex::default() }
    }
}
