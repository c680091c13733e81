//! Who stands in which level, and how much of the traffic each level gets: by region, priority, zone and backup.

use crate::build::Entry;
use crate::levels::{self, Health};
use crate::settings::PoolSettings;
use crate::snapshot::Member;
use lb_types::{Backend, Exclusion};
use std::collections::BTreeMap;
use std::ops::Range;

/// The backends of one level before its policy is built.
pub(crate) struct Group {
    /// All that belong, by member index: what shares and hash tables are made over.
    pub(crate) members: Vec<u32>,
    /// Who may be picked.
    pub(crate) candidates: Vec<u32>,
    /// Who may be picked when active health is ignored.
    in_panic: Vec<u32>,
    /// Who may be picked when ejections are ignored.
    pardoned: Vec<u32>,
    pub(crate) overlooks: Option<Exclusion>,
    /// How many active checks call healthy.
    healthy: u32,
    /// One of them has an open breaker.
    refused: bool,
    backup: bool,
    pub(crate) load: u32,
    /// The place of its region; behind the last one for who is in none. 0 without regions.
    region: usize,
}

impl Group {
    fn health(&self) -> Health {
        Health { eligible: self.candidates.len() as u32, all: self.members.len() as u32 }
    }

    fn healthy_percent(&self) -> u32 {
        Health { eligible: self.healthy, all: self.members.len() as u32 }.percent()
    }

    fn enter_panic(&mut self) {
        self.overlooks = Some(Exclusion::Unhealthy);
        self.candidates = std::mem::take(&mut self.in_panic);
    }

    fn pardon(&mut self) {
        self.overlooks = Some(Exclusion::Ejected);
        self.candidates = std::mem::take(&mut self.pardoned);
    }
}

/// By region; in each the primaries by priority, the preferred zone first in each; the backups last.
pub(crate) fn groups(entries: &[Entry], members: &[Member], settings: &PoolSettings) -> Vec<Group> {
    let region = |b: &Backend| match &settings.regions {
        None => 0,
        Some(regions) => regions.of(b).map_or(regions.list.len(), usize::from),
    };
    let mut by_rank = BTreeMap::<(usize, bool, u32, bool), Vec<u32>>::new();
    for (i, e) in entries.iter().enumerate().filter(|&(i, _)| belongs(members[i].exclusion)) {
        let away = settings.locality.as_ref().is_some_and(|l| e.spec.metadata.get("zone") != Some(&l.zone));
        let (backup, priority, away) =
            if e.spec.backup { (true, 0, false) } else { (false, e.spec.priority, away) };
        by_rank.entry((region(&e.spec), backup, priority, away)).or_default().push(i as u32);
    }
    let group = |((region, backup, ..), all): ((usize, bool, u32, bool), Vec<u32>)| {
        let those = |ok: fn(&Member) -> bool| {
            all.iter().copied().filter(|&m| ok(&members[m as usize])).collect::<Vec<_>>()
        };
        Group {
            candidates: those(|m| m.exclusion.is_none()),
            in_panic: those(|m| matches!(m.exclusion, None | Some(Exclusion::Unhealthy)) && !m.ejected),
            pardoned: those(|m| matches!(m.exclusion, None | Some(Exclusion::Ejected))),
            healthy: all.iter().filter(|&&m| members[m as usize].healthy).count() as u32,
            refused: !those(|m| m.healthy && m.exclusion == Some(Exclusion::BreakerOpen)).is_empty(),
            members: all,
            overlooks: None,
            backup,
            load: 0,
            region,
        }
    };
    by_rank.into_iter().map(group).collect()
}

/// Decides who is called upon when nobody is eligible, on panic, and on each level's share of the traffic.
///
/// Where nobody is eligible, in this order: ejected backends (an ejection never takes the last one); nobody, if there are healthy ones
/// whose breakers are open (the fallback response is their answer); all unhealthy ones (panic).
pub(crate) fn judged(mut groups: Vec<Group>, settings: &PoolSettings) -> Vec<Group> {
    let over = settings.overprovisioning_percent;
    let healths = |groups: &[Group]| groups.iter().map(Group::health).collect::<Vec<_>>();
    // Envoy's panic, per level, and only when all levels (of a region) together cannot carry the traffic.
    for region in groups.chunk_by_mut(|a, b| a.region == b.region) {
        let primary = primaries(region);
        if levels::capacity(&healths(primary), over) < 100 {
            for g in primary.iter_mut() {
                if g.healthy_percent() < u32::from(settings.panic_threshold) {
                    g.enter_panic();
                }
            }
        }
    }
    if groups.iter().all(|g| g.candidates.is_empty()) {
        if groups.iter().any(|g| !g.pardoned.is_empty()) {
            groups.iter_mut().for_each(Group::pardon);
        } else if !groups.iter().any(|g| g.refused) {
            groups.iter_mut().for_each(Group::enter_panic);
        }
    }
    // A level without a single percent still has its candidates: they are asked when no other level could serve.
    for region in groups.chunk_by_mut(|a, b| a.region == b.region) {
        let serving = serving(region);
        let loads = levels::loads(&healths(serving), over);
        for (g, load) in serving.iter_mut().zip(loads) {
            g.load = load;
        }
    }
    groups
}

/// A region's levels but for the backups.
fn primaries(region: &mut [Group]) -> &mut [Group] {
    let count = region.iter().take_while(|g| !g.backup).count();
    &mut region[..count]
}

/// A region's primaries, or, if nobody is left of them, its backups.
fn serving(region: &mut [Group]) -> &mut [Group] {
    let count = region.iter().take_while(|g| !g.backup).count();
    let (primary, backup) = region.split_at_mut(count);
    if primary.iter().all(|g| g.candidates.is_empty()) { backup } else { primary }
}

/// How many of those that are to serve may, by their own right: nobody where ejections or active health are ignored.
pub(crate) fn health(groups: &[Group]) -> Health {
    let primary = || groups.iter().filter(|g| !g.backup);
    let backups_serve = primary().all(|g| g.candidates.is_empty());
    let sum = |mut health: Health, g: &Group| {
        health.all += g.members.len() as u32;
        health.eligible += if g.overlooks.is_none() { g.candidates.len() as u32 } else { 0 };
        health
    };
    groups.iter().filter(|g| g.backup == backups_serve).fold(Health::default(), sum)
}

/// Which levels are whose region's, by region; the last are in none. Empty without regions.
pub(crate) fn regions(groups: &[Group], settings: &PoolSettings) -> Box<[Range<usize>]> {
    let Some(regions) = &settings.regions else { return Box::default() };
    let start = |region: usize| groups.partition_point(|g| g.region < region);
    (0..=regions.list.len()).map(|r| start(r)..start(r + 1)).collect()
}

/// A member of a level, healthy or not: what its share and its hash table are counted over.
fn belongs(exclusion: Option<Exclusion>) -> bool {
    !matches!(
        exclusion,
        Some(Exclusion::Disabled | Exclusion::Maintenance | Exclusion::NotInSubset | Exclusion::ZeroWeight)
    )
}
