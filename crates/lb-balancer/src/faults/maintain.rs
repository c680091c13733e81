//! What is done off the request path: suspects are judged, ejections begin and end, events go out.

use super::{BackendGuard, FaultEvent, Faults, guard_of, lock};
use lb_core::{Member, Pool, Snapshot};
use lb_health::outlier::{Census, Change, Detector, Tally};
use lb_types::{BackendId, Exclusion, Nanos};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Does it get traffic now, be it as much as it may have?
fn is_usable(m: &Member) -> bool {
    matches!(m.exclusion(), None | Some(Exclusion::ConnectionLimit))
}

/// Would it get traffic, were it well?
fn is_in_service(m: &Member) -> bool {
    !matches!(
        m.exclusion(),
        Some(
            Exclusion::Disabled
                | Exclusion::Maintenance
                | Exclusion::NotInSubset
                | Exclusion::ZeroWeight
                | Exclusion::Draining
        )
    )
}

fn census(snapshot: &Snapshot) -> Census {
    let count = |of: fn(&Member) -> bool| snapshot.members().iter().filter(|m| of(m)).count();
    Census { total: count(is_in_service), usable: count(is_usable) }
}

fn tallies(snapshot: &Snapshot) -> Vec<Tally> {
    let tally = |m: &Member| {
        let (state, stats) = (m.state(), m.state().stats());
        Tally {
            id: state.id().clone(),
            succeeded: stats.succeeded,
            failed: stats.failed,
            usable: is_usable(m),
        }
    };
    snapshot.members().iter().map(tally).collect()
}

impl Faults {
    /// Does what is due; gives the time at which to call again, if there is one. To be called also when the watcher was told.
    pub(crate) fn maintain(&self, pool: &Pool, mut random: impl FnMut() -> u64) -> Option<Nanos> {
        let noted = std::mem::take(&mut *lock(&self.noted));
        let of = |(id, transition)| FaultEvent::BreakerChanged { id, transition };
        let mut events: Vec<_> = noted.transitions.into_iter().map(of).collect();
        let mut next = None;
        if let Some(outliers) = &self.outliers {
            // Held until the pool knows, so that two changes reach it in the order in which they were decided.
            let mut detector = lock(outliers);
            let now = pool.now();
            let snapshot = pool.snapshot_full();
            let mut seen = census(&snapshot);
            let is_new = self.swept.swap(snapshot.generation(), Relaxed) != snapshot.generation();
            let mut changes = if is_new { forget_moved(&mut detector, &snapshot) } else { vec![] };
            for (id, cause) in noted.suspects {
                // Whoever gets no traffic anyway (its breaker was quicker, say) needs no ejection.
                if snapshot.get(&id).is_some_and(is_usable)
                    && let Some(ejection) = detector.consider(&id, cause, now, random(), seen)
                {
                    seen.usable -= 1;
                    changes.push(Change::Ejected(ejection));
                }
                // Ejected or not, it is counted anew: it may be suspected again.
                clear_streaks(pool, &id);
            }
            // Newcomers are remembered at once, so that their first interval counts.
            if is_new || detector.next(now) <= now {
                changes.extend(detector.sweep(now, &mut random, &tallies(&snapshot)));
            }
            changes = carry_out(pool, &mut detector, changes);
            next = Some(detector.next(now));
            events.extend(changes.into_iter().filter_map(FaultEvent::of));
        }
        self.publisher.publish(events);
        next
    }

    /// An active check has shown that a backend is well: its ejection ends.
    #[cfg(feature = "health")]
    pub(super) fn check_passed(&self, pool: &Pool, id: &BackendId, proves: impl Fn(&Detector) -> bool) {
        let Some(outliers) = &self.outliers else { return };
        let changes = {
            let mut detector = lock(outliers);
            if !detector.is_ejected(id) || !proves(&detector) {
                return;
            }
            let changes = detector.check_passed(id).into_iter().collect();
            carry_out(pool, &mut detector, changes)
        };
        self.publisher.publish(changes.into_iter().filter_map(FaultEvent::of).collect());
    }
}

/// A backend that moved to another address, or went and came, is another one: the pool does not hold it for ejected.
fn forget_moved(detector: &mut Detector, snapshot: &Snapshot) -> Vec<Change> {
    let moved = |m: &&Member| !m.is_ejected() && detector.is_ejected(m.state().id());
    let ids: Vec<_> = snapshot.members().iter().filter(moved).map(|m| m.state().id().clone()).collect();
    ids.iter().filter_map(|id| detector.remove(id)).collect()
}

/// Tells the pool, and gives back those whom an ejection must not keep out since nobody else is usable.
fn carry_out(pool: &Pool, detector: &mut Detector, mut changes: Vec<Change>) -> Vec<Change> {
    apply(pool, &changes);
    let rescued = detector.rescue(census(&pool.snapshot()).usable);
    apply(pool, &rescued);
    changes.extend(rescued);
    changes
}

fn apply(pool: &Pool, changes: &[Change]) {
    let ejected = |change: &Change| match change {
        Change::Ejected(ejection) => Some((ejection.id.clone(), true)),
        Change::Returned { id, .. } => Some((id.clone(), false)),
        _ => None,
    };
    let ejected: Vec<_> = changes.iter().filter_map(ejected).collect();
    if ejected.is_empty() {
        return;
    }
    pool.set_ejected(&ejected);
    // What it did while it was out says nothing.
    ejected.iter().for_each(|(id, _)| clear_streaks(pool, id));
}

fn clear_streaks(pool: &Pool, id: &BackendId) {
    let guard: Option<Arc<BackendGuard>> = guard_of(pool, id);
    if let Some(streaks) = guard.as_ref().and_then(|g| g.streaks.as_ref()) {
        streaks.clear();
    }
}
