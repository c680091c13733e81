//! Walks over headers, honest and forged.

use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn trusted() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8"]).unwrap()
}

fn forwarded_for(peer: &str, lines: &[&str]) -> (String, usize) {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    let client = trusted().client(ip(peer), Header::XForwardedFor(&lines));
    (client.ip.to_string(), client.hops)
}

fn forwarded(peer: &str, lines: &[&str]) -> (String, usize) {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    let client = trusted().client(ip(peer), Header::Forwarded(&lines));
    (client.ip.to_string(), client.hops)
}

#[test]
fn x_forwarded_for() {
    let cases: &[(&str, &[&str], &str, usize)] = &[
        // no header, and an empty one
        ("10.0.0.1", &[], "10.0.0.1", 0),
        ("10.0.0.1", &["", " , "], "10.0.0.1", 0),
        // an untrusted peer is never believed
        ("6.6.6.6", &["1.1.1.1"], "6.6.6.6", 0),
        ("6.6.6.6", &["10.0.0.1, 10.0.0.2"], "6.6.6.6", 0),
        // one trusted proxy, two, a list over lines
        ("10.0.0.1", &["1.1.1.1"], "1.1.1.1", 1),
        ("10.0.0.1", &["1.1.1.1, 10.0.0.2"], "1.1.1.1", 2),
        ("10.0.0.1", &["1.1.1.1", "10.0.0.3 ,\t10.0.0.2"], "1.1.1.1", 3),
        ("127.0.0.1", &["1.1.1.1"], "1.1.1.1", 1),
        ("::ffff:10.0.0.1", &["::ffff:1.1.1.1"], "1.1.1.1", 1),
        // a client that writes the header itself gains nothing
        ("10.0.0.1", &["8.8.8.8, 1.1.1.1"], "1.1.1.1", 1),
        ("10.0.0.1", &["10.0.0.9, 1.1.1.1, 10.0.0.2"], "1.1.1.1", 2),
        ("10.0.0.1", &["8.8.8.8", "1.1.1.1"], "1.1.1.1", 1),
        ("10.0.0.1", &["10.0.0.66", "1.1.1.1, 10.0.0.2"], "1.1.1.1", 2),
        // all are trusted: the leftmost
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3", 2),
        // what is no address ends the walk, and the last good one counts
        ("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1", 0),
        ("10.0.0.1", &["1.1.1.1, garbage, 10.0.0.2"], "10.0.0.2", 1),
        ("10.0.0.1", &["1.1.1.1", "x", "10.0.0.2"], "10.0.0.2", 1),
        ("10.0.0.1", &["1.1.1.1, 10.0.0.2 10.0.0.3"], "10.0.0.1", 0),
        ("10.0.0.1", &["1.1.1.1, 010.0.0.2"], "10.0.0.1", 0),
        ("10.0.0.1", &["1.1.1.1, 10.0.0.256"], "10.0.0.1", 0),
        ("10.0.0.1", &["1.1.1.1, \"10.0.0.2\""], "10.0.0.1", 0),
        ("10.0.0.1", &["1.1.1.1, é"], "10.0.0.1", 0),
        // empty elements are none
        ("10.0.0.1", &["1.1.1.1,, ,10.0.0.2,"], "1.1.1.1", 2),
        // ports and brackets
        ("10.0.0.1", &["1.1.1.1:4711"], "1.1.1.1", 1),
        ("10.0.0.1", &["2001:218::1"], "2001:218::1", 1),
        ("10.0.0.1", &["[2001:218::1]:4711, [fd00::1]"], "2001:218::1", 2),
        ("10.0.0.1", &["1.1.1.1:"], "10.0.0.1", 0),
        ("10.0.0.1", &["1.1.1.1:123456"], "10.0.0.1", 0),
        ("10.0.0.1", &["[2001:218::1"], "10.0.0.1", 0),
        ("10.0.0.1", &["[2001:218::1]x"], "10.0.0.1", 0),
        ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1", 0),
    ];
    for (peer, lines, client, hops) in cases {
        assert_eq!(forwarded_for(peer, lines), ((*client).to_owned(), *hops), "{peer} {lines:?}");
    }
}

