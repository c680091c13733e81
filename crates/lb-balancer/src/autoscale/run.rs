//! The loop that scales a pool: looks, decides, carries out. One beat a second; at once (but not more often than every 20 ms) when the driver tells
//! something, a drain ends, or a request parks.
//!
//! An order that fails is given again, first after a second, then after twice as long up to half a minute, or at once when another is due. Beside
//! that a driver has tries and rests of its own.

use super::reconcile::{Leaving, Plan, Step, active, reconcile, send_off};
use super::sample::{Looked, Sampler};
use super::spare::{Seen as Line, Spare};
use super::{ScaleEvent, Scaling};
use crate::LoadBalancer;
use lb_autoscale::{Action, AutoScaler, Driven, DriverError, Order, Stage};
use lb_core::{BackendState, Change, Member};
use lb_types::{BackendId, BackendPatch, Exclusion, Nanos};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

const BEAT: Duration = Duration::from_secs(1);
/// Between two looks, however much happens.
const GAP: Duration = Duration::from_millis(20);
/// The longest wait before a failed order is given again.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// The longest time between two replacements.
const REPLACE_MAX: Duration = Duration::from_secs(3600);

/// How long what was agreed on stands for what is there, where the driver keeps no list: beyond that, what discovery finds counts, whoever
/// changed it.
const SETTLE: Duration = Duration::from_secs(300);

/// Scales for ever.
pub(crate) async fn run(lb: LoadBalancer) {
    let Some(scaling) = lb.scaling() else { return };
    let Ok(scaler) = AutoScaler::new(scaling.settings.scale) else { return }; // they were validated
    let mut this = Loop::new(&lb, scaling, scaler);
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = scaling.settings.events.wake().notified() => {}
            Some(ended) = this.drains.join_next(), if !this.drains.is_empty() => {
                if let Ok(id) = ended { this.drained(&id); }
            }
            Some(done) = this.orders.join_next(), if !this.orders.is_empty() => {
                if let Ok((what, result)) = done { this.ordered(what, result); }
            }
        }
        this.beat();
        tokio::time::sleep(GAP).await;
    }
}

/// What an order says, to know one again.
type Said = (u32, Vec<BackendId>);

struct Loop<'a> {
    lb: &'a LoadBalancer,
    scaling: &'a Scaling,
    scaler: AutoScaler,
    sampler: Sampler,
    spare: Spare,
    /// The backends that the pool was built with.
    fixed: BTreeSet<BackendId>,
    /// The backends that are instances: where, and since when.
    backends: BTreeMap<BackendId, (SocketAddr, Nanos)>,
    leaving: BTreeMap<BackendId, Leaving>,
    ill_since: BTreeMap<BackendId, Nanos>,
    replaced: u32,
    no_replacement_before: Nanos,
    drains: JoinSet<BackendId>,
    draining: BTreeMap<BackendId, AbortHandle>,
    orders: JoinSet<(Said, Result<(), DriverError>)>,
    under_way: Option<Said>,
    /// The last order that was carried out, where nobody keeps a list, and when; until discovery has found so many.
    agreed: Option<(u32, Nanos)>,
    failed: Option<(Said, Instant)>,
    failures: u32,
    desired: u32,
    /// What was decided last.
    told: Option<u32>,
    reason: String,
}

impl<'a> Loop<'a> {
    fn new(lb: &'a LoadBalancer, scaling: &'a Scaling, scaler: AutoScaler) -> Self {
        let s = &scaling.settings.scale;
        let of_driver = scaling.driver.instances();
        let fixed = lb.all_backends().into_iter().map(|b| b.id.clone());
        let there =
            of_driver.as_ref().map_or(0, |all| all.iter().filter(|i| i.stage != Stage::Stopping).count());
        Self {
            lb,
            scaling,
            scaler,
            sampler: Sampler::new(s.metric, s.metrics_window, scaling.settings.cpu.clone()),
            spare: Spare::default(),
            fixed: fixed.collect(),
            backends: BTreeMap::new(),
            leaving: BTreeMap::new(),
            ill_since: BTreeMap::new(),
            replaced: 0,
            no_replacement_before: Nanos::ZERO,
            drains: JoinSet::new(),
            draining: BTreeMap::new(),
            orders: JoinSet::new(),
            under_way: None,
            agreed: None,
            failed: None,
            failures: 0,
            // Whoever outlived the process before stays until the load says otherwise.
            desired: u32::try_from(there).unwrap_or(u32::MAX).min(s.max_instances),
            told: None,
            reason: String::new(),
        }
    }

