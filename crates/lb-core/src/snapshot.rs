//! One immutable picture of a pool: its members, who of them is eligible and why not, and the policies built over them.
//!
//! Readers see one generation or the next, never a mix. The snapshot holds what changes seldom (membership, weight, health); what
//! changes with every request (limits, gates, what was tried) is asked of the members' [`gate`](crate::gate)s when a
//! request is counted in.

use crate::context::{PickContext, below};
use crate::error::{ExclusionCounts, SelectError};
use crate::explain::{Candidate, Explanation, Recorder};
use crate::lease::Lease;
use crate::levels::Health;
use crate::policy::{self, Choice, Policy, mix};
use crate::settings::PoolSettings;
use crate::shared::Shared;
use crate::state::BackendState;
use foldhash::HashMap;
use lb_types::{AgentReport, BackendId, Exclusion, Nanos, Pass};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How often a policy may pick again when its choice was refused, before the level is scanned.
const RE_PICKS: usize = 8;

/// A backend within one snapshot.
#[derive(Debug)]
pub struct Member {
    pub(crate) state: Arc<BackendState>,
    pub(crate) weight: u32,
    pub(crate) exclusion: Option<Exclusion>,
    /// Why not even who is bound to it may come.
    pub(crate) exclusion_of_bound: Option<Exclusion>,
    pub(crate) level: Option<u16>,
    pub(crate) healthy: bool,
    pub(crate) ejected: bool,
    pub(crate) agent: AgentReport,
    pub(crate) backup: bool,
}

impl Member {
    /// The backend.
    pub fn state(&self) -> &Arc<BackendState> {
        &self.state
    }

    /// The weight in this snapshot: slow start included; where one backend ramps, all are scaled by 100.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The verdict of active health checks and of its agent.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Did passive detection take it out for a while?
    pub fn is_ejected(&self) -> bool {
        self.ejected
    }

    /// What its agent has said of it so far.
    pub fn agent(&self) -> AgentReport {
        self.agent
    }

    /// Is it a backup?
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// Why it would get no request now (limits included); `None`: it may get one. That the whole level may be desperate (panic, or
    /// nobody left but ejected ones) is not considered.
    pub fn exclusion(&self) -> Option<Exclusion> {
        self.exclusion.or_else(|| self.state.refusal())
    }
}

/// Backends of one priority and zone (or the backups), with a policy of their own.
pub(crate) struct Level {
    /// Who may be picked, by member index: the eligible ones, and those of whom one reason is overlooked.
    pub(crate) candidates: Box<[u32]>,
    pub(crate) policy: Box<dyn Policy>,
    /// The reason that is overlooked for want of better backends: `Unhealthy` in panic, `Ejected` where nobody else is left.
    pub(crate) overlooks: Option<Exclusion>,
    /// Its share of the traffic, percent, after spill-over.
    pub(crate) load: u32,
}

/// What a policy sees.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) members: &'a [Member],
    pub(crate) candidates: &'a [u32],
    pub(crate) overlooks: Option<Exclusion>,
    pub(crate) shared: &'a Shared,
}

impl<'a> View<'a> {
    /// A candidate by its position.
    #[inline]
    pub(crate) fn at(&self, i: usize) -> (u32, &'a Member) {
        let m = self.candidates[i];
        (m, &self.members[m as usize])
    }

    /// May this member take this request, as far as a look can tell?
    #[inline]
    pub(crate) fn is_usable(&self, member: u32, cx: &PickContext<'_>) -> bool {
        let m = &self.members[member as usize];
        (m.exclusion.is_none() || m.exclusion == self.overlooks)
            && m.state.refusal_at(cx.now).is_none()
            && cx.refusal(m.state.slot()).is_none()
    }

    /// The next turn of the pool's cursor.
    #[inline]
    pub(crate) fn turn(&self, cx: &mut PickContext<'_>) -> usize {
        match &mut cx.recorder {
            None => self.shared.cursor.fetch_add(1, Relaxed),
            Some(r) => {
                r.turns += 1;
                self.shared.cursor.load(Relaxed).wrapping_add(r.turns - 1)
            }
        }
    }
}

