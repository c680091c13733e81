//! DNS answers as backends.
//!
//! Ids are `host:port`, so that a backend keeps its counters, its health and its breaker while its host stays in the answer,
//! in whatever order resolvers rotate it. Lists come out sorted and without repetitions: equal answers give equal lists.

use lb_types::{Address, Backend, Host};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The entry of a discovered backend's metadata that holds the name it was found under.
pub const NAME_KEY: &str = "dns";

/// A weight of 1 in a level where weights have to be divided or 0 has to stay smaller than 1: divisible by every count of addresses
/// up to 6, and by 8, 10 and 12.
const UNIT: u64 = 120;

/// One SRV record, with what its target resolves to if somebody has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lower ones first; spill-over levels are made of them.
    pub priority: u16,
    /// The share within its priority; 0: very small beside others.
    pub weight: u16,
    /// The port; a record with port 0 is left out.
    pub port: u16,
    /// The host's name; `.` says that the service is not there, and is left out, as is what no URL can hold.
    pub target: String,
    /// The target's addresses: each is a backend, and a record with an empty list is left out. `None`: not resolved; the target's
    /// name is the one backend's host, for whoever connects to resolve.
    pub addresses: Option<Vec<IpAddr>>,
}

/// The backends of an A/AAAA answer for `name`: one an address, all as `template` says (scheme, base path, weight, limits, metadata …)
/// but for id, address and the metadata entry [`NAME_KEY`]. A `port` of 0 gives none.
pub fn from_addresses(name: &str, addresses: &[IpAddr], port: u16, template: &Backend) -> Vec<Backend> {
    let all: BTreeMap<IpAddr, ()> = addresses.iter().map(|ip| (ip.to_canonical(), ())).collect();
    all.into_keys().filter_map(|ip| backend(name, &Host::Ip(ip), port, template)).collect()
}

