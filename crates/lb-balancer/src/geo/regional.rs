//! `geo-aware`: a balancer for each region, with backends, algorithm and health of its own.
//!
//! The client's own region is asked first, then the others, the nearest first. A region carries all of its clients until fewer than
//! 100/1.4 % of its backends are usable; from there on a part of them goes on to the next (Envoy's spill-over between localities), the
//! same clients each time. A region without a usable backend is passed over. When all are, the fallback region gets the request,
//! and then any: there unhealthy backends are better than none.

use super::answer;
use crate::selection::{Here, Selection, note};
use crate::{LoadBalancer, SelectOptions};
use lb_core::{ExclusionCounts, Explanation, Health, Lease, PickContext, SelectError, Step};
use lb_geo::{Answer, GeoDetector, RegionMap};
use lb_types::RequestInfo;

/// How much of its traffic a region can carry for each percent of its backends that is usable, in percent: as the levels of a pool.
const OVERPROVISIONING: u32 = 140;

/// The balancers of the regions.
#[derive(Debug)]
pub(crate) struct Regional {
    pub(crate) detector: GeoDetector,
    /// Its regions stand in the order of `leaves`.
    pub(crate) map: RegionMap,
    pub(crate) leaves: Box<[LoadBalancer]>,
    pub(crate) fallback: Option<usize>,
}

/// What a request needs to go on to other regions.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// All regions, in the order in which they are asked.
    order: Vec<u16>,
    /// What holds in the regions that it was in before.
    parked: Vec<Here>,
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Regions that have usable backends, for those that were not tried.
    Usable,
    /// All, for whoever may be had.
    Any,
}

impl Regional {
    pub(crate) fn leaves(&self) -> &[LoadBalancer] {
        &self.leaves
    }

    fn health(&self, leaf: usize) -> Health {
        self.leaves[leaf].pool().snapshot().health()
    }

    /// All regions for a client who is there: its own, then the nearest.
    fn order(&self, answer: Option<&Answer>, steps: &mut Option<Vec<Step>>) -> Vec<u16> {
        let unknown = Answer::Unknown(lb_geo::Why::NotInDatabase);
        let answer = answer.unwrap_or(&unknown);
        let own = self.map.region_of(answer);
        note(steps, "region", || match &own {
            Some(d) => format!("{}: {}", d.region, d.why),
            None => "none is the client's, and there is no fallback".to_owned(),
        });
        let mut order = Vec::with_capacity(self.leaves.len());
        self.map.by_distance_from(own.map_or(0, |d| d.index), answer, &mut order);
        let asked = steps.is_some();
        for region in order.iter().copied().map(usize::from).filter(|_| asked) {
            let Health { eligible, all } = self.health(region);
            let km = self.map.km_between(region, answer);
            let km = km.map_or_else(|| "nobody knows how far".to_owned(), |km| format!("{km:.0} km away"));
            let name = self.map.names().nth(region).unwrap_or_default();
            note(steps, "region", || format!("{name} is {km}, {eligible} of {all} usable"));
        }
        order
    }

    /// The first region that is to serve this request: its own, or the one that a part of its clients spills over to.
    fn first(&self, order: &[u16], point: u64, steps: &mut Option<Vec<Step>>) -> usize {
        let fallback = || self.fallback.unwrap_or_else(|| order.first().copied().map_or(0, usize::from));
        if let Some(&own) = order.first()
            && self.health(usize::from(own)).capacity(OVERPROVISIONING) == 100
        {
            return usize::from(own);
        }
        let mut left = ((u128::from(point) * 100) >> 64) as u32;
        let capacities = || order.iter().map(|&r| self.health(usize::from(r)).capacity(OVERPROVISIONING));
        // Where all together cannot carry everything, they share it by what they can.
        let total = capacities().sum::<u32>().min(100);
        if total == 0 {
            note(steps, "region", || "no region has a usable backend: the fallback".to_owned());
            return fallback();
        }
        left = left * total / 100;
        for (at, (&region, capacity)) in order.iter().zip(capacities()).enumerate() {
            if left < capacity {
                if at > 0 {
                    let name = self.map.names().nth(usize::from(region)).unwrap_or_default();
                    note(steps, "region", || {
                        format!("this client goes on to {name}: those before it are not well enough")
                    });
                }
                return usize::from(region);
            }
            left -= capacity;
        }
        fallback()
    }

    pub(crate) fn selection(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
        random: u64,
    ) -> Selection {
        self.look(request, options, random, &mut None)
    }

    fn look(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
        random: u64,
        steps: &mut Option<Vec<Step>>,
    ) -> Selection {
        let answer = answer(&self.detector, request, options, steps);
        let order = self.order(answer.as_ref(), steps);
        // The same clients spill over each time, so that they keep their backends there.
        let point = lb_core::hash_source(&lb_types::KeySource::ClientIp, request).unwrap_or(random);
        let leaf = self.first(&order, point, steps);
        let own = order.first().map_or(leaf, |&r| usize::from(r));
        let here = match leaf == own {
            true => None,
            // Who has a session in his region does not spill over while its backend may be had.
            false => Some(self.leaves[own].here(own, request, options, &mut steps.is_some().then(Vec::new))),
        };
        let here = match here.filter(|here| self.leaves[own].is_at_home(here)) {
            Some(here) => {
                note(steps, "region", || "but it has a session in its own region, and stays".to_owned());
                here
            }
            None => self.leaves[leaf].here(leaf, request, options, steps),
        };
        let elsewhere = Elsewhere { order, parked: vec![] };
        Selection { elsewhere: Some(Box::new(elsewhere)), ..Selection::new(here) }
    }