    fn tell(&self, event: &ScaleEvent) {
        self.scaling.settings.events.tell(event);
    }

    fn state(&self, id: &BackendId) -> Option<Arc<BackendState>> {
        self.lb.pool().snapshot().get(id).map(|m| m.state().clone())
    }

    /// Is it known how many there are? Not before each source of discovery has answered: an order for what is missing in an empty list would
    /// take away what is there.
    fn knows(&self) -> bool {
        self.lb.inner.sources.iter().all(|source| source.has_answered())
    }

    fn beat(&mut self) {
        let now = self.lb.pool().now();
        let of_driver = self.scaling.driver.instances();
        if of_driver.is_none() && !self.knows() {
            return;
        }
        let looked = match &of_driver {
            Some(instances) => {
                // Somebody may have removed one by hand: it becomes a backend again.
                let lb = self.lb;
                self.backends.retain(|id, _| lb.get_backend(id).is_some());
                let on = |i: &Driven| {
                    let since = self.backends.get(&i.id).map(|(_, since)| *since);
                    let state = since.and_then(|_| self.state(&i.id)).filter(|_| i.stage == Stage::Ready);
                    Looked::driven(i, state, since.is_some_and(|since| self.is_warming(since, now)))
                };
                active(instances, &self.leaving).map(on).collect()
            }
            None => self.found(now),
        };
        let mut metrics = self.sampler.metrics(self.lb, now, &looked);
        if of_driver.is_none() {
            // What was agreed on counts: discovery comes after it, with more as with fewer.
            let settled =
                |&(ordered, at): &(u32, Nanos)| ordered == metrics.instances || now - at >= SETTLE.into();
            if self.agreed.as_ref().is_some_and(settled) {
                self.agreed = None;
                // One that failed is still to be given.
                if self.failed.is_none() {
                    self.desired = metrics.instances;
                }
            }
            if let Some((ordered, _)) = self.agreed {
                metrics.starting = ordered.saturating_sub(metrics.instances);
                metrics.instances = ordered;
            }
        }
        let asked = self.scaling.seen().asked.take();
        let mut decision = match asked {
            Some(desired) => self.scaler.by_hand(now, &metrics, desired),
            None => self.scaler.evaluate(now, &metrics),
        };
        let dry = self.scaling.dry_run.load(Relaxed);
        // Begun with what the settings say, and switched since, perhaps.
        decision.dry_run = dry;
        if decision.action != Action::Hold && (asked.is_some() || self.told != Some(decision.desired)) {
            self.tell(&ScaleEvent::Decided(Box::new(decision.clone())));
            self.told = Some(decision.desired);
        }
        if decision.action == Action::Hold && self.told.is_some_and(|told| told == metrics.instances) {
            self.told = None;
        }
        if let Some(desired) = decision.to_do() {
            (self.desired, self.reason) = (desired, decision.to_string());
        }
        match &of_driver {
            Some(instances) => self.carry_out(instances, (!dry).then_some(self.desired), now),
            None if dry => {}
            None => {
                // Again and again until somebody agrees, also while the scaler holds.
                let wants = decision.to_do().is_some() || self.failed.is_some();
                if wants && self.agreed.map(|(ordered, _)| ordered) != Some(self.desired) {
                    self.order((self.desired, vec![]), metrics.instances);
                }
            }
        }
        self.spare_queue(now, metrics.instances, metrics.starting, dry);
        let mut seen = self.scaling.seen();
        seen.desired =
            if of_driver.is_none() && self.agreed.is_none() { metrics.instances } else { self.desired };
        (seen.current, seen.starting) = (metrics.instances, metrics.starting);
        seen.draining = self.leaving.keys().cloned().collect();
        seen.decision = Some(decision);
    }

