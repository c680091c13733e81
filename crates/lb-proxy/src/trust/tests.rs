//! What a backend is told, by peer and by header, honest and forged.

use super::*;
use crate::headers::{Seen, to_backend};
use crate::proxy::{Client, ClientLimits};
use ForwardingHeader::{Forwarded, XForwardedFor};
use proptest::prelude::*;
use std::time::Duration;

fn trusted(header: ForwardingHeader) -> Arc<TrustedPeers> {
    let proxies = TrustedProxies::new(["10.0.0.0/8", "fd00::/8"]).unwrap();
    Arc::new(TrustedPeers { proxies, header })
}

fn limits() -> Arc<ClientLimits> {
    ClientLimits::timeouts(Duration::ZERO, Duration::ZERO).into()
}

fn client(header: ForwardingHeader, peer: &str) -> Client {
    Client::new(peer.parse().ok(), Some(&trusted(header)), limits())
}

/// The headers as they go to the backend, and whom the balancer takes the client for.
fn sent(client: &Client, lines: &[(&str, &[u8])]) -> (HeaderMap, Option<IpAddr>) {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("site.example"));
    for (name, line) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(line).unwrap());
    }
    let (seen, whose) = (Seen::of(&headers), client.address(&headers));
    to_backend(&mut headers, &seen, http::Version::HTTP_11, client, whose);
    (headers, whose.map(|whose| whose.ip))
}

/// The client, then `X-Forwarded-For`, `X-Real-IP`, `X-Forwarded-Proto`, `X-Forwarded-Host` and `Forwarded` as the backend gets them, each in
/// one line or `-`.
fn told(header: ForwardingHeader, peer: &str, lines: &[(&str, &str)]) -> [String; 6] {
    let lines: Vec<_> = lines.iter().map(|(name, line)| (*name, line.as_bytes())).collect();
    let (headers, ip) = sent(&client(header, peer), &lines);
    let line = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        let line = lines.next().map_or("-", |line| line.to_str().unwrap()).to_owned();
        assert_eq!(lines.next(), None, "{name}");
        line
    };
    [
        ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
        line("x-forwarded-for"),
        line("x-real-ip"),
        line("x-forwarded-proto"),
        line("x-forwarded-host"),
        line("forwarded"),
    ]
}

const FORGED: &[(&str, &str)] = &[
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-for", "10.0.0.2"),
    ("x-real-ip", "10.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=10.0.0.1;proto=https;host=evil.example"),
];

#[test]
fn an_untrusted_peer_is_never_believed() {
    for header in [XForwardedFor, Forwarded] {
        for one in FORGED.chunks(1).chain([FORGED]) {
            let expected = ["6.6.6.6", "6.6.6.6", "6.6.6.6", "http", "site.example", "-"];
            assert_eq!(told(header, "6.6.6.6", one), expected, "{header:?} {one:?}");
            // A Unix domain socket.
            let expected = ["-", "unknown", "unknown", "http", "site.example", "-"];
            assert_eq!(told(header, "none", one), expected, "{header:?} {one:?}");
        }
    }
    let nobody = Client::new("10.0.0.1".parse().ok(), None, limits());
    let (headers, ip) = sent(&nobody, &[("x-forwarded-for", b"1.1.1.1")]);
    assert_eq!((headers["x-forwarded-for"].as_bytes(), ip), (&b"10.0.0.1"[..], "10.0.0.1".parse().ok()));
}

#[test]
fn a_trusted_peer_that_says_nothing_is_the_client() {
    let own = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "http", "site.example", "-"];
    assert_eq!(told(XForwardedFor, "10.0.0.1", &[]), own);
    assert_eq!(told(XForwardedFor, "::ffff:10.0.0.1", &[("x-forwarded-for", "")]), own);
    let own = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "http", "site.example", "for=10.0.0.1"];
    assert_eq!(told(Forwarded, "10.0.0.1", &[]), own);
    assert_eq!(told(Forwarded, "10.0.0.1", &FORGED[..5]), own);
    let own = ["fd00::1", "fd00::1", "fd00::1", "http", "site.example", "for=\"[fd00::1]\""];
    assert_eq!(told(Forwarded, "fd00::1", &[("forwarded", " ")]), own);
}

