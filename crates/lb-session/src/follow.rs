//! What becomes of a request whose session is bound, as data for the engine: follow, go elsewhere for once, move, or refuse.

use lb_types::Exclusion;

/// What the engine knows of a session's backend at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes new requests.
    Usable,
    /// It is in the pool, and for this reason it would not be picked.
    Excluded(Exclusion),
    /// It is not in the pool any more.
    Gone,
}

/// What to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Send it to the session's backend.
    Stay,
    /// Send it elsewhere; the session stays bound, as the reason is of this moment or of this request alone.
    Detour,
    /// Bind the session to another backend, and send it there.
    Move,
    /// Answer 503: the session may go nowhere else (`strict`).
    Refuse,
}

/// What to do with a request whose session's backend stands like this.
///
/// | standing | | `strict` |
/// |---|---|---|
/// | usable; draining, weight 0, backup, another priority or region, over its bounded load | stay | stay |
/// | at its connection limit, tried already, excluded by the caller | detour | refuse |
/// | gone, unhealthy, ejected, breaker open, disabled, in maintenance, not in the subset | move | refuse |
///
/// A draining backend keeps its sessions until they end by `ttl` or `max_lifetime`, or until the grace ends and the engine says that it
/// is gone. Backup, priority and load decide where new clients go; who has a session keeps it, as with HAProxy's persistence.
pub const fn follow(standing: Standing, strict: bool) -> Follow {
    let otherwise = match standing {
        Standing::Usable => return Follow::Stay,
        Standing::Gone => Follow::Move,
        Standing::Excluded(why) => match why {
            Exclusion::Draining
            | Exclusion::ZeroWeight
            | Exclusion::Backup
            | Exclusion::OtherPriority
            | Exclusion::OtherRegion
            | Exclusion::OverLoaded => return Follow::Stay,
            Exclusion::ConnectionLimit | Exclusion::AlreadyTried | Exclusion::Excluded => Follow::Detour,
            // Unhealthy, ejected, open, disabled, maintenance, subset, and whatever reason there will be.
            _ => Follow::Move,
        },
    };
    if strict { Follow::Refuse } else { otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_consequence() {
        use Exclusion::{
            AlreadyTried, Backup, BreakerOpen, ConnectionLimit, Disabled, Draining, Ejected, Excluded,
            Maintenance, NotInSubset, OtherPriority, OtherRegion, OverLoaded, Unhealthy, ZeroWeight,
        };
        for (reasons, expected) in [
            (&[Draining, ZeroWeight, Backup, OtherPriority, OtherRegion, OverLoaded][..], Follow::Stay),
            (&[ConnectionLimit, AlreadyTried, Excluded], Follow::Detour),
            (&[Unhealthy, Ejected, BreakerOpen, Disabled, Maintenance, NotInSubset], Follow::Move),
        ] {
            for &why in reasons {
                let strictly = if expected == Follow::Stay { Follow::Stay } else { Follow::Refuse };
                assert_eq!(follow(Standing::Excluded(why), false), expected, "{why}");
                assert_eq!(follow(Standing::Excluded(why), true), strictly, "{why}");
            }
        }
        assert_eq!(follow(Standing::Usable, true), Follow::Stay);
        assert_eq!(
            (follow(Standing::Gone, false), follow(Standing::Gone, true)),
            (Follow::Move, Follow::Refuse)
        );
    }
}