    /// Who waits for what is on its way is not refused for that.
    fn spare_queue(&mut self, now: Nanos, current: u32, starting: u32, dry: bool) {
        let Some(queue) = self.lb.queue() else { return };
        let takes = |m: &Member| matches!(m.exclusion(), None | Some(Exclusion::ConnectionLimit));
        let seen = Line {
            waits: queue.is_waiting(),
            timeout: queue.settings().timeout,
            has_none: !self.lb.pool().snapshot().members().iter().any(takes),
            more_come: starting > 0 || (self.under_way.as_ref().is_some_and(|said| said.0 > current)),
            may_grow: !dry && current < self.scaling.settings.scale.max_instances,
        };
        queue.suspend_overload(self.spare.look(now, &seen));
    }

    fn is_warming(&self, since: Nanos, now: Nanos) -> bool {
        self.lb.pool().settings().slow_start.as_ref().is_some_and(|slow| since + slow.window.into() > now)
    }

    /// What discovery found, where the driver keeps no list.
    fn found(&mut self, now: Nanos) -> Vec<Looked> {
        let snapshot = self.lb.pool().snapshot_full();
        let members = snapshot.members().iter().filter(|m| !self.fixed.contains(m.state().id()));
        let there: Vec<Arc<BackendState>> = members.map(|m| m.state().clone()).collect();
        let before = std::mem::take(&mut self.backends);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut looked = vec![];
        for state in there {
            let (_, since) = before.get(state.id()).copied().unwrap_or((nowhere, now));
            self.backends.insert(state.id().clone(), (nowhere, since));
            let warming = self.is_warming(since, now);
            looked.push(Looked::found(state, warming));
        }
        looked
    }

    /// Makes it so.
    fn carry_out(&mut self, instances: &[Driven], desired: Option<u32>, now: Nanos) {
        let ill = self.ill(now);
        let mut backends: BTreeMap<_, _> =
            self.backends.iter().map(|(id, (at, _))| (id.clone(), *at)).collect();
        let mut first = Plan::default();
        if let Some(id) = self.next_replaced(now).filter(|_| desired.is_some()) {
            send_off(&id, &backends, &mut self.leaving, Leaving::Replaced, &mut first);
        }
        backends.retain(|id, _| self.leaving.get(id) != Some(&Leaving::Drained));
        let plan = reconcile(instances, &backends, &ill, &mut self.leaving, desired);
        for step in first.steps.into_iter().chain(plan.steps) {
            self.take(step, instances, now);
        }
        if plan.tell {
            let current = active(instances, &self.leaving).count();
            self.order((plan.order, plan.going), u32::try_from(current).unwrap_or(u32::MAX));
        }
    }

    fn take(&mut self, step: Step, instances: &[Driven], now: Nanos) {
        let of = |id: &BackendId| instances.iter().find(|i| i.id == *id);
        let failed = |error: String| ScaleEvent::DriverFailed { error };
        match step {
            Step::Add(id) | Step::Move(id) => {
                let Some(instance) = of(&id) else { return };
                let backend = match self.scaling.template.backend(instance) {
                    Ok(backend) => backend,
                    Err(error) => return self.tell(&failed(error)),
                };
                let url = backend.url.clone();
                let change = match self.lb.get_backend(&id) {
                    None => Change::Add(backend),
                    Some(_) if !self.backends.contains_key(&id) => {
                        return self.tell(&failed(format!("the pool has another backend \"{id}\"")));
                    }
                    Some(_) => {
                        let mut patch = BackendPatch::default();
                        patch.url = Some(backend.url);
                        Change::Update(id.clone(), patch)
                    }
                };
                if let Err(e) = self.lb.apply(vec![change]) {
                    return self.tell(&failed(format!("{id} cannot be a backend: {e}")));
                }
                self.backends.insert(id.clone(), (instance.address, now));
                self.tell(&ScaleEvent::Joined { id, url });
            }
            Step::Remove(id) => self.remove(&id),
            Step::Drain(id) => {
                let (lb, grace, named) = (self.lb.clone(), self.scaling.settings.drain_grace, id.clone());
                let drain = async move {
                    // Unknown: somebody was quicker, and it is as good as drained.
                    let _ = lb.drain(&named, grace).await;
                    named
                };
                self.draining.insert(id.clone(), self.drains.spawn(drain));
                let ill = self.leaving.get(&id) == Some(&Leaving::Replaced);
                self.tell(&ScaleEvent::Draining { id, ill });
            }
            Step::Return(id) => {
                if let Some(drain) = self.draining.remove(&id) {
                    drain.abort();
                }
                // Unknown: it is added again as soon as it is seen to be missing.
                let _ = self.lb.undrain(&id);
                if let Some(backend) = self.lb.get_backend(&id) {
                    self.tell(&ScaleEvent::Joined { id, url: backend.url.clone() });
                }
            }
        }
    }

