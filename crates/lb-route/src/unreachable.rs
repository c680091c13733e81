//! Routes that no request gets to, because an earlier one takes all that they would.
//!
//! Each route goes through the tries as a request does, its own path for a path and the values that it wants for values, and the routes
//! that it meets are compared with it condition by condition. **Never a false alarm**: what is reported takes no request. Something may be
//! missed: a route that several earlier ones take in parts (`GET` the one, all others the other), regular expressions that say the same in
//! different words, conditions that contradict each other.
//!
//! A look-up for each route: 10 000 take milliseconds. Routes of one path with no exact value to tell them apart are compared each with
//! each (O(n²), 0.6 s for 10 000), up to [`COMPARISONS_MAX`] in all: routes behind that are not looked at.

use crate::candidates::{NONE, Values};
use crate::pattern::Kind;
use crate::route::Compiled;
use crate::router::Router;
use crate::trie::PatternWay;
use crate::values::{Place, Test};

/// How many pairs of routes are compared at the most: a second or two.
pub const COMPARISONS_MAX: usize = 100_000_000;

/// A route that takes no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Unreachable {
    /// The route's place in the list.
    pub index: usize,
    /// The first that takes all that it would, before it.
    pub by: usize,
}

impl Router {
    /// The routes that no request gets to, in their order; see the module. A warning for whoever wrote them.
    pub fn unreachable(&self) -> Vec<Unreachable> {
        self.unreachable_within(COMPARISONS_MAX)
    }

    fn unreachable_within(&self, comparisons_max: usize) -> Vec<Unreachable> {
        let mut found = Vec::new();
        let mut comparisons = 0;
        for (index, route) in (0..NONE).zip(&self.routes) {
            let values = Wanted(route);
            let mut best = index; // only earlier ones
            let mut covers = |other: u32| {
                comparisons += 1;
                self.routes[other as usize].covers(route)
            };
            let Some(host) = route.hosts.first() else { continue };
            self.each_trie_over(host, |trie| match route.pattern.kind {
                // Who takes `*` and everything else has no condition on the path.
                Kind::Any | Kind::Asterisk => trie.first_of_asterisk(&values, &mut best, &mut covers),
                _ => trie.first(PatternWay::new(&route.pattern), &values, &mut best, &mut covers),
            });
            if best < index {
                found.push(Unreachable { index: index as usize, by: best as usize });
            }
            if comparisons > comparisons_max {
                break;
            }
        }
        found
    }
}

/// What every request that a route takes certainly has.
struct Wanted<'a>(&'a Compiled);

impl Values for Wanted<'_> {
    fn each(&self, place: &Place, see: &mut dyn FnMut(&[u8])) {
        for condition in &self.0.conditions {
            if let Test::Exact(value) = &condition.test
                && condition.place == *place
            {
                see(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;

    #[test]
    fn comparisons_are_bounded() {
        let routes: Vec<Route> =
            (0..100).map(|i| Route::new().path("/x").method(format!("M{}", i % 50))).collect();
        let router = Router::build(&routes).unwrap();
        let all: Vec<_> = (50..100).map(|index| Unreachable { index, by: index - 50 }).collect();
        assert_eq!(router.unreachable(), all);
        // 50 routes that are compared with all before them are 1 225 pairs.
        assert_eq!(router.unreachable_within(1_225), all[..1]);
        assert_eq!(router.unreachable_within(1_224), []);
    }
}
