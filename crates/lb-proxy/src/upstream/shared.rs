//! What the workers of a server share of one pool's connections: the count of each backend's sockets, and each other's idle ones.
//!
//! Asked only when a connection is opened or somebody looks; a request on a pooled connection never comes here.

use super::pool::{IdlePool, Pooled, Rules};
use super::settings::PoolingSettings;
use super::sockets::{CloseReason, Place, Sockets};
use lb_core::{BackendState, Pool};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One pool's connections to one backend, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamConnections {
    /// The pool's name.
    pub pool: String,
    /// The backend's id.
    pub backend: String,
    /// Sockets that are open or being opened.
    pub open: u32,
    /// Those of them that wait for a request.
    pub idle: usize,
    /// Connections made.
    pub opened: u64,
    /// Times a request was given a connection that was there.
    pub reused: u64,
    /// Connections closed, by [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
}

/// Something that knows of connections to backends.
pub(crate) trait Upstreams: Send + Sync {
    fn see(&self, out: &mut Vec<UpstreamConnections>);
}

pub(crate) struct Shared<C> {
    name: String,
    rules: Rules,
    /// Sockets of one backend; `u32::MAX`: no bound.
    limit: u32,
    workers: Mutex<Vec<Arc<IdlePool<C>>>>,
    /// By slot.
    backends: Mutex<Vec<Option<Arc<Sockets>>>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Pooled> Shared<C> {
    pub(crate) fn new(name: &str, settings: &PoolingSettings, max_idle: usize) -> Self {
        Self {
            name: name.to_owned(),
            rules: Rules::new(settings, max_idle),
            limit: settings.max_connections.unwrap_or(u32::MAX),
            workers: Mutex::default(),
            backends: Mutex::default(),
        }
    }

    /// One more worker's idle connections.
    pub(crate) fn join(&self) -> Arc<IdlePool<C>> {
        let idle = Arc::new(IdlePool::new(self.rules));
        lock(&self.workers).push(idle.clone());
        idle
    }

    pub(crate) fn preconnect(&self) -> u32 {
        self.rules.preconnect
    }

    /// The backend's sockets.
    fn sockets(&self, backend: &BackendState) -> Arc<Sockets> {
        let mut backends = lock(&self.backends);
        let at = backend.slot() as usize;
        if backends.len() <= at {
            backends.resize_with(at + 1, || None);
        }
        match &backends[at] {
            Some(s) if s.uid == backend.uid() => s.clone(),
            // Places of a backend that has left keep its old count.
            _ => backends[at].insert(Arc::new(Sockets::new(backend.id().clone(), backend.uid()))).clone(),
        }
    }

    /// A place for one more socket to the backend. At the limit the oldest idle connection makes room; while none is idle, this waits.
    pub(crate) async fn place(&self, backend: &BackendState) -> Place {
        let sockets = self.sockets(backend);
        match sockets.take(self.limit) {
            Some(place) => place,
            // Boxed, because it is seldom and would make every request's own state larger.
            None => Box::pin(self.make_room(backend, &sockets)).await,
        }
    }

    async fn make_room(&self, backend: &BackendState, sockets: &Arc<Sockets>) -> Place {
        let waiting = sockets.wait();
        loop {
            // Listened to first: what becomes free after the looks below is heard.
            let mut freed = pin!(waiting.freed());
            freed.as_mut().enable();
            let made_room = self.close_oldest(backend);
            if let Some(place) = sockets.take(self.limit) {
                return place;
            }
            if !made_room {
                freed.await;
            }
        }
    }

    /// A place ahead of requests, while the backend has fewer than `preconnect`.
    pub(crate) fn place_ahead(&self, backend: &BackendState) -> Option<Place> {
        self.sockets(backend).take(self.rules.preconnect.min(self.limit))
    }

    /// Closes the backend's oldest idle connection, whichever worker has it; `false`: none is idle.
    fn close_oldest(&self, backend: &BackendState) -> bool {
        let workers = lock(&self.workers);
        loop {
            let oldest = workers.iter().filter_map(|w| Some((w.oldest(backend)?, w)));
            let Some((_, worker)) = oldest.min_by_key(|(since, _)| *since) else { return false };
            if worker.close_oldest(backend) {
                return true;
            }
        }
    }

    /// Sweeps one worker's idle connections; those of backends that `pool` does not have any more go.
    pub(crate) fn sweep(&self, idle: &IdlePool<C>, pool: &Pool) {
        let (snapshot, now) = (pool.snapshot(), pool.now());
        let mut members = vec![0; lock(&self.backends).len()];
        for m in snapshot.members() {
            if let Some(uid) = members.get_mut(m.state().slot() as usize) {
                *uid = m.state().uid();
            }
        }
        let mut backends = lock(&self.backends);
        for (slot, uid) in backends.iter_mut().zip(&members) {
            // The places of one that has left may outlive it: an exchange may still be under way.
            if slot.as_ref().is_some_and(|s| s.uid != *uid && s.open() == 0) {
                *slot = None;
            }
        }
        let open: Vec<_> = backends.iter().map(|s| s.as_ref().map(|s| (s.uid, s.open()))).collect();
        drop(backends);
        idle.sweep(now, &|slot, uid| {
            let is_member = members.get(slot) == Some(&uid);
            open.get(slot).copied().flatten().filter(|(whose, _)| is_member && *whose == uid).map(|(_, n)| n)
        });
    }
}

impl<C: Pooled> Upstreams for Shared<C> {
    fn see(&self, out: &mut Vec<UpstreamConnections>) {
        let workers = lock(&self.workers).clone();
        let backends = lock(&self.backends).clone();
        for (slot, sockets) in backends.iter().enumerate() {
            let Some(s) = sockets else { continue };
            let mut seen = UpstreamConnections {
                pool: self.name.clone(),
                backend: s.id.to_string(),
                open: s.open(),
                idle: 0,
                opened: s.opened(),
                reused: 0,
                closed: CloseReason::ALL.map(|why| s.closed(why)),
            };
            for worker in &workers {
                let of_worker = worker.see(slot, s.uid);
                seen.idle += of_worker.idle;
                seen.reused += of_worker.reused;
            }
            out.push(seen);
        }
    }
}