#[test]
fn rfc_7239() {
    let cases: &[(&str, &[&str], &str, usize)] = &[
        ("10.0.0.1", &["for=1.1.1.1"], "1.1.1.1", 1),
        ("6.6.6.6", &["for=1.1.1.1"], "6.6.6.6", 0),
        ("10.0.0.1", &["For=\"[2001:218:cafe::17]:4711\""], "2001:218:cafe::17", 1),
        ("10.0.0.1", &["for=1.1.1.1;proto=http;by=203.0.113.43"], "1.1.1.1", 1),
        ("10.0.0.1", &["proto=https;host=\"a.example:443\";for=\"1.1.1.1:80\" ; by=_x"], "1.1.1.1", 1),
        ("10.0.0.1", &["for=1.1.1.1, for=10.0.0.2", "for=10.0.0.3"], "1.1.1.1", 3),
        ("10.0.0.1", &["for=1.1.1.1:_port"], "1.1.1.1", 1),
        ("10.0.0.1", &["for=8.8.8.8, for=1.1.1.1"], "1.1.1.1", 1),
        // obfuscated and unknown nodes, and elements that say nothing of the client, end the walk
        ("10.0.0.1", &["for=1.1.1.1, for=_hidden"], "10.0.0.1", 0),
        ("10.0.0.1", &["for=1.1.1.1, for=\"_SEVKISEK\", for=10.0.0.2"], "10.0.0.2", 1),
        ("10.0.0.1", &["for=1.1.1.1, for=unknown, for=10.0.0.2"], "10.0.0.2", 1),
        ("10.0.0.1", &["for=1.1.1.1, proto=http"], "10.0.0.1", 0),
        // forged: a comma or an element within quotes is no element
        ("10.0.0.1", &["for=\"1.1.1.1, for=2.2.2.2\""], "10.0.0.1", 0),
        ("10.0.0.1", &["for=\"evil, for=2.2.2.2;x=\", for=10.0.0.2"], "10.0.0.2", 1),
        ("10.0.0.1", &["for=\"1.1.1.1, for=10.0.0.2"], "10.0.0.2", 1), // the quote is left of what is believed
        ("10.0.0.1", &["for=1.1.1.1\""], "10.0.0.1", 0),
        ("10.0.0.1", &["for=\"1.1\\.1.1\""], "10.0.0.1", 0),
        ("10.0.0.1", &["for=\"\""], "10.0.0.1", 0),
        // malformed
        ("10.0.0.1", &["1.1.1.1"], "10.0.0.1", 0),
        ("10.0.0.1", &["for = 1.1.1.1"], "10.0.0.1", 0),
        ("10.0.0.1", &["for=1.1.1.1;for=2.2.2.2"], "10.0.0.1", 0),
        ("10.0.0.1", &["for=1.1.1.1;"], "10.0.0.1", 0),
        ("10.0.0.1", &["for=2001:218::1"], "10.0.0.1", 0),
        ("10.0.0.1", &["for=[2001:218::1]"], "2001:218::1", 1), // unquoted, as many write it
    ];
    for (peer, lines, client, hops) in cases {
        assert_eq!(forwarded(peer, lines), ((*client).to_owned(), *hops), "{peer} {lines:?}");
    }
}

