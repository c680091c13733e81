//! Networks and what belongs to them: the longest prefix that has an address wins.
//!
//! One hash table for each length of a prefix that is there, the longest first: a look-up costs a probe for each length in use, at most
//! 33 or 129, however many networks there are. A compressed trie would do with fewer, and is three times the code.

use crate::special::canonical;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

/// Values by network. An IPv4 network that is written as IPv6 (`::ffff:10.0.0.0/104`) is the IPv4 network.
#[derive(Clone, Debug)]
pub(crate) struct PrefixTable<T> {
    v4: Vec<Length<T>>,
    v6: Vec<Length<T>>,
}

#[derive(Clone, Debug)]
struct Length<T> {
    bits: u8,
    networks: HashMap<u128, T, foldhash::fast::RandomState>,
}

impl<T> PrefixTable<T> {
    pub(crate) fn new() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }

    /// What the network had before, if it was there.
    pub(crate) fn insert(&mut self, network: IpNet, value: T) -> Option<T> {
        let (address, bits) = start_of(network);
        let lengths = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let at = match lengths.binary_search_by(|length| bits.cmp(&length.bits)) {
            Ok(at) => at,
            Err(at) => {
                lengths.insert(at, Length { bits, networks: HashMap::default() });
                at
            }
        };
        lengths[at].networks.insert(key(address, bits), value)
    }

    /// Is this very network there?
    pub(crate) fn contains(&self, network: IpNet) -> bool {
        let (address, bits) = start_of(network);
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().any(|length| length.bits == bits && length.networks.contains_key(&key(address, bits)))
    }

    /// Of the longest prefix that has `ip`.
    pub(crate) fn get(&self, ip: IpAddr) -> Option<&T> {
        let ip = canonical(ip);
        let lengths = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().find_map(|length| length.networks.get(&key(ip, length.bits)))
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.iter().chain(&self.v6).map(|length| length.networks.len()).sum()
    }
}

/// The network's first address and the length of its prefix; as IPv4 if all its addresses are IPv4 written as IPv6.
fn start_of(network: IpNet) -> (IpAddr, u8) {
    match (canonical(network.network()), network) {
        (v4 @ IpAddr::V4(_), IpNet::V6(mapped)) if mapped.prefix_len() >= 96 => {
            (v4, mapped.prefix_len() - 96)
        }
        _ => (network.network(), network.prefix_len()),
    }
}

/// The first `bits` of the address, the rest zero.
fn key(ip: IpAddr, bits: u8) -> u128 {
    let (address, width) = match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let rest = width - u32::from(bits).min(width);
    address.checked_shr(rest).and_then(|prefix| prefix.checked_shl(rest)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_prefix_wins() {
        let mut table = PrefixTable::new();
        let networks = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::ffff:192.168.0.0/112",
        ];
        for (n, network) in networks.iter().enumerate() {
            assert_eq!(table.insert(network.parse().unwrap(), n), None);
        }
        assert_eq!(table.len(), 6);
        for (ip, n) in [
            ("10.9.9.9", Some(0)),
            ("10.1.9.9", Some(1)),
            ("10.1.2.3", Some(2)),
            ("::ffff:10.1.2.3", Some(2)),
            ("192.168.7.7", Some(5)),
            ("8.8.8.8", Some(3)),
            ("2001:db8::1", Some(4)),
            ("2001:db9::1", None),
        ] {
            assert_eq!(table.get(ip.parse().unwrap()).copied(), n, "{ip}");
        }
        assert_eq!(table.insert("10.0.0.1/8".parse().unwrap(), 7), Some(0), "host bits do not count");
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_scan(
            networks in proptest::collection::vec((any::<u128>(), 0..=128u8, any::<bool>()), 0..40),
            pick in any::<prop::sample::Index>(),
            low in any::<u16>(),
        ) {
            let networks: Vec<IpNet> = networks.into_iter().map(|(bits, length, v4)| {
                // Few different addresses, so that prefixes nest.
                let bits = bits & !(0xffff_ffff << 40);
                let net = if v4 {
                    IpNet::new(std::net::Ipv4Addr::from_bits(bits as u32).into(), length % 33)
                } else {
                    IpNet::new(std::net::Ipv6Addr::from_bits(bits | 1 << 125).into(), length.max(3))
                };
                net.unwrap().trunc()
            }).collect();
            let mut table = PrefixTable::new();
            for network in &networks {
                table.insert(*network, *network);
            }
            if !networks.is_empty() {
                let ip = match networks[pick.index(networks.len())].network() {
                    IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() ^ u32::from(low)).into()),
                    IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() ^ u128::from(low)).into()),
                };
                let scan = networks.iter().filter(|n| n.contains(&ip)).max_by_key(|n| n.prefix_len());
                prop_assert_eq!(table.get(ip), scan);
            }
        }
    }
}
