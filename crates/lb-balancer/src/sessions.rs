//! Sessions in a balancer's picks: the table says which backend, the pool whether it may be had, [`follow`] what becomes of it.
//!
//! The first request of a session is picked for and bound; the others go there while the backend may be followed. Everything here is local
//! and immediate but for two questions to a store: [`look_up`](Sessions::look_up) before the first pick, for a session that this node
//! does not know, and [`agree`](Sessions::agree) after it, for one that other nodes may be binding at the same time.

use crate::LoadBalancer;
use crate::selection::{Here, Selection, note};
use crate::{SelectOptions, error::SessionError};
use lb_core::{Bond, Explanation, Lease, PickContext, Pool, Refusal, SelectError, Step};
use lb_session::{
    Affinity, AffinityKind, Follow, Moment, Resolved, SessionAffinity, SessionId, SessionManager,
    SharedSessions, SharingSettings, Source, Standing, follow,
};
use lb_types::{BackendId, Nanos, RequestInfo, SettingsError, Store};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often what has expired is cleared away.
const SWEEP: Duration = Duration::from_secs(10);

/// A balancer's sessions.
pub(crate) struct Sessions {
    manager: Arc<SessionManager>,
    shared: Option<SharedSessions>,
    /// The pool's algorithm keeps a key's backend by itself: a session's first pick is left to it.
    hashes: bool,
}

/// A request's session.
#[derive(Debug)]
pub(crate) struct Bound {
    resolved: Resolved,
    at: Moment,
    /// Its cookie is to be sent.
    cookie_due: bool,
    /// It was bound here just now, and another node might bind it, too.
    unagreed: bool,
}

impl Bound {
    #[inline]
    pub(crate) fn must_agree(&self) -> bool {
        self.unagreed
    }

    fn settle(&mut self, backend: BackendId) {
        self.resolved.affinity = Affinity::Backend(backend);
        self.cookie_due = true;
    }
}