/// See the module's documentation.
pub struct Snapshot {
    pub(crate) generation: u64,
    pub(crate) members: Box<[Member]>,
    /// Primaries by priority and zone, then the backups; region by region.
    pub(crate) levels: Box<[Level]>,
    /// Which levels are whose region's; empty without regions.
    pub(crate) regions: Box<[Range<usize>]>,
    pub(crate) health: Health,
    pub(crate) ids: Arc<HashMap<BackendId, u32>>,
    pub(crate) settings: Arc<PoolSettings>,
    /// Whether the algorithm hashes a key: then a request's level follows from its key, too.
    pub(crate) keyed: bool,
    /// When the first of the breakers that are open here lets probes through: then another snapshot is due.
    pub(crate) due: Nanos,
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Counts up with each published change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Every backend, in the order in which they were added.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this id. O(1).
    pub fn get(&self, id: &BackendId) -> Option<&Member> {
        self.ids.get(id).map(|&i| &self.members[i as usize])
    }

    /// Is active health ignored in some level?
    pub fn is_panicking(&self) -> bool {
        self.overlooks(Exclusion::Unhealthy)
    }

    /// Are ejections ignored, since they have taken the last that was usable?
    pub fn ignores_ejections(&self) -> bool {
        self.overlooks(Exclusion::Ejected)
    }

    /// Whom a request would be let in at now, as far as a look can tell; those included that are called upon only because nobody better is
    /// left. O(backends).
    pub fn usable(&self) -> impl Iterator<Item = &Member> {
        let candidates = self.levels.iter().flat_map(|l| l.candidates.iter());
        candidates.map(|&m| &self.members[m as usize]).filter(|m| m.state.refusal().is_none())
    }

    /// How many of those that are to serve may, by their own right: nobody where ejections or active health are ignored.
    pub fn health(&self) -> Health {
        self.health
    }

    /// The region of a member, where there are regions and it is in one.
    fn region_of(&self, member: u32) -> Option<&str> {
        let level = usize::from(self.members[member as usize].level?);
        let at = self.regions.iter().position(|r| r.contains(&level))?;
        self.settings.regions.as_ref()?.name(u16::try_from(at).ok()?)
    }

    fn overlooks(&self, why: Exclusion) -> bool {
        self.levels.iter().any(|l| l.overlooks == Some(why) && l.load > 0)
    }

    fn view<'a>(&'a self, level: &'a Level) -> View<'a> {
        View {
            members: &self.members,
            candidates: &level.candidates,
            overlooks: level.overlooks,
            shared: &self.shared,
        }
    }

    /// Picks a backend and counts the request in. No lock, no allocation; O(policy), O(backends) once re-picks are used up.
    ///
    /// # Errors
    /// When no backend is usable, with the reasons.
    #[inline]
    pub fn acquire(&self, cx: &mut PickContext<'_>) -> Result<Lease, SelectError> {
        match self.pick(cx) {
            Some((member, pass)) => Ok(self.lease(member, pass, cx)),
            None => Err(self.refusal(cx)),
        }
    }

    #[inline]
    pub(crate) fn lease(&self, member: u32, pass: Pass, cx: &PickContext<'_>) -> Lease {
        let backend = self.members[member as usize].state.clone();
        let counted = backend.entered();
        Lease::new(backend, cx.now, counted, pass)
    }

    /// What [`acquire`](Self::acquire) would do with this context, with every candidate's part in it; counts nothing in and moves
    /// no cursor. The same function as the pick.
    pub fn explain(&self, cx: &PickContext<'_>) -> Explanation {
        let mut recorder = Recorder::default();
        let mut recording = cx.recording(&mut recorder);
        let picked = self.pick(&mut recording).map(|(member, _)| member);
        let error = picked.is_none().then(|| self.refusal(&recording).to_string());
        let key = recording.key;
        let mut said = self.explanation(cx, &recorder, picked);
        for (c, m) in said.candidates.iter_mut().zip(&self.members) {
            let asked = m.level.is_some_and(|l| recorder.levels.contains(&usize::from(l)));
            if !asked && c.excluded.is_none() {
                c.excluded = Some(self.why_not_asked(m, &recorder));
            }
        }
        (said.key, said.error) = (key.filter(|_| self.keyed), error);
        said
    }

