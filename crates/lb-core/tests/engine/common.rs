//! What the tests share: small pools under a clock that stands still.

use lb_core::{
    Algorithm, BackendState, Hashing, Lease, Member, PickContext, Pool, PoolSettings, Region, Regions,
};
use lb_types::{Backend, BackendId, Guard, LoadReport, ManualClock, Nanos, Outcome, Pass, Stance};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub(crate) const MS: fn(u64) -> Nanos = Nanos::from_millis;
pub(crate) const OK: Outcome = Outcome::Success { ttfb: Nanos::from_millis(5) };

/// A guard that a test holds in its hand.
#[derive(Default)]
pub(crate) struct FakeGuard(Mutex<Hand>);

struct Hand {
    stance: Stance,
    /// Permits left while probing.
    permits: u32,
    /// What passed and was not settled yet, and how what was settled ended.
    under_way: u32,
    settled: Vec<Outcome>,
}

impl Default for Hand {
    fn default() -> Self {
        Self { stance: Stance::Clear, permits: 0, under_way: 0, settled: vec![] }
    }
}

impl FakeGuard {
    /// Lets so many at once pass from now on.
    pub(crate) fn probe(&self, permits: u32) {
        let mut hand = self.0.lock().unwrap();
        (hand.stance, hand.permits) = (Stance::Probing { free: true }, permits);
    }

    pub(crate) fn set(&self, stance: Stance) {
        self.0.lock().unwrap().stance = stance;
    }

    pub(crate) fn under_way(&self) -> u32 {
        self.0.lock().unwrap().under_way
    }

    pub(crate) fn settled(&self) -> Vec<Outcome> {
        self.0.lock().unwrap().settled.clone()
    }
}

impl Guard for FakeGuard {
    fn admit(&self, now: Nanos) -> Option<Pass> {
        if !self.stance(now).lets_pass() {
            return None;
        }
        let mut hand = self.0.lock().unwrap();
        hand.permits = hand.permits.saturating_sub(1);
        hand.under_way += 1;
        Some(Pass(7))
    }

    fn stance(&self, now: Nanos) -> Stance {
        let hand = self.0.lock().unwrap();
        match hand.stance {
            Stance::Refusing { until: Some(until) } if now >= until => Stance::Probing { free: true },
            Stance::Probing { .. } => Stance::Probing { free: hand.permits > 0 },
            other => other,
        }
    }

    fn settle(&self, pass: Pass, outcome: Outcome, _: u32, _: Nanos) -> bool {
        assert_eq!(pass, Pass(7));
        let mut hand = self.0.lock().unwrap();
        hand.under_way -= 1;
        hand.permits += 1;
        hand.settled.push(outcome);
        true
    }
}

/// A pool with its clock.
pub(crate) struct World {
    pub(crate) pool: Pool,
    pub(crate) guards: Arc<Mutex<BTreeMap<BackendId, Arc<FakeGuard>>>>,
    pub(crate) clock: Arc<ManualClock>,
    /// Of the next pick.
    pub(crate) seed: u64,
}

/// `a`, `b`, … then `b26`, `b27`, …
pub(crate) fn name(i: usize) -> String {
    if i < 26 { char::from(b'a' + i as u8).to_string() } else { format!("b{i}") }
}

pub(crate) fn id(i: usize) -> BackendId {
    name(i).into()
}

pub(crate) fn backend(i: usize, weight: u32) -> Backend {
    let url = format!("http://10.{}.{}.{}:80", i >> 16, (i >> 8) & 255, i & 255);
    Backend::new(name(i), url.parse().unwrap()).weight(weight)
}

pub(crate) fn backends(weights: &[u32]) -> Vec<Backend> {
    weights.iter().enumerate().map(|(i, &w)| backend(i, w)).collect()
}

/// Settings with something changed.
pub(crate) fn with(mut settings: PoolSettings, change: impl FnOnce(&mut PoolSettings)) -> PoolSettings {
    change(&mut settings);
    settings
}

/// Backend 0 in region `r0`, 1 in `r1` … and from the start again; the last backend is in none. `r0` is the fallback.
pub(crate) fn in_turn(backends: usize, regions: usize) -> Regions {
    let of = |r: usize| (r..backends.saturating_sub(1)).step_by(regions).map(id).collect();
    let region = |r: usize| Region { name: format!("r{r}"), backends: of(r) };
    Regions { list: (0..regions).map(region).collect(), fallback: Some(0) }
}

pub(crate) fn hash_family() -> [Algorithm; 4] {
    ["ip-hash", "maglev", "ring-hash", "rendezvous"].map(|n| Algorithm::from_name(n).unwrap())
}

