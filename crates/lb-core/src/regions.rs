//! Backends by region: a request goes to those of its client's region, else to those of the fallback region, else to any.
//!
//! Who is in which region is the caller's to say ([`PickContext::region`](crate::PickContext::region)); here it is only which
//! backends are whose. Within a region everything is as in a pool of its own: priorities, zones, backups, panic by
//! `panic_threshold`. What is left of the pool's whole is the last resort: unhealthy backends are used only when no region has others.

use crate::error::PoolError;
use lb_types::{Backend, BackendId};
use std::collections::BTreeSet;

/// The most regions: each has levels of its own in every snapshot.
pub const REGIONS_MAX: usize = 256;

/// One region's backends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its backends, beside those whose metadata says `region = <name>` and that no region lists.
    pub backends: BTreeSet<BackendId>,
}

/// A pool's regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    /// Each once; a place in this list is what [`PickContext::region`](crate::PickContext::region) says.
    pub list: Vec<Region>,
    /// Whose backends are asked when the client's own region has none to give: a place in `list`.
    pub fallback: Option<u16>,
}

impl Regions {
    /// The place of a backend's region. O(regions).
    pub fn of(&self, backend: &Backend) -> Option<u16> {
        let listed = self.list.iter().position(|r| r.backends.contains(&backend.id));
        let named = || {
            let name = backend.metadata.get("region")?;
            self.list.iter().position(|r| r.name == *name)
        };
        listed.or_else(named).map(|at| at as u16)
    }

    /// The region's name.
    pub fn name(&self, at: u16) -> Option<&str> {
        self.list.get(usize::from(at)).map(|r| &*r.name)
    }

    /// In which order a client's request asks: its own region, the fallback, the others, and at the very end the backends that are in
    /// none (as if they were one region more).
    pub(crate) fn order(&self, own: Option<u16>) -> impl Iterator<Item = usize> + use<> {
        let all = self.list.len();
        let own = own.map(usize::from).filter(|&r| r < all);
        let fallback = self.fallback.map(usize::from).filter(|&r| own != Some(r));
        let others = (0..=all).filter(move |&r| own != Some(r) && fallback != Some(r));
        own.into_iter().chain(fallback).chain(others)
    }

    pub(crate) fn check(&self) -> Result<(), PoolError> {
        let refuse = |field, value: String, reason| Err(PoolError::Setting { field, value, reason });
        if self.list.len() > REGIONS_MAX {
            return refuse("regions", format!("({})", self.list.len()), "there can be 256");
        }
        if let Some(at) = self.fallback.filter(|&at| usize::from(at) >= self.list.len()) {
            return refuse("fallback_region", at.to_string(), "must be one of the regions");
        }
        let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for region in &self.list {
            if !names.insert(&*region.name) {
                return refuse("regions", format!("{:?}", region.name), "a region can be there once");
            }
            if let Some(id) = region.backends.iter().find(|id| !ids.insert(*id)) {
                return refuse("regions", format!("{:?}", id.as_str()), "a backend can be in one region");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(fallback: Option<u16>) -> Regions {
        let region = |name: &str, ids: &[&str]| Region {
            name: name.into(),
            backends: ids.iter().map(|&id| BackendId::from(id)).collect(),
        };
        Regions { list: vec![region("eu", &["a"]), region("us", &[]), region("ap", &["c"])], fallback }
    }

    #[test]
    fn a_backend_is_where_it_is_listed_else_where_it_says() {
        let backend = |id: &str, region: &str| {
            Backend::new(id, "http://127.0.0.1:1".parse().unwrap()).metadata("region", region)
        };
        let r = regions(None);
        let of = |id, says| r.of(&backend(id, says)).and_then(|at| r.name(at));
        assert_eq!(of("a", "us"), Some("eu"));
        assert_eq!(of("b", "us"), Some("us"));
        assert_eq!(of("b", "moon"), None);
    }

    #[test]
    fn own_then_fallback_then_the_others() {
        let order = |own, fallback| regions(fallback).order(own).collect::<Vec<_>>();
        assert_eq!(order(Some(2), Some(1)), [2, 1, 0, 3]);
        assert_eq!(order(Some(1), Some(1)), [1, 0, 2, 3]);
        assert_eq!(order(None, Some(1)), [1, 0, 2, 3]);
        assert_eq!(order(None, None), [0, 1, 2, 3]);
        assert_eq!(order(Some(9), None), [0, 1, 2, 3]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(regions(Some(2)).check(), Ok(()));
        let refused = |r: Regions| r.check().unwrap_err().to_string();
        assert_eq!(refused(regions(Some(3))), "fallback_region = 3: must be one of the regions");
        let mut twice = regions(None);
        twice.list[1].name = "eu".into();
        assert_eq!(refused(twice), "regions = \"eu\": a region can be there once");
        let mut shared = regions(None);
        shared.list[1].backends.insert("a".into());
        assert_eq!(refused(shared), "regions = \"a\": a backend can be in one region");
    }
}
