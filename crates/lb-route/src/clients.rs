//! The networks that a route is for: sorted ranges that do not overlap, found in O(log n).

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clients {
    /// First and last address. IPv4 before IPv6, as `IpAddr` is ordered.
    ranges: Box<[(IpAddr, IpAddr)]>,
}

impl Clients {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        let canonical: Vec<IpNet> = networks.iter().map(canonical).collect();
        let mut ranges: Vec<_> =
            IpNet::aggregate(&canonical).iter().map(|net| (net.network(), net.broadcast())).collect();
        ranges.sort_unstable();
        Self { ranges: ranges.into() }
    }

    pub(crate) fn is_any(&self) -> bool {
        self.ranges.is_empty()
    }

    /// A client without an address is in no network.
    pub(crate) fn allow(&self, client: Option<IpAddr>) -> bool {
        self.is_any() || client.is_some_and(|ip| self.range_of(ip.to_canonical()).is_some())
    }

    fn range_of(&self, ip: IpAddr) -> Option<&(IpAddr, IpAddr)> {
        let at = self.ranges.partition_point(|(first, _)| *first <= ip).checked_sub(1)?;
        self.ranges.get(at).filter(|(_, last)| ip <= *last)
    }

    /// Has this every client that `other` has?
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let has = |(first, last): &(IpAddr, IpAddr)| self.range_of(*first).is_some_and(|own| last <= &own.1);
        self.is_any() || !other.is_any() && other.ranges.iter().all(has)
    }
}

/// An IPv4 network that is mapped into IPv6 is that IPv4 network, as its addresses are.
fn canonical(net: &IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.network().to_ipv4_mapped() {
            Some(v4) => mapped(v4, v6.prefix_len() - 96).unwrap_or(*net),
            None => *net,
        },
        net => *net,
    }
}

fn mapped(address: Ipv4Addr, prefix_length: u8) -> Option<IpNet> {
    IpNet::new(address.into(), prefix_length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(networks: &[&str]) -> Clients {
        Clients::new(&networks.iter().map(|net| net.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_are_found_in_networks() {
        let some = clients(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.7/32",
            "2001:db8::/32",
            "::ffff:198.51.100.0/120",
        ]);
        for (ip, allowed) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("9.255.255.255", false),
            ("11.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("198.51.100.9", true),
            ("::ffff:10.1.2.3", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::1", false),
        ] {
            assert_eq!(some.allow(Some(ip.parse().unwrap())), allowed, "{ip}");
        }
        assert!(!some.allow(None));
        assert!(Clients::default().allow(None));
    }

    #[test]
    fn networks_cover_networks() {
        let both = clients(&["10.0.0.0/9", "10.128.0.0/9", "2001:db8::/32"]);
        assert!(both.covers(&clients(&["10.0.0.0/8"])), "two halves are a whole");
        assert!(both.covers(&clients(&["10.1.0.0/16", "2001:db8:1::/48"])));
        assert!(!both.covers(&clients(&["10.1.0.0/16", "11.0.0.0/16"])));
        assert!(!both.covers(&clients(&["0.0.0.0/0"])));
        assert!(!both.covers(&Clients::default()));
        assert!(Clients::default().covers(&both));
    }
}