fn unix_now() -> Duration {
    // Before 1970 there were no sessions.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// 128 random bits from the operating system.
///
/// # Panics
/// When the operating system has none to give: then nothing is secret any more.
fn fresh() -> SessionId {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    SessionId::from_random(u128::from_ne_bytes(bits))
}

impl Sessions {
    pub(crate) fn new(
        affinity: SessionAffinity,
        pool: &str,
        store: Option<(Arc<dyn Store>, SharingSettings)>,
        hashes: bool,
    ) -> Result<Self, SettingsError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        let manager = Arc::new(SessionManager::new(affinity, pool, random)?);
        let shared = store.map(|(store, settings)| SharedSessions::new(manager.clone(), store, settings));
        Ok(Self { manager, shared: shared.transpose()?, hashes })
    }

    fn is_strict(&self) -> bool {
        self.manager.settings().strict
    }

    fn has_cookie(&self) -> bool {
        self.manager.settings().kind == AffinityKind::Cookie
    }

    /// The request's session; `None` if it has nothing to be recognised by, and cannot have.
    pub(crate) fn resolve(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
        now: Nanos,
        steps: &mut Option<Vec<Step>>,
    ) -> Option<Box<Bound>> {
        let at = Moment::new(now, unix_now());
        let resolved = match (options.session, &self.shared) {
            (Some(id), _) => self.manager.resolve_id(id, at),
            // Asking why changes nothing.
            (None, _) if steps.is_some() => self.manager.peek(request, fresh, at),
            (None, None) => self.manager.resolve(request, fresh, at),
            (None, Some(shared)) => shared.resolve_now(request, fresh, at),
        };
        if let Some(why) = resolved.ignored {
            note(steps, "session", || format!("what the client presented does not count: {why}"));
        }
        resolved.session?;
        let cookie_due = resolved.cookie_due;
        Some(Box::new(Bound { resolved, at, cookie_due, unagreed: false }))
    }

    #[inline]
    pub(crate) fn must_look_up(&self, bound: &Bound) -> bool {
        self.shared.as_ref().is_some_and(|s| s.needs_look_up(&bound.resolved))
    }

    pub(crate) async fn look_up(&self, bound: &mut Bound) {
        if let Some(shared) = self.shared.as_ref().filter(|s| s.needs_look_up(&bound.resolved)) {
            bound.resolved = shared.complete(bound.resolved.clone(), fresh, bound.at).await;
            bound.cookie_due |= bound.resolved.cookie_due;
        }
    }

    /// It may go to its backend alone, and it has one.
    pub(crate) fn is_tied(&self, bound: &Bound) -> bool {
        self.is_strict() && bound.resolved.backend().is_some()
    }

    /// It has a backend that may be had, or is tied to one.
    #[cfg(feature = "geo")]
    pub(crate) fn is_at_home(&self, pool: &Pool, bound: &Bound, cx: &PickContext<'static>) -> bool {
        let Some(backend) = bound.resolved.backend() else { return false };
        self.is_strict() || pool.snapshot().look_at(backend, Bond::Session, cx).is_ok()
    }

    pub(crate) fn acquire(
        &self,
        lb: &LoadBalancer,
        bound: &mut Bound,
        here: &mut Here,
    ) -> Result<Lease, SelectError> {
        let pool = lb.pool();
        let Some(from) = bound.resolved.backend().cloned() else { return self.bind(lb, bound, here) };
        let why = match pool.acquire_at(&from, Bond::Session, &here.cx) {
            Ok(lease) => return Ok(lease),
            Err(why) => why,
        };
        match self.consequence(why) {
            Follow::Refuse => Err(SelectError::Bound(why)),
            // What decides between backends does not keep a session away: it came to a limit this moment.
            Follow::Stay | Follow::Detour => pool.acquire(&mut here.cx),
            Follow::Move => {
                let lease = self.pick(lb, bound, here)?;
                let id = bound.session();
                let (to, at) = (lease.backend().id().clone(), bound.at);
                let counts = match &self.shared {
                    None => self.manager.reassign(id, &from, &to, at),
                    Some(shared) => shared.reassign_now(id, &from, &to, at),
                };
                Ok(settled(pool, bound, &here.cx, lease, counts))
            }
        }
    }

    /// A session that has no backend gets the one that is picked.
    fn bind(&self, lb: &LoadBalancer, bound: &mut Bound, here: &mut Here) -> Result<Lease, SelectError> {
        let lease = self.pick(lb, bound, here)?;
        let (id, to, at) = (bound.session(), lease.backend().id().clone(), bound.at);
        let counts = match &self.shared {
            None => self.manager.assign(id, &to, at),
            Some(shared) => shared.assign_now(id, &to, at),
        };
        // Nobody else knows the id of a new cookie.
        bound.unagreed = self.shared.is_some() && !bound.resolved.fresh;
        Ok(settled(lb.pool(), bound, &here.cx, lease, counts))
    }

    /// Who is known by address or header is given the same backend by all nodes, also where they share nothing.
    fn pick(&self, lb: &LoadBalancer, bound: &Bound, here: &mut Here) -> Result<Lease, SelectError> {
        here.cx.alike = self.alike(bound);
        let lease = lb.pick_here(here);
        here.cx.alike = None;
        lease
    }

    fn alike(&self, bound: &Bound) -> Option<u64> {
        (!self.hashes && !self.has_cookie()).then(|| bound.session().as_u64())
    }

    fn consequence(&self, why: Refusal) -> Follow {
        let standing = match why {
            Refusal::Gone => Standing::Gone,
            Refusal::Excluded(why) => Standing::Excluded(why),
        };
        follow(standing, self.is_strict())
    }

    /// Of all nodes' first picks the first counts.
    pub(crate) async fn agree(
        &self,
        pool: &Pool,
        bound: &mut Bound,
        cx: &mut PickContext<'static>,
        lease: Lease,
    ) -> Lease {
        let Some(shared) = self.shared.as_ref().filter(|_| std::mem::take(&mut bound.unagreed)) else {
            return lease;
        };
        let ours = lease.backend().id().clone();
        let counts = shared.assign(bound.session(), ours, bound.at).await;
        settled(pool, bound, cx, lease, counts)
    }

    pub(crate) fn explain(
        &self,
        lb: &LoadBalancer,
        bound: &Bound,
        here: &Here,
        steps: &mut Option<Vec<Step>>,
    ) -> Explanation {
        let (pool, cx, id) = (lb.pool(), &here.cx, bound.session());
        let name =
            move || if bound.resolved.fresh { "a new session".to_owned() } else { format!("session {id}") };
        let picked = |steps: &mut Option<Vec<Step>>| {
            let mut cx = cx.clone();
            cx.alike = self.alike(bound);
            lb.explain_pick(here, &cx, steps)
        };
        let Some(backend) = bound.resolved.backend() else {
            note(steps, "session", || format!("{} is bound to whom is picked", name()));
            return picked(steps);
        };
        let how = match bound.resolved.source {
            Source::Cookie => ", as its cookie says",
            Source::Store => ", as the store says",
            _ => "",
        };
        let why = match pool.explain_at(backend, Bond::Session, cx) {
            Ok(said) => {
                note(steps, "session", || format!("{} stays on {backend}{how}", name()));
                return said;
            }
            Err(why) => why,
        };
        let consequence = match self.consequence(why) {
            Follow::Refuse => "it is strict, and refused",
            Follow::Stay | Follow::Detour => "it goes elsewhere for once",
            Follow::Move => "it moves",
        };
        note(steps, "session", || format!("{} is bound to {backend}, which {why}: {consequence}", name()));
        match self.consequence(why) {
            Follow::Refuse => {
                let mut said = pool.explain(cx);
                (said.picked, said.region) = (None, None);
                said.error = Some(SelectError::Bound(why).to_string());
                said
            }
            Follow::Stay | Follow::Detour => pool.explain(cx),
            Follow::Move => picked(steps),
        }
    }

    /// Writes to the store and clears away what has expired, for ever.
    pub(crate) async fn run(&self, clock: Pool) {
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.manager.sweep(Moment::new(clock.now(), unix_now()));
            }
        };
        match &self.shared {
            None => sweep.await,
            Some(shared) => {
                let clock = clock.clone();
                let write = shared.clone().run(move || Moment::new(clock.now(), unix_now()));
                tokio::join!(sweep, write);
            }
        }
    }
}