    /// Every backend's part in a decision that came out like this.
    pub(crate) fn explanation(
        &self,
        cx: &PickContext<'_>,
        recorder: &Recorder,
        picked: Option<u32>,
    ) -> Explanation {
        let mut candidates: Vec<_> = (0..self.members.len()).map(|i| self.candidate(i, cx)).collect();
        for &(i, why) in &recorder.refused {
            candidates[i as usize].excluded.get_or_insert(why);
        }
        for &level in &recorder.levels {
            let level = &self.levels[level];
            for &m in &level.candidates {
                let c = &mut candidates[m as usize];
                c.score = level.policy.score(&self.view(level), m, cx);
                c.excluded = c.excluded.or_else(|| level.policy.exclusion(&self.view(level), m));
            }
        }
        if let Some(p) = picked {
            // A tried backend that is taken because no other is left, or an unhealthy one in panic: it was usable after all.
            candidates[p as usize].excluded = None;
        }
        Explanation {
            algorithm: self.settings.algorithm_name(),
            generation: self.generation,
            panic: self.is_panicking(),
            ignores_ejections: self.ignores_ejections(),
            key: None,
            steps: vec![],
            region: picked.and_then(|p| self.region_of(p)).map(str::to_owned),
            candidates,
            picked: picked.map(|p| self.members[p as usize].state.id().clone()),
            error: None,
        }
    }

    /// A usable member whose level was not come to: in whose favour?
    fn why_not_asked(&self, m: &Member, recorder: &Recorder) -> Exclusion {
        let asked = |region: &Range<usize>| recorder.levels.iter().any(|l| region.contains(l));
        let region = m.level.and_then(|l| self.regions.iter().find(|r| r.contains(&usize::from(l))));
        match region {
            Some(region) if !asked(region) => Exclusion::OtherRegion,
            _ if m.backup => Exclusion::Backup,
            _ => Exclusion::OtherPriority,
        }
    }

    fn candidate(&self, i: usize, cx: &PickContext<'_>) -> Candidate {
        let m = &self.members[i];
        Candidate {
            id: m.state.id().clone(),
            weight: m.weight,
            in_flight: m.state.in_flight(),
            excluded: self.excluded(i, cx),
            score: None,
        }
    }

    /// Why this member may not take this request.
    fn excluded(&self, i: usize, cx: &PickContext<'_>) -> Option<Exclusion> {
        let m = &self.members[i];
        let is_candidate = |l: u16| self.levels[usize::from(l)].candidates.binary_search(&(i as u32)).is_ok();
        let built = m.exclusion.filter(|_| !m.level.is_some_and(is_candidate));
        let slot = m.state.slot();
        built.or_else(|| m.state.refusal_at(cx.now)).or_else(|| cx.refusal(slot))
    }

    #[cold]
    fn refusal(&self, cx: &PickContext<'_>) -> SelectError {
        if self.members.is_empty() {
            return SelectError::NoBackends;
        }
        let mut counts = ExclusionCounts::default();
        for i in 0..self.members.len() {
            // A member that turned usable since the pick looked was at a limit then.
            counts.add(self.excluded(i, cx).unwrap_or(Exclusion::ConnectionLimit));
        }
        SelectError::NoneUsable(counts)
    }

    /// The pick: the index of a member whose gate let the request in (with a recorder: would have).
    #[inline]
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<(u32, Pass)> {
        let first = match &*self.levels {
            [] => return None,
            [_] => 0,
            _ if !self.regions.is_empty() => return self.pick_by_region(cx),
            levels => self.draw_level(0..levels.len(), cx),
        };
        if let Some(picked) = self.pick_in(first, cx) {
            return Some(picked);
        }
        self.pick_elsewhere(first, cx)
    }

    /// Which of these levels (not none) this request belongs to: by their shares.
    fn draw_level(&self, levels: Range<usize>, cx: &mut PickContext<'_>) -> usize {
        if let Some(all) = levels.clone().find(|&l| self.levels[l].load == 100) {
            return all;
        }
        let spread = |key: u64| key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let random = match cx.alike {
            Some(key) => spread(key),
            None if self.keyed => spread(cx.key_or_random()),
            None => cx.random(),
        };
        let mut point = below(random, 100) as u32;
        for l in levels.clone() {
            let load = self.levels[l].load;
            if point < load {
                return l;
            }
            point -= load;
        }
        levels.start
    }

