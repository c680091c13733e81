//! A request that belongs to one backend: counted in there, or told why not.

use crate::context::PickContext;
use crate::error::Refusal;
use crate::explain::{Explanation, Recorder};
use crate::gate::{Overlooked, Shut};
use crate::lease::Lease;
use crate::snapshot::Snapshot;
use lb_types::{BackendId, Exclusion};

/// How strongly a request belongs to its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// It is of a client who is there already: what keeps new clients away (draining, weight 0) does not count.
    Session,
    /// It would rather go there: the backend must take new clients.
    Preference,
}

impl Bond {
    fn overlooked(self) -> Overlooked {
        match self {
            Self::Session => Overlooked::only(Shut::Draining),
            Self::Preference => Overlooked::default(),
        }
    }
}

impl Snapshot {
    /// Counts a request in at this very backend. What decides between backends does not count: algorithm, priority, backup, zone, region,
    /// bounded load. What makes a backend unusable does, and so do its limit and what the request has tried.
    ///
    /// # Errors
    /// Why it may not be had.
    pub fn acquire_at(&self, id: &BackendId, bond: Bond, cx: &PickContext<'_>) -> Result<Lease, Refusal> {
        let member = self.member(id, bond, cx)?;
        let pass = self.members[member as usize].state.enter_past(bond.overlooked(), cx.now);
        pass.map(|pass| self.lease(member, pass, cx)).map_err(Refusal::Excluded)
    }

    /// Whether [`acquire_at`](Self::acquire_at) would count it in, as far as a look can tell.
    ///
    /// # Errors
    /// Why not.
    pub fn look_at(&self, id: &BackendId, bond: Bond, cx: &PickContext<'_>) -> Result<(), Refusal> {
        let member = self.member(id, bond, cx)?;
        let why = self.members[member as usize].state.refusal_past(bond.overlooked(), cx.now);
        why.map_or(Ok(()), |why| Err(Refusal::Excluded(why)))
    }

    /// What [`acquire_at`](Self::acquire_at) would do, with every backend's part in it.
    ///
    /// # Errors
    /// Why it would not count it in.
    pub fn explain_at(
        &self,
        id: &BackendId,
        bond: Bond,
        cx: &PickContext<'_>,
    ) -> Result<Explanation, Refusal> {
        self.look_at(id, bond, cx)?;
        let member = self.member(id, bond, cx)?;
        Ok(self.explanation(cx, &Recorder::default(), Some(member)))
    }

    fn member(&self, id: &BackendId, bond: Bond, cx: &PickContext<'_>) -> Result<u32, Refusal> {
        let &at = self.ids.get(id).ok_or(Refusal::Gone)?;
        let m = &self.members[at as usize];
        let built = match bond {
            Bond::Session => m.exclusion_of_bound,
            Bond::Preference => m.exclusion,
        };
        // Where nobody better is left, everybody of its level is given the benefit of the doubt, and so is this one.
        let overlooks = || m.level.and_then(|l| self.levels[usize::from(l)].overlooks);
        let excluded = |why: Exclusion| Err(Refusal::Excluded(why));
        match (built, cx.refusal(m.state.slot())) {
            (Some(why), _) if overlooks() != Some(why) => excluded(why),
            (_, Some(why)) => excluded(why),
            _ => Ok(at),
        }
    }
}