    fn remove(&mut self, id: &BackendId) {
        if let Some(drain) = self.draining.remove(id) {
            drain.abort();
        }
        self.ill_since.remove(id);
        if self.backends.remove(id).is_some() {
            // Unknown: somebody removed it by hand.
            let _ = self.lb.remove_backend(id);
            self.tell(&ScaleEvent::Left { id: id.clone() });
        }
    }

    fn drained(&mut self, id: &BackendId) {
        // Not if it came back, or is gone, since.
        if self.draining.remove(id).is_some()
            && let Some(how) = self.leaving.get_mut(id)
        {
            *how = Leaving::Drained;
            self.remove(id);
        }
    }

    /// Whose health check fails, kept since when.
    fn ill(&mut self, now: Nanos) -> BTreeSet<BackendId> {
        let snapshot = self.lb.pool().snapshot_full();
        let is_ill = |id: &&BackendId| snapshot.get(id).is_some_and(|m| !m.is_healthy());
        let ill: BTreeSet<BackendId> = self.backends.keys().filter(is_ill).cloned().collect();
        self.ill_since.retain(|id, _| ill.contains(id));
        for id in &ill {
            self.ill_since.entry(id.clone()).or_insert(now);
        }
        if ill.is_empty() && now >= self.no_replacement_before {
            self.replaced = 0;
        }
        ill
    }

    fn next_replaced(&mut self, now: Nanos) -> Option<BackendId> {
        let after = self.scaling.settings.replace_unhealthy_after?;
        if now < self.no_replacement_before {
            return None;
        }
        let stays = |id: &BackendId| !self.leaving.contains_key(id);
        let long = self.ill_since.iter().filter(|(id, since)| stays(id) && **since + after.into() <= now);
        let (id, _) = long.min_by_key(|(_, since)| **since)?;
        let wait = after.saturating_mul(1u32.checked_shl(self.replaced).unwrap_or(u32::MAX));
        self.no_replacement_before = now + wait.min(REPLACE_MAX).into();
        self.replaced = self.replaced.saturating_add(1);
        Some(id.clone())
    }

    fn order(&mut self, said: Said, current: u32) {
        let waits =
            self.failed.as_ref().is_some_and(|(what, until)| *what == said && Instant::now() < *until);
        // Two at once: the newer one makes the older give up.
        if waits || self.under_way.as_ref() == Some(&said) || self.orders.len() > 1 {
            return;
        }
        let order = Order::new(said.0, current).going(said.1.clone()).reason(self.reason.clone());
        let driver = self.scaling.driver.clone();
        self.under_way = Some(said.clone());
        self.orders.spawn(async move {
            let result = driver.scale(order).await;
            (said, result)
        });
    }

    fn ordered(&mut self, said: Said, result: Result<(), DriverError>) {
        if self.under_way.as_ref() == Some(&said) {
            self.under_way = None;
        }
        match result {
            Ok(()) => {
                (self.failed, self.failures) = (None, 0);
                self.agreed = Some((said.0, self.lb.pool().now()));
            }
            Err(DriverError::Superseded) => {}
            Err(e) => {
                let wait = BEAT.saturating_mul(1 << self.failures.min(5)).min(AGAIN_MAX);
                self.failures = self.failures.saturating_add(1);
                self.failed = Some((said, Instant::now() + wait));
                self.tell(&ScaleEvent::DriverFailed { error: e.to_string() });
            }
        }
    }
}

impl Drop for Loop<'_> {
    fn drop(&mut self) {
        // Nobody would switch it on again.
        if let Some(queue) = self.lb.queue() {
            queue.suspend_overload(false);
        }
    }
}