impl Bound {
    /// # Panics
    /// Never: there is one for a request that has a session.
    fn session(&self) -> SessionId {
        self.resolved.session.expect("a request is bound only with a session")
    }
}

/// The lease on the backend that counts: this one, or, if another request or node was faster, that one's, if it may be had.
fn settled(
    pool: &Pool,
    bound: &mut Bound,
    cx: &PickContext<'static>,
    lease: Lease,
    counts: BackendId,
) -> Lease {
    let lease = if *lease.backend().id() == counts {
        lease
    } else {
        pool.acquire_at(&counts, Bond::Session, cx).unwrap_or(lease)
    };
    bound.settle(counts);
    lease
}

impl LoadBalancer {
    /// The sessions of this balancer; `None`: it has no affinity.
    pub fn session_manager(&self) -> Option<&Arc<SessionManager>> {
        self.inner.sessions.as_ref().map(|s| &s.manager)
    }

    /// The same with the store behind them; `None`: there is no store.
    pub fn shared_sessions(&self) -> Option<&SharedSessions> {
        self.inner.sessions.as_ref()?.shared.as_ref()
    }

    /// This moment, as the session manager takes it.
    pub fn moment(&self) -> Moment {
        Moment::new(self.pool().now(), unix_now())
    }

    /// Forgets where a session goes: here, and in the store. Whether it was known.
    ///
    /// # Errors
    /// There is no affinity, or the store was not reached in time: it is cleared here, and waits to be cleared there.
    pub async fn clear_session(&self, id: SessionId) -> Result<bool, SessionError> {
        let sessions = self.inner.sessions.as_ref().ok_or(SessionError::NoAffinity)?;
        match &sessions.shared {
            None => Ok(sessions.manager.clear_session(id, self.moment())),
            Some(shared) => Ok(shared.clear_session(id, self.moment()).await?),
        }
    }

    /// The name of the cookie that sessions are known by: what a proxy takes out of the requests; `None` where there is none.
    #[inline]
    pub fn session_cookie(&self) -> Option<&str> {
        let sessions = self.inner.sessions.as_ref().filter(|s| s.has_cookie())?;
        Some(&sessions.manager.settings().cookie_name)
    }

    /// The `Set-Cookie` header that the answer to this request must carry: its session is new, has moved, or its cookie ages. `tls`: the
    /// client came by TLS.
    #[inline]
    pub fn set_cookie(&self, selection: &Selection, tls: bool) -> Option<String> {
        let bound = selection.here.session.as_ref().filter(|b| b.cookie_due)?;
        let leaf = &self.leaves()[selection.here.leaf];
        let sessions = leaf.inner.sessions.as_ref().filter(|s| s.has_cookie())?;
        sessions.manager.set_cookie(bound.session(), bound.at, tls)
    }

    /// How many sessions a backend has: what a drain waits for. Looks at every session.
    pub(crate) fn sessions_on(&self, backend: &BackendId) -> usize {
        self.inner.sessions.as_ref().map_or(0, |s| s.manager.sessions_on(backend, self.moment()))
    }
}