#[test]
fn x_forwarded_for_of_a_trusted_peer() {
    // Lines, the client, the line that goes on.
    let cases: &[(&[&str], &str, &str)] = &[
        (&["1.1.1.1"], "1.1.1.1", "1.1.1.1, 10.0.0.1"),
        (&["8.8.8.8, 1.1.1.1", "10.0.0.2"], "1.1.1.1", "8.8.8.8, 1.1.1.1, 10.0.0.2, 10.0.0.1"),
        (&["1.1.1.1", "", " \t", "10.0.0.2"], "1.1.1.1", "1.1.1.1, 10.0.0.2, 10.0.0.1"),
        (&["2001:218::1"], "2001:218::1", "2001:218::1, 10.0.0.1"),
        (&["[2001:218::1]:4711"], "2001:218::1", "[2001:218::1]:4711, 10.0.0.1"),
        (&["1.1.1.1, unknown"], "10.0.0.1", "1.1.1.1, unknown, 10.0.0.1"),
        (&["garbage"], "10.0.0.1", "garbage, 10.0.0.1"),
    ];
    for (lines, ip, line) in cases {
        let mut came: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        // As the client wrote them.
        came.extend([("forwarded", "for=9.9.9.9"), ("x-real-ip", "9.9.9.9")]);
        let expected = [ip, line, ip, "http", "site.example", "-"];
        assert_eq!(told(XForwardedFor, "10.0.0.1", &came), expected, "{lines:?}");
    }
}

#[test]
fn scheme_and_host_of_a_trusted_peer_are_kept_if_sane() {
    // `X-Forwarded-Proto` and what goes on; `-Host` and what goes on.
    let cases: &[(&[&str], &str, &[&str], &str)] = &[
        (&["https"], "https", &["shop.example"], "shop.example"),
        (&["HTTP"], "http", &["shop.example:8443"], "shop.example:8443"),
        (&[], "http", &["[2001:218::1]:80"], "[2001:218::1]:80"),
        (&["ftp"], "http", &["a b"], "site.example"),
        (&["https, http"], "http", &["a.example, b.example"], "site.example"),
        (&["https", "https"], "http", &["a.example", "a.example"], "site.example"),
        (&[""], "http", &[""], "site.example"),
        (&["é"], "http", &["é"], "site.example"),
        (&["https://"], "http", &["user@a.example"], "site.example"),
        (&["https"], "https", &[":80"], "site.example"),
    ];
    for (protos, proto, hosts, host) in cases {
        let mut came: Vec<_> = protos.iter().map(|line| ("x-forwarded-proto", *line)).collect();
        came.extend(hosts.iter().map(|line| ("x-forwarded-host", *line)));
        let expected = ["10.0.0.1", "10.0.0.1", "10.0.0.1", proto, host, "-"];
        assert_eq!(told(XForwardedFor, "10.0.0.1", &came), expected, "{protos:?} {hosts:?}");
    }
}

#[test]
fn forwarded_of_a_trusted_peer() {
    // Lines, the client, scheme and host, the line that goes on.
    let cases: &[(&[&str], &str, [&str; 2], &str)] = &[
        (&["for=1.1.1.1"], "1.1.1.1", ["http", "site.example"], "for=1.1.1.1, for=10.0.0.1"),
        (
            &[
                "for=8.8.8.8;proto=http, For=\"1.1.1.1:80\"; Proto=HTTPS;host=\"a.example:443\"",
                "",
                "for=10.0.0.2;proto=http;host=b",
            ],
            "1.1.1.1",
            ["https", "a.example:443"],
            "for=8.8.8.8;proto=http, For=\"1.1.1.1:80\"; Proto=HTTPS;host=\"a.example:443\", for=10.0.0.2;proto=http;host=b, for=10.0.0.1",
        ),
        // Not sane, or twice.
        (
            &["for=1.1.1.1;proto=ftp;host=\"a/b\""],
            "1.1.1.1",
            ["http", "site.example"],
            "for=1.1.1.1;proto=ftp;host=\"a/b\", for=10.0.0.1",
        ),
        (
            &["for=1.1.1.1;proto=https;proto=https;host="],
            "10.0.0.1",
            ["http", "site.example"],
            "for=1.1.1.1;proto=https;proto=https;host=, for=10.0.0.1",
        ),
        (
            &["for=1.1.1.1;proto=https;proto=https;host=\"\""],
            "1.1.1.1",
            ["http", "site.example"],
            "for=1.1.1.1;proto=https;proto=https;host=\"\", for=10.0.0.1",
        ),
        // Where the client is not named, neither is its scheme.
        (&["proto=https"], "10.0.0.1", ["http", "site.example"], "proto=https, for=10.0.0.1"),
        (
            &["for=_hidden;proto=https"],
            "10.0.0.1",
            ["http", "site.example"],
            "for=_hidden;proto=https, for=10.0.0.1",
        ),
        // A comma within quotes.
        (
            &["for=6.6.6.6, for=1.1.1.1;x=\"a, b\""],
            "1.1.1.1",
            ["http", "site.example"],
            "for=6.6.6.6, for=1.1.1.1;x=\"a, b\", for=10.0.0.1",
        ),
        // A quote that a client left open would swallow what follows.
        (
            &["for=9.9.9.9", "for=\"evil, for=1.1.1.1"],
            "1.1.1.1",
            ["http", "site.example"],
            "for=1.1.1.1, for=10.0.0.1",
        ),
        (
            &["for=\"evil, for=\"[2001:218::1]\""],
            "2001:218::1",
            ["http", "site.example"],
            "for=\"[2001:218::1]\", for=10.0.0.1",
        ),
        (&["for=\"evil"], "10.0.0.1", ["http", "site.example"], "for=10.0.0.1"),
        (&["x=\"\\\""], "10.0.0.1", ["http", "site.example"], "for=10.0.0.1"),
        (&["x=\"\\\"\""], "10.0.0.1", ["http", "site.example"], "x=\"\\\"\", for=10.0.0.1"),
    ];
    for (lines, ip, [proto, host], line) in cases {
        let mut came: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        // As the client wrote them.
        came.extend_from_slice(&FORGED[..5]);
        let chain = if *ip == "10.0.0.1" { (*ip).to_owned() } else { format!("{ip}, 10.0.0.1") };
        assert_eq!(
            told(Forwarded, "10.0.0.1", &came),
            [ip, chain.as_str(), ip, proto, host, line],
            "{lines:?}"
        );
    }
}

