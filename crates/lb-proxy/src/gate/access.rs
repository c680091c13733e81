//! Who may come in, by address: networks that are allowed, and networks that are denied. A denial goes before a permission.
//!
//! O(networks) a request; the configuration file bounds them to 1024 each. It lacks names and countries.

use lb_route::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// Networks whose clients may, and may not, come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessList {
    /// Whose clients may; none: everybody's, also those of clients without an address (on a Unix domain socket).
    pub allow: Vec<IpNet>,
    /// Whose clients may not, even if they are allowed.
    pub deny: Vec<IpNet>,
}

impl AccessList {
    /// May a client with this address come in? One without an address may unless there is a list of those that may.
    pub fn allows(&self, ip: Option<IpAddr>) -> bool {
        let Some(ip) = ip else { return self.allow.is_empty() };
        let ip = ip.to_canonical();
        !self.deny.iter().any(|net| contains(net, ip))
            && (self.allow.is_empty() || self.allow.iter().any(|net| contains(net, ip)))
    }
}

/// A network in IPv6's spelling of IPv4 (`::ffff:10.0.0.0/104`) has the IPv4 addresses.
fn contains(net: &IpNet, ip: IpAddr) -> bool {
    net.contains(&ip)
        || match (net, ip) {
            (IpNet::V6(net), IpAddr::V4(ip)) => {
                let mapped: Ipv6Addr = ip.to_ipv6_mapped();
                net.prefix_len() >= 96 && net.contains(&mapped)
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_goes_before_a_permission() {
        let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
        let may = |allow: &[&str], deny: &[&str], ip: &str| {
            AccessList { allow: nets(allow), deny: nets(deny) }.allows(ip.parse().ok())
        };
        assert!(may(&[], &[], "192.0.2.1"));
        assert!(may(&["10.0.0.0/8"], &[], "10.1.2.3"));
        assert!(!may(&["10.0.0.0/8"], &[], "11.1.2.3"));
        assert!(!may(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3"));
        assert!(may(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.2.2.3"));
        assert!(!may(&[], &["10.0.0.7/32"], "::ffff:10.0.0.7"), "in another spelling");
        assert!(!may(&[], &["::ffff:10.0.0.0/104"], "10.0.0.7"), "the network in another spelling");
        assert!(may(&[], &["::/0"], "10.0.0.7"), "all of IPv6 is none of IPv4");
        assert!(may(&["2001:db8::/32"], &[], "2001:db8::1"));
        assert!(may(&[], &["10.0.0.7/32"], "none"), "no address, and nobody in particular is allowed");
        assert!(!may(&["0.0.0.0/0", "::/0"], &[], "none"), "no address is in no network");
    }
}