/// The backends of an SRV answer (RFC 2782), otherwise as [`from_addresses`].
///
/// Priorities become the levels `template.priority`, + 1, + 2 …, in their order, without gaps. Weights hold within their priority: where
/// all are 0 all are equal; beside greater ones, 0 counts as 1/120. A target with several addresses divides its weight among them
/// (rounded to 1/120, at least that). A host and port named twice belongs to its first priority, with the sum of its weights there.
pub fn from_srv(records: &[SrvRecord], template: &Backend) -> Vec<Backend> {
    let mut levels = BTreeMap::<u16, Vec<&SrvRecord>>::new();
    for r in records.iter().filter(|r| r.target != ".") {
        if places(r).first().is_some_and(|(host, port)| backend("", host, *port, template).is_some()) {
            levels.entry(r.priority).or_default().push(r);
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut all = vec![];
    let mut level = template.priority;
    for records in levels.into_values() {
        let mut weights = BTreeMap::<(Host, u16), (u64, &str)>::new();
        for (r, weight) in records.iter().flat_map(|r| shares(r, &records)) {
            for place in places(r) {
                weights.entry(place).or_insert((0, &r.target)).0 += weight;
            }
        }
        weights.retain(|place, _| seen.insert(place.clone()));
        if weights.is_empty() {
            continue;
        }
        let divisor = weights.values().fold(0, |a, w| gcd(a, w.0)).max(1);
        for ((host, port), (weight, target)) in weights {
            let b = backend(target.trim_end_matches('.'), &host, port, template);
            all.extend(
                b.map(|b| b.weight(u32::try_from(weight / divisor).unwrap_or(u32::MAX)).priority(level)),
            );
        }
        level = level.saturating_add(1);
    }
    all
}

/// A record with the weight of each of its addresses, in units.
fn shares<'a>(r: &'a SrvRecord, level: &[&SrvRecord]) -> Option<(&'a SrvRecord, u64)> {
    let equal = level.iter().all(|r| r.weight == 0);
    let weight = if equal { UNIT } else { u64::from(r.weight) * UNIT };
    Some((r, (weight / places(r).len() as u64).max(1)))
}

/// Where a record leads: its addresses, or its target's name.
fn places(r: &SrvRecord) -> Vec<(Host, u16)> {
    let Some(addresses) = &r.addresses else {
        let name = r.target.trim_end_matches('.').to_ascii_lowercase();
        return vec![(name.parse().map_or_else(|_| Host::Name(name.into()), Host::Ip), r.port)];
    };
    let mut all: Vec<_> = addresses.iter().map(|ip| (Host::Ip(ip.to_canonical()), r.port)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn backend(name: &str, host: &Host, port: u16, template: &Backend) -> Option<Backend> {
    let (scheme, base) = (template.url.scheme().as_str(), template.url.base_path());
    let mut b = template.clone();
    b.url = format!("{scheme}://{host}:{port}{base}").parse().ok()?;
    // A DNS name may hold a `/` or an `@`: then the URL is of another host.
    if *b.url.address() != (Address::Tcp { host: host.clone(), port }) {
        return None;
    }
    b.id = b.url.default_id().into();
    Some(b.metadata(NAME_KEY, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn template() -> Backend {
        Backend::new("template", "https://svc.internal/base".parse().unwrap())
            .metadata("tier", "gold")
            .priority(2)
    }

    fn srv(priority: u16, weight: u16, port: u16, addresses: &[&str]) -> SrvRecord {
        let addresses = Some(addresses.iter().map(|a| ip(a)).collect());
        SrvRecord { priority, weight, port, target: "h.internal.".to_owned(), addresses }
    }

    /// id, weight and priority of each.
    fn of(records: &[SrvRecord]) -> Vec<(String, u32, u32)> {
        let all = from_srv(records, &template());
        all.into_iter().map(|b| (b.id.to_string(), b.weight, b.priority)).collect()
    }

    #[test]
    fn addresses_are_sorted_and_named_once() {
        let answer = ["10.0.0.2", "::1", "10.0.0.1", "::ffff:10.0.0.2"].map(ip);
        let all = from_addresses("svc.internal", &answer, 8443, &template());
        let urls: Vec<_> = all.iter().map(|b| b.url.to_string()).collect();
        assert_eq!(
            urls,
            ["https://10.0.0.1:8443/base", "https://10.0.0.2:8443/base", "https://[::1]:8443/base"]
        );
        assert_eq!(all[2].id, "[::1]:8443");
        assert_eq!((&*all[0].metadata["tier"], &*all[0].metadata[NAME_KEY]), ("gold", "svc.internal"));
        assert!(from_addresses("svc", &answer, 0, &template()).is_empty());
    }

    #[test]
    fn srv_priorities_become_levels_and_weights_hold_within_them() {
        let records = [
            srv(20, 0, 80, &["10.0.0.9"]),
            srv(10, 30, 80, &["10.0.0.1"]),
            srv(10, 10, 81, &["10.0.0.2"]),
            srv(20, 0, 81, &["10.0.0.9"]),
        ];
        let b = |id: &str, weight, priority| (id.to_owned(), weight, priority);
        assert_eq!(
            of(&records),
            [b("10.0.0.1:80", 3, 2), b("10.0.0.2:81", 1, 2), b("10.0.0.9:80", 1, 3), b("10.0.0.9:81", 1, 3)]
        );
    }

    #[test]
    fn weight_zero_is_small_and_several_addresses_share_a_weight() {
        let weights = |records: &[SrvRecord]| of(records).into_iter().map(|b| b.1).collect::<Vec<_>>();
        assert_eq!(weights(&[srv(1, 0, 80, &["10.0.0.1"]), srv(1, 1, 80, &["10.0.0.2"])]), [1, 120]);
        let shared = [srv(1, 6, 80, &["10.0.0.1", "10.0.0.2"]), srv(1, 3, 80, &["10.0.0.3"])];
        assert_eq!(weights(&shared), [1, 1, 1]);
        let twice =
            [srv(1, 2, 80, &["10.0.0.1"]), srv(1, 3, 80, &["10.0.0.1"]), srv(2, 9, 80, &["10.0.0.1"])];
        assert_eq!(of(&twice), [("10.0.0.1:80".to_owned(), 1, 2)], "the lower priority's weights, added up");
        let absent = SrvRecord { target: ".".to_owned(), ..srv(0, 1, 80, &["10.0.0.1"]) };
        assert_eq!(of(&[absent, srv(0, 1, 0, &["10.0.0.1"]), srv(0, 1, 80, &[])]), []);
    }

    #[test]
    fn a_target_that_was_not_resolved_stays_a_name() {
        let named = |priority, weight, port, target: &str| SrvRecord {
            target: target.to_owned(),
            addresses: None,
            ..srv(priority, weight, port, &[])
        };
        let records = [
            named(20, 5, 81, "B.internal."),
            named(15, 7, 80, "c.internal"),
            named(5, 7, 80, "no/host"),
            named(10, 0, 80, "a.internal."),
            named(10, 7, 80, "C.internal."),
            named(10, 7, 80, "no host"),
            named(0, 0, 80, "."),
        ];
        let b = |id: &str, weight, priority| (id.to_owned(), weight, priority);
        assert_eq!(
            of(&records),
            [b("a.internal:80", 1, 2), b("c.internal:80", 840, 2), b("b.internal:81", 1, 3)]
        );
        let all = from_srv(&records[..1], &template());
        assert_eq!(all[0].url.to_string(), "https://b.internal:81/base");
        // A name that is an address is the same backend as the address.
        let both = [named(1, 1, 80, "10.0.0.1"), srv(1, 1, 80, &["10.0.0.1"])];
        assert_eq!(of(&both), [b("10.0.0.1:80", 1, 2)]);
    }

    proptest! {
        #[test]
        fn the_order_of_an_answer_does_not_matter(
            records in {
                let addresses = prop::option::of(prop::collection::vec(0u8..6, 0..4));
                prop::collection::vec((0u16..3, 0u16..5, 1u16..3, addresses), 0..8)
            },
            seed: u64,
        ) {
            let mut all: Vec<_> = records.iter().map(|(p, w, port, ips)| SrvRecord {
                priority: *p,
                weight: *w,
                port: *port,
                target: "t".to_owned(),
                addresses: ips.as_ref().map(|ips| ips.iter().map(|i| IpAddr::from([10, 0, 0, *i])).collect()),
            }).collect();
            let before = from_srv(&all, &template());
            fastrand::Rng::with_seed(seed).shuffle(&mut all);
            prop_assert_eq!(&from_srv(&all, &template()), &before);
            let ids: std::collections::BTreeSet<_> = before.iter().map(|b| b.id.clone()).collect();
            prop_assert_eq!(ids.len(), before.len());
            prop_assert!(before.iter().all(|b| b.weight > 0));
        }
    }
}