#[test]
fn the_last_lines_are_read() {
    let mut came = vec![("x-forwarded-for", "1.1.1.1")];
    came.extend([("x-forwarded-for", "10.0.0.2"); HOPS_MAX - 1]);
    assert_eq!(told(XForwardedFor, "10.0.0.1", &came)[0], "1.1.1.1");
    came.push(("x-forwarded-for", "10.0.0.3"));
    let [ip, line, ..] = told(XForwardedFor, "10.0.0.1", &came);
    assert_eq!(ip, "10.0.0.2");
    assert_eq!(line.split(", ").count(), HOPS_MAX + 2);
}

/// Lines of pieces of which headers are made, and of what else may stand in a header.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let pieces: &[&[u8]] = &[
        b"10.0.0.2",
        b"1.1.1.1",
        b"for=10.0.0.2",
        b"for=1.1.1.1",
        b"for=\"[2001:218::1]\"",
        b";proto=https",
        b";host=\"a, b\"",
        b"\"",
        b"\\",
        b", ",
        b",",
        b";",
        b" ",
    ];
    let made = proptest::collection::vec(proptest::sample::select(pieces), 0..12).prop_map(|p| p.concat());
    let noise = proptest::collection::vec(any::<u8>(), 0..40)
        .prop_filter("is a header's value", |line| HeaderValue::from_bytes(line).is_ok());
    proptest::collection::vec(prop_oneof![6 => made, 1 => noise], 0..5)
}

proptest! {
    #[test]
    fn whatever_comes(lines in lines(), rfc in any::<bool>(), direct in any::<bool>()) {
        let (header, name) = if rfc { (Forwarded, "forwarded") } else { (XForwardedFor, "x-forwarded-for") };
        let came: Vec<_> = lines.iter().map(|line| (name, line.as_slice())).collect();
        if direct {
            let (headers, ip) = sent(&client(header, "6.6.6.6"), &came);
            prop_assert_eq!(&headers["x-forwarded-for"], "6.6.6.6");
            prop_assert_eq!(&headers["x-real-ip"], "6.6.6.6");
            prop_assert_eq!(ip, "6.6.6.6".parse().ok());
            return Ok(());
        }
        let client = client(header, "10.0.0.1");
        let (headers, ip) = sent(&client, &came);
        let ip = ip.unwrap();
        prop_assert_eq!(headers["x-real-ip"].to_str().unwrap(), ip.to_string());
        prop_assert_eq!(headers.get_all(name).iter().count(), 1);
        let line = headers[name].as_bytes();
        let bound: usize = lines.iter().map(|line| line.len() + ", ".len()).sum();
        prop_assert!(line.len() <= bound.max("for=\"[2001:218::1]\", ".len()) + "for=10.0.0.1".len());
        // Who trusts the same proxies, and this one, finds the same client in what goes on.
        let proxies = &trusted(header).proxies;
        let next = "10.0.0.9".parse().unwrap();
        let line = &[line];
        let found = proxies.client(next, if rfc { Header::Forwarded(line) } else { Header::XForwardedFor(line) });
        prop_assert_eq!(found.ip, ip);
        let line = headers["x-forwarded-for"].as_bytes();
        prop_assert_eq!(proxies.client(next, Header::XForwardedFor(&[line])).ip, ip);
        // The element whose scheme and host are taken is the one that names the client.
        let slices: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let walk = proxies.client("10.0.0.1".parse().unwrap(), Header::Forwarded(&slices));
        match nth_from_the_right(&slices, walk.hops) {
            Some(element) => {
                let alone = proxies.client("10.0.0.1".parse().unwrap(), Header::Forwarded(&[element]));
                prop_assert_eq!(alone, ClientAddress { ip: walk.ip, hops: 1 });
            }
            None => prop_assert_eq!(walk.hops, 0),
        }
    }
}