pub(crate) fn bounded(factor: u32) -> [Algorithm; 3] {
    let h = || Hashing { balance_factor: Some(factor), ..Hashing::default() };
    [Algorithm::Maglev(h()), Algorithm::RingHash(h()), Algorithm::Rendezvous(h())]
}

impl World {
    pub(crate) fn new(settings: PoolSettings, backends: Vec<Backend>) -> Self {
        let clock = Arc::new(ManualClock::new(Nanos::from_secs(1_000)));
        let pool = Pool::new(settings, backends, clock.clone()).unwrap();
        Self { pool, clock, seed: 1, guards: Arc::default() }
    }

    /// With a guard before each backend.
    pub(crate) fn guarded(settings: PoolSettings, backends: Vec<Backend>) -> Self {
        let clock = Arc::new(ManualClock::new(Nanos::from_secs(1_000)));
        let guards: Arc<Mutex<BTreeMap<BackendId, Arc<FakeGuard>>>> = Arc::default();
        let made = guards.clone();
        let make = move |id: &BackendId| -> Option<Arc<dyn Guard>> {
            let guard = Arc::<FakeGuard>::default();
            made.lock().unwrap().insert(id.clone(), guard.clone());
            Some(guard)
        };
        let pool = Pool::with_guards(settings, backends, clock.clone(), Arc::new(make)).unwrap();
        Self { pool, clock, seed: 1, guards }
    }

    pub(crate) fn guard(&self, id: &BackendId) -> Arc<FakeGuard> {
        self.guards.lock().unwrap()[id].clone()
    }

    /// As a breaker that is forced, or changes by itself.
    pub(crate) fn set_stance(&self, id: &BackendId, stance: Stance) {
        self.guard(id).set(stance);
        self.pool.guard_changed(id);
    }

    pub(crate) fn of(algorithm: Algorithm, weights: &[u32]) -> Self {
        Self::new(PoolSettings::new(algorithm), backends(weights))
    }

    /// A context of its own randomness and key, as a new request has.
    pub(crate) fn cx(&mut self) -> PickContext<'static> {
        self.seed += 1;
        let mut cx = PickContext::new(self.pool.now(), self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        cx.key = self.pool.key_of(&self.seed.to_le_bytes());
        cx
    }

    pub(crate) fn lease(&mut self) -> Lease {
        let mut cx = self.cx();
        self.pool.acquire(&mut cx).unwrap()
    }

    /// One request, started and ended; gives who served it.
    pub(crate) fn once(&mut self) -> String {
        let lease = self.lease();
        let id = lease.backend().id().to_string();
        lease.complete(OK);
        id
    }

    pub(crate) fn order(&mut self, n: usize) -> String {
        (0..n).map(|_| self.once()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn counts(&mut self, n: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..n {
            *counts.entry(self.once()).or_default() += 1;
        }
        counts
    }

    /// A lease on this very backend: all others are excluded.
    pub(crate) fn lease_on(&mut self, id: &BackendId) -> Option<Lease> {
        let mut cx = self.cx();
        let snapshot = self.pool.snapshot_full();
        snapshot.members().iter().filter(|m| m.state().id() != id).for_each(|m| cx.exclude(m.state()));
        self.pool.acquire(&mut cx).ok()
    }

    /// Who serves this key; `None`: nobody.
    pub(crate) fn of_key(&self, key: &[u8]) -> Option<BackendId> {
        let mut cx = PickContext::new(self.pool.now(), 7);
        cx.key = self.pool.key_of(key);
        let lease = self.pool.acquire(&mut cx).ok()?;
        let id = lease.backend().id().clone();
        lease.complete(OK);
        Some(id)
    }

    /// Who serves each of `n` keys.
    pub(crate) fn mapping(&self, n: u32) -> Vec<BackendId> {
        (0..n).map(|k| self.of_key(format!("key {k}").as_bytes()).unwrap()).collect()
    }

    pub(crate) fn state(&self, i: usize) -> Arc<BackendState> {
        self.pool.snapshot().get(&id(i)).unwrap().state().clone()
    }

    /// The backend reports so that A58's formula gives this weight; 0: it says nothing.
    pub(crate) fn report(&self, i: usize, weight: f64) {
        let report =
            LoadReport { cpu_utilization: 0.5, rps_fractional: weight / 2.0, ..LoadReport::default() };
        self.state(i).report(&report, self.pool.now());
    }

    pub(crate) fn in_flight(&self, id: &BackendId) -> u32 {
        self.pool.snapshot().get(id).map_or(0, |m| m.state().in_flight())
    }
}

/// What least-connections compares, as in its documentation.
pub(crate) fn load(m: &Member) -> f32 {
    (m.state().in_flight() as f32 + 1.0) / m.weight() as f32
}
