//! Addresses that no database can place, and the one form in which an address is asked for.
//!
//! The ranges are those of IANA's registries of special-purpose addresses (RFC 6890 and what came after). They are
//! answered before any database is asked, so that the answer is the same with every database; who wants places for addresses of one's own
//! gives them as [`Overrides`](crate::Overrides).

use crate::Why;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address that comes as IPv6, as IPv4: mapped (`::ffff:192.0.2.1`, what a dual-stack listener sees) or translated by the
/// well-known prefix (`64:ff9b::192.0.2.1`, what servers behind a translator see).
pub fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => v6.to_canonical(),
    }
}

/// Why no database can place `ip` (in its [`canonical`] form); none if one may.
pub fn special(ip: IpAddr) -> Option<Why> {
    match canonical(ip) {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<Why> {
    match ip.octets() {
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] | [100, 64..=127, ..] => {
            Some(Why::Private)
        }
        // This network; multicast and future use.
        [0 | 224..=255, ..] => Some(Why::Reserved),
        // IETF assignments and documentation; documentation (two); benchmarks.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..] => Some(Why::Reserved),
        _ => None,
    }
}

fn special_v6(ip: Ipv6Addr) -> Option<Why> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Why::Private),
        // Unique local; link-local and the site-local of old; the local translators' prefix.
        [0xfc00..=0xfdff | 0xfe80..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Some(Why::Private),
        // Unspecified and what else is there; segment routing; multicast.
        [0 | 0x5f00 | 0xff00..=0xffff, ..] => Some(Why::Reserved),
        // Discard; documentation; ORCHID (two), DRIP and documentation; benchmarks.
        [0x100, 0, 0, 0, ..] | [0x3fff, 0..=0xfff, ..] => Some(Why::Reserved),
        [0x2001, 0x10..=0x3f | 0xdb8, ..] | [0x2001, 2, 0, ..] => Some(Why::Reserved),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_told_from_public_ones() {
        let private = [
            "10.0.0.1",
            "127.0.0.53",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "64:ff9b:1::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
        ];
        let reserved = [
            "0.0.0.0",
            "192.0.0.8",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::2",
            "100::1",
            "2001:2:0:7::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "ff02::1",
        ];
        let public = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2001:2:1::1",
            "2001:218::1",
            "2001:4860:4860::8888",
            "2a00::1",
            "::ffff:8.8.8.8",
        ];
        for (addresses, why) in
            [(&private[..], Some(Why::Private)), (&reserved, Some(Why::Reserved)), (&public, None)]
        {
            for address in addresses {
                assert_eq!(special(address.parse().unwrap()), why, "{address}");
            }
        }
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        let form = |text: &str| canonical(text.parse().unwrap()).to_string();
        assert_eq!(form("::ffff:81.2.69.142"), "81.2.69.142");
        assert_eq!(form("64:ff9b::81.2.69.142"), "81.2.69.142");
        assert_eq!(form("2001:218::1"), "2001:218::1");
    }
}