    /// In which order regions are asked: where the request is, then by distance; at the last the fallback before all others.
    fn walk<'a>(&'a self, now_in: usize, order: &'a [u16], round: Round) -> impl Iterator<Item = usize> + 'a {
        let first = match round {
            Round::Usable => now_in,
            Round::Any => self.fallback.unwrap_or(now_in),
        };
        let others = order.iter().map(|&r| usize::from(r)).filter(move |&r| r != first);
        std::iter::once(first)
            .chain(others)
            .filter(move |&leaf| round == Round::Any || self.health(leaf).eligible > 0)
    }

    pub(crate) fn acquire(&self, s: &mut Selection) -> Result<Lease, SelectError> {
        let own = s.here.leaf;
        // Most often: its region has somebody.
        if self.health(own).eligible > 0 {
            s.here.cx.repeats = false;
            match self.leaves[own].acquire_here(&mut s.here) {
                Err(SelectError::NoneUsable(_) | SelectError::NoBackends) => {}
                other => return other,
            }
        }
        self.acquire_elsewhere(s)
    }

    #[cold]
    fn acquire_elsewhere(&self, s: &mut Selection) -> Result<Lease, SelectError> {
        let (mut why, mut counted) = (ExclusionCounts::default(), false);
        let own = s.here.leaf;
        let order = s.elsewhere.as_ref().map(|e| e.order.clone()).unwrap_or_default();
        for round in [Round::Usable, Round::Any] {
            // Its own was asked before.
            for leaf in self.walk(own, &order, round).filter(|&l| l != own || round == Round::Any) {
                self.switch(s, leaf);
                s.here.cx.repeats = round == Round::Any;
                match self.leaves[leaf].acquire_here(&mut s.here) {
                    Err(SelectError::NoneUsable(counts)) if round == Round::Any => {
                        why.merge(&counts);
                        counted = true;
                    }
                    Err(SelectError::NoneUsable(_) | SelectError::NoBackends) => {}
                    other => return other,
                }
            }
        }
        self.switch(s, own);
        Err(if counted { SelectError::NoneUsable(why) } else { SelectError::NoBackends })
    }

    /// Goes on to another region, with what is known of the request there: nothing, unless it was there before.
    fn switch(&self, s: &mut Selection, leaf: usize) {
        if s.here.leaf == leaf {
            return;
        }
        let (now, random) = (s.here.cx.now, s.here.cx.draw());
        let elsewhere = s.elsewhere.get_or_insert_default();
        let known = elsewhere.parked.iter().position(|h| h.leaf == leaf);
        let next = match known {
            Some(at) => elsewhere.parked.swap_remove(at),
            None => Here::plain(leaf, PickContext::new(now, random)),
        };
        elsewhere.parked.push(std::mem::replace(&mut s.here, next));
        s.here.cx.now = now;
    }

    pub(crate) fn has_another(&self, s: &Selection) -> bool {
        let parked = s.elsewhere.iter().flat_map(|e| &e.parked);
        let known: Vec<&Here> = std::iter::once(&s.here).chain(parked).collect();
        if !self.leaves[s.here.leaf].may_leave(&s.here) {
            return false;
        }
        self.leaves.iter().enumerate().any(|(leaf, lb)| match known.iter().find(|h| h.leaf == leaf) {
            Some(here) => lb.has_another_here(here),
            None => lb.pool().snapshot().usable().next().is_some(),
        })
    }

    pub(crate) fn explain(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
        random: u64,
    ) -> Explanation {
        let mut steps = Some(vec![]);
        let s = self.look(request, options, random, &mut steps);
        let order = s.elsewhere.as_ref().map(|e| e.order.clone()).unwrap_or_default();
        let own = s.here.leaf;
        let mut last = None;
        for round in [Round::Usable, Round::Any] {
            for leaf in self.walk(own, &order, round) {
                let lb = &self.leaves[leaf];
                let mut so_far = steps.clone();
                note(&mut so_far, "pool", || lb.name().to_owned());
                let mut said = if leaf == own {
                    lb.explain_here(&s.here, so_far)
                } else {
                    let here = Here::plain(leaf, PickContext::new(s.here.cx.now, random));
                    lb.explain_here(&here, so_far)
                };
                said.region = self.map.names().nth(leaf).map(str::to_owned);
                let bound = said.error.is_some() && !lb.may_leave(&s.here);
                if said.picked.is_some() || bound {
                    return said;
                }
                note(&mut steps, "region", || {
                    format!(
                        "{}: {}",
                        said.region.as_deref().unwrap_or_default(),
                        said.error.as_deref().unwrap_or_default()
                    )
                });
                last = Some(said);
            }
        }
        last.unwrap_or_else(|| self.leaves[own].explain_here(&s.here, steps))
    }
}
