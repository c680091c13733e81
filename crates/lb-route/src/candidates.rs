//! Routes that fit a request as far as host and segments go, in their order, and the first of them that fits wholly.
//!
//! Many routes may have one path and tell requests apart by a header (`x-tenant: a`, `x-tenant: b`, …). A long list is therefore kept
//! by the value that a header or query parameter has to be: the request's values are looked up, O(1) each, and only routes that want
//! one of them are asked. What is found is the least index that fits, whatever the order in which lists are asked, so the grouping
//! changes nothing but the time.

use crate::values::{Condition, Place, Test};
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Up to so many routes a list is simply walked: that costs no more than looking values up.
const LIST_MAX: usize = 8;

/// No route's index.
pub(crate) const NONE: u32 = u32::MAX;

/// Where values to look up come from: a request, or (for [unreachable routes](crate::Unreachable)) what a route wants of them.
pub(crate) trait Values {
    fn each(&self, place: &Place, see: &mut dyn FnMut(&[u8]));
}

#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The least of all indices; a list whose least is not below what was found already needs no look.
    least: Option<u32>,
    /// Ascending.
    plain: Vec<u32>,
    groups: Vec<Group>,
}

/// Those that want one value, by that value.
#[derive(Debug)]
struct Group {
    place: Place,
    least: u32,
    /// Ascending, each.
    lists: HashMap<Box<[u8]>, Vec<u32>, FixedState>,
}

impl Candidates {
    /// Indices come in ascending order.
    pub(crate) fn push(&mut self, index: u32) {
        self.least.get_or_insert(index);
        self.plain.push(index);
    }

    pub(crate) fn least(&self) -> u32 {
        self.least.unwrap_or(NONE)
    }

    /// Groups a long list. `conditions` are those of a route.
    pub(crate) fn group<'a>(&mut self, conditions: impl Fn(u32) -> &'a [Condition]) {
        if self.plain.len() <= LIST_MAX {
            return;
        }
        let mut plain = Vec::new();
        // Where each place's group stands: there may be as many places as routes.
        let mut known: HashMap<Place, usize> = HashMap::new();
        for index in std::mem::take(&mut self.plain) {
            let wanted = conditions(index).iter().find_map(|condition| match &condition.test {
                Test::Exact(value) => Some((&condition.place, value)),
                _ => None,
            });
            let Some((place, value)) = wanted else {
                plain.push(index);
                continue;
            };
            let at = *known.entry(place.clone()).or_insert_with(|| {
                self.groups.push(Group { place: place.clone(), least: index, lists: HashMap::default() });
                self.groups.len() - 1
            });
            self.groups[at].lists.entry(value.clone()).or_default().push(index);
        }
        self.plain = plain;
    }

    /// Lowers `best` to the least index that `fits`, if there is one below it.
    #[inline]
    pub(crate) fn first(&self, values: &impl Values, best: &mut u32, fits: &mut impl FnMut(u32) -> bool) {
        if self.least() >= *best {
            return;
        }
        first_of(&self.plain, best, fits);
        for group in &self.groups {
            if group.least < *best {
                values.each(&group.place, &mut |value| {
                    if let Some(list) = group.lists.get(value) {
                        first_of(list, best, fits);
                    }
                });
            }
        }
    }
}

fn first_of(list: &[u32], best: &mut u32, fits: &mut impl FnMut(u32) -> bool) {
    for &index in list {
        if index >= *best {
            return;
        }
        if fits(index) {
            *best = index;
            return;
        }
    }
}