#[test]
fn the_walk_is_bounded() {
    let many = vec!["10.0.0.2"; 1_000].join(",");
    assert_eq!(forwarded_for("10.0.0.1", &[&many]), ("10.0.0.2".to_owned(), HOPS_MAX));
    let lines = vec!["10.0.0.2"; 1_000];
    assert_eq!(forwarded_for("10.0.0.1", &lines).1, HOPS_MAX);
    // Beyond the bytes nothing is read, and a piece of an element is none: "1.1.1.1" is the tail of "61.1.1.1".
    let blanks = " ".repeat(BYTES_MAX - "1.1.1.1,10.0.0.2".len());
    let cut = format!("61.1.1.1,{blanks}10.0.0.2");
    assert_eq!(forwarded_for("10.0.0.1", &[&cut]), ("10.0.0.2".to_owned(), 1));
    let whole = format!("1.1.1.1,{blanks}10.0.0.2");
    assert_eq!(forwarded_for("10.0.0.1", &[&whole]), ("1.1.1.1".to_owned(), 2));
    assert_eq!(forwarded_for("10.0.0.1", &["1.1.1.1", &cut]), ("10.0.0.2".to_owned(), 1));
}

#[test]
fn lines_come_from_anywhere_without_a_vec() {
    let mut headers = http::HeaderMap::new();
    for line in ["6.6.6.6", "1.1.1.1, 10.0.0.2"] {
        headers.append("x-forwarded-for", line.parse().unwrap());
    }
    let expected = ClientAddress { ip: ip("1.1.1.1"), hops: 2 };
    let peer = ip("10.0.0.1");
    assert_eq!(trusted().client(peer, Header::XForwardedFor(headers.get_all("x-forwarded-for"))), expected);
    let slices: [&[u8]; 2] = [b"6.6.6.6", b"1.1.1.1, 10.0.0.2"];
    assert_eq!(trusted().client(peer, Header::XForwardedFor(&slices[..])), expected);
    assert_eq!(trusted().client(peer, Header::XForwardedFor(slices.iter().copied())), expected);
}

#[test]
fn bad_networks_are_refused() {
    let error = TrustedProxies::new(["10.0.0.1/8"]).unwrap_err();
    assert_eq!(error.to_string(), "geo.trusted_proxies = \"10.0.0.1/8\": it has bits set behind its prefix");
    let nobody = TrustedProxies::new::<&str>([]).unwrap();
    let client = nobody.client(ip("127.0.0.1"), Header::XForwardedFor(&[b"1.1.1.1"]));
    assert_eq!(client, ClientAddress { ip: ip("127.0.0.1"), hops: 0 });
}

/// Pieces of which headers are made, and noise.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        Just(&b"10.0.0.2"[..]),
        Just(&b"1.1.1.1"[..]),
        Just(&b"for="[..]),
        Just(&b"\""[..]),
        Just(&b"\\"[..]),
        Just(&b","[..]),
        Just(&b";"[..]),
        Just(&b"[fd00::1]"[..]),
        Just(&b":80"[..]),
        Just(&b"unknown"[..]),
        Just(&b" "[..]),
    ];
    let made = proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat());
    let noise = proptest::collection::vec(any::<u8>(), 0..40);
    proptest::collection::vec(prop_oneof![4 => made, 1 => noise], 0..5)
}

proptest! {
    #[test]
    fn nobody_untrusted_is_believed(
        lines in lines(),
        peer in prop_oneof![Just("10.0.0.1"), Just("6.6.6.6"), Just("2001:218::6")],
        rfc in any::<bool>(),
    ) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let header = if rfc { Header::Forwarded(&lines) } else { Header::XForwardedFor(&lines) };
        let trusted = trusted();
        let client = trusted.client(ip(peer), header);
        if !trusted.contains(ip(peer)) {
            prop_assert_eq!(client, ClientAddress { ip: ip(peer), hops: 0 });
        }
        prop_assert!(client.hops <= HOPS_MAX);
        // What a client writes in front, where an untrusted address ended the walk, changes nothing.
        if !trusted.contains(client.ip) {
            let mut forged: Vec<&[u8]> = vec![b"for=9.9.9.9, 9.9.9.9"];
            forged.extend(&lines);
            let header = if rfc { Header::Forwarded(&forged) } else { Header::XForwardedFor(&forged) };
            prop_assert_eq!(trusted.client(ip(peer), header), client);
        }
    }
}