    /// Nobody in the request's own level: the other levels in order, backups last; then those that were tried before.
    #[cold]
    fn pick_elsewhere(&self, first: usize, cx: &mut PickContext<'_>) -> Option<(u32, Pass)> {
        let all = 0..self.levels.len();
        if let Some(picked) = self.pick_beside(all.clone(), first, cx) {
            return Some(picked);
        }
        self.again(cx, |cx| self.pick_in(first, cx).or_else(|| self.pick_beside(all, first, cx)))
    }

    /// One of these levels but `first`, in order.
    fn pick_beside(
        &self,
        levels: Range<usize>,
        first: usize,
        cx: &mut PickContext<'_>,
    ) -> Option<(u32, Pass)> {
        levels.filter(|&l| l != first).find_map(|level| self.pick_in(level, cx))
    }

    /// The same once more, with those that were tried before.
    fn again(
        &self,
        cx: &mut PickContext<'_>,
        pick: impl FnOnce(&mut PickContext<'_>) -> Option<(u32, Pass)>,
    ) -> Option<(u32, Pass)> {
        if cx.is_fresh() || !cx.repeats {
            return None;
        }
        cx.again = true;
        let picked = pick(cx);
        cx.again = false;
        picked
    }

    /// The client's region, the fallback, the others; then, in the same order, those that were tried before.
    fn pick_by_region(&self, cx: &mut PickContext<'_>) -> Option<(u32, Pass)> {
        let walk = |cx: &mut PickContext<'_>| {
            let order = self.settings.regions.as_ref()?.order(cx.region);
            order.map(|region| &self.regions[region]).filter(|levels| !levels.is_empty()).find_map(|levels| {
                let first = self.draw_level(levels.clone(), cx);
                self.pick_in(first, cx).or_else(|| self.pick_beside(levels.clone(), first, cx))
            })
        };
        walk(cx).or_else(|| self.again(cx, walk))
    }

    #[inline]
    fn pick_in(&self, level: usize, cx: &mut PickContext<'_>) -> Option<(u32, Pass)> {
        let l = &self.levels[level];
        if let Some(r) = &mut cx.recorder {
            r.levels.push(level);
        }
        if l.candidates.is_empty() {
            return None;
        }
        let view = self.view(l);
        for _ in 0..RE_PICKS {
            let choice = match cx.alike {
                None => l.policy.pick(&view, cx),
                Some(key) => policy::alike(key, &view, cx),
            };
            let Some(choice) = choice else { break };
            if let Some(pass) = self.enter(choice, cx) {
                return Some((choice.member, pass));
            }
        }
        self.scan(&view, cx)
    }

    /// Counts the request in, if the choice still stands.
    #[inline]
    fn enter(&self, choice: Choice, cx: &mut PickContext<'_>) -> Option<Pass> {
        let state = &self.members[choice.member as usize].state;
        if cx.refusal(state.slot()).is_some() {
            return None;
        }
        if let Some(r) = &mut cx.recorder {
            return match state.refusal_at(cx.now) {
                None => Some(Pass(0)),
                Some(why) => {
                    r.refused.push((choice.member, why));
                    None
                }
            };
        }
        state.enter(choice.seen, cx.now)
    }

    /// Re-picks are used up: never refuse while one candidate is usable. O(candidates).
    #[cold]
    fn scan(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<(u32, Pass)> {
        if self.keyed {
            // A key that its table found no usable member for keeps its backend, too: highest random weight.
            let key = cx.key_or_random();
            let draw = |m: u32| mix(key ^ mix(self.members[m as usize].state.uid()));
            let usable = view.candidates.iter().copied().filter(|&m| view.is_usable(m, cx));
            let member = usable.max_by_key(|&m| draw(m))?;
            if let Some(pass) = self.enter(Choice { member, seen: None }, cx) {
                return Some((member, pass));
            }
        }
        let start = below(cx.random(), view.candidates.len());
        (start..view.candidates.len()).chain(0..start).map(|i| view.candidates[i]).find_map(|member| {
            let pass = view.is_usable(member, cx).then(|| self.enter(Choice { member, seen: None }, cx));
            pass.flatten().map(|pass| (member, pass))
        })
    }
}
