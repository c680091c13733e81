//! Sessions, stores, the selection cache, trusted proxies: what they resolve to, and what is refused.

mod common;

use common::check;
use lb_config::Format::Toml;
use lb_config::{Caching, ClientIpHeader, Config, Storage, Store, parse};
use lb_session::{AffinityKind, SameSite, Secure, SessionAffinity};
use lb_store::{MemorySettings, RedisSettings, RedisUrl};
use lb_types::KeySource;
use std::time::Duration;

/// A file with `top` at its top, a store, and `keys` in its pool.
fn file(top: &str, keys: &str) -> String {
    format!(
        "{top}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[stores.shared]\ntype = \"redis\"\nurl = \"redis://127.0.0.1\"\n\
         [pools.web]\nbackends = [{{ url = \"http://127.0.0.1:9001\" }}]\n{keys}\n"
    )
}

fn good(top: &str, keys: &str) -> Config {
    let config = parse(&file(top, keys), Toml, "f").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.entry, "web");
    config
}

/// The messages about `keys`, which stand from line 9 on.
#[track_caller]
fn refused(keys: &str, wanted: &str) {
    check(Toml, &file("", keys), wanted);
}

#[test]
fn an_empty_section_is_the_defaults() {
    let config = good("", "session_affinity = {}");
    let affinity = config.pools["web"].session_affinity.as_ref().unwrap();
    assert_eq!((&affinity.settings, &affinity.storage), (&SessionAffinity::default(), &Storage::Memory));
    let config = good("", "caching = {}");
    assert_eq!(config.pools["web"].caching, Some(Caching::default()));
    assert_eq!((config.trusted_proxies, config.client_ip_header), (vec![], ClientIpHeader::XForwardedFor));
}

#[test]
fn everything_is_taken_as_it_is_said() {
    let config = good(
        "trusted_proxies = [\"10.0.0.0/8\"]\nclient_ip_header = \"Forwarded\"",
        "[pools.web.session_affinity]\ntype = \"cookie\"\ncookie_name = \"sid\"\nttl = \"48h\"\nstrict = true\n\
         storage = \"shared\"\nmax_sessions = 9\nsecret = [\"0123456789abcdef\", \"fedcba9876543210\"]\n\
         cookie_options = { http_only = false, secure = true, same_site = \"none\", max_age = \"none\", path = \"/a\", domain = \"b.example\" }\n\
         [stores.local]\ntype = \"memory\"\nmax_entries = 100\nmax_bytes = \"1MiB\"",
    );
    assert_eq!(config.client_ip_header, ClientIpHeader::Forwarded);
    let affinity = config.pools["web"].session_affinity.clone().unwrap();
    assert_eq!(affinity.storage, Storage::Store("shared".into()));
    let s = affinity.settings;
    assert_eq!(
        (s.kind, s.cookie_name.as_str(), s.strict, s.max_sessions),
        (AffinityKind::Cookie, "sid", true, 9)
    );
    let days2 = Duration::from_secs(48 * 3600);
    assert_eq!((s.ttl, s.max_lifetime), (days2, Some(days2)), "the lifetime follows a longer ttl");
    assert_eq!(s.secret.len(), 2);
    let o = s.cookie_options;
    assert_eq!((o.http_only, o.secure, o.same_site, o.max_age), (false, Secure::Yes, SameSite::None, None));
    assert_eq!((o.path.as_str(), o.domain.as_deref()), ("/a", Some("b.example")));
    let redis = RedisSettings::new(RedisUrl::parse("redis://127.0.0.1").unwrap());
    assert_eq!(config.stores["shared"], Store::Redis(redis));
    let memory = MemorySettings::new().max_entries(100).max_bytes(1 << 20);
    assert_eq!(config.stores["local"], Store::Memory(memory));
    let header = good(
        "",
        "session_affinity = { type = \"header\", header_name = \"X-User\", max_lifetime = \"none\" }",
    );
    let s = &header.pools["web"].session_affinity.as_ref().unwrap().settings;
    assert_eq!((s.kind, s.header_name.as_str(), s.max_lifetime), (AffinityKind::Header, "X-User", None));
    let off = good(
        "",
        "session_affinity = { enabled = false }\ncaching = { enabled = false }\nalgorithm = \"maglev\"",
    );
    assert_eq!((&off.pools["web"].session_affinity, &off.pools["web"].caching), (&None, &None));
    let c =
        good("", "caching = { ttl = \"1s\", key = \"header:X-U\", max_entries = 5, storage = \"shared\" }");
    let c = c.pools["web"].caching.clone().unwrap();
    assert_eq!((c.ttl, c.key, c.max_entries), (Duration::from_secs(1), KeySource::Header("x-u".into()), 5));
    assert_eq!(c.storage, Storage::Store("shared".into()));
}

#[test]
fn keys_of_another_type_are_refused() {
    refused(
        "session_affinity = { cookie_name = \"a\", header_name = \"b\", secret = \"0123456789abcdef\" }",
        "f:9:22: error: `cookie_name` belongs to sessions by cookie, and these are by ip-hash
f:9:41: error: `header_name` belongs to sessions by header, and these are by ip-hash
f:9:60: error: `secret` belongs to sessions by cookie, and these are by ip-hash",
    );
    refused(
        "stores.a = { type = \"memory\" }\n",
        "f:9:1: error: unknown key `stores`\n  help: `stores` belongs in the top of the file",
    );
    refused(
        "[stores.a]\ntype = \"memory\"\nurl = \"redis://a\"\n[stores.b]\ntype = \"redis\"\nmax_entries = 100",
        "f:11:1: error: `url` belongs to a store of type redis
f:12:9: error: missing key `url`
  help: it takes secret: redis://[[user]:password@]host[:port][/database]
f:14:1: error: `max_entries` belongs to a store of type memory",
    );
}

#[test]
fn bounds_are_reported_at_their_keys() {
    refused(
        "[pools.web.session_affinity]\ntype = \"cookie\"\nttl = \"1h\"\nmax_lifetime = \"5m\"\nmax_sessions = 0\n\
         secret = [\"short\", 12345678901234567890]\nstorage = \"sharde\"",
        "f:12:16: error: `max_lifetime` = 300s: must be from ttl = 3600s to 365 days
f:13:16: error: `max_sessions` must be a whole number from 1 to 100000000, not 0
f:14:11: error: `secret` = (5 bytes): must have 16 to 1024 bytes
f:14:20: error: `secret` must be a text, not a bare value
  help: put it in quotes; or name it: \"env:NAME\", \"file:PATH\"
f:15:11: error: `storage`: there is no store \"sharde\" under `stores`
  help: did you mean \"shared\"?",
    );
    refused(
        "session_affinity = { ttl = \"500ms\" }\ncaching = { ttl = \"2d\", key = \"user\", storage = \"x1\" }",
        "f:9:28: error: `ttl` = 500ms: must be from 1 s to 365 days
f:10:19: error: `ttl` must be from 1ms to 1d
f:10:31: error: bad `key` \"user\"
  help: it must be client-ip, header:NAME, cookie:NAME, query:NAME or path
f:10:49: error: `storage`: there is no store \"x1\" under `stores`
  help: add [stores.x1] with type = \"redis\", or use \"memory\"",
    );
    refused(
        "algorithm = \"ip-hash\"\ncaching = {}",
        "f:10:1: error: `caching` does nothing with `ip-hash`, which sends each key to its backend anyway
  help: remove it, or choose another algorithm",
    );
}

#[test]
fn cookies_that_browsers_drop_are_refused() {
    let cookie = |keys: &str| format!("[pools.web.session_affinity]\ntype = \"cookie\"\n{keys}");
    refused(
        &cookie("cookie_options = { same_site = \"none\" }"),
        "f:11:32: error: `secure` must be true with same_site = none, or browsers drop the cookie
  help: add secure = true",
    );
    refused(
        &cookie("cookie_options = { same_site = \"none\", secure = false }"),
        "f:11:49: error: `secure` = No: must be true with same_site = none, or browsers drop the cookie",
    );
    refused(
        &cookie("cookie_name = \"__Host-a\""),
        "f:11:15: error: `secure` must be true with cookie_name = \"__Host-a\"
  help: add cookie_options = { secure = true }",
    );
    refused(
        &cookie("cookie_options = { max_age = 0, path = \"a\" }"),
        "f:11:30: error: `max_age` = 0ns: must be from 1 s to 400 days",
    );
    refused(&cookie("cookie_name = \"a b\""), &{
        let error = SessionAffinity::cookie().cookie_name("a b").validate().unwrap_err();
        format!("f:11:15: error: `cookie_name` = \"a b\": {}", error.must)
    });
    let id = "x".repeat(256);
    let keys = format!(
        "session_affinity = {{ type = \"cookie\" }}\n[[pools.web.backends]]\nid = \"{id}\"\nurl = \"http://a\""
    );
    let text = file("", &keys).replace("backends = [{ url = \"http://127.0.0.1:9001\" }]\n", "");
    check(
        Toml,
        &text,
        "f:8:1: error: the `id` of backend 1 has more than 255 bytes, which a cookie cannot carry
  help: give it a shorter id",
    );
}

#[test]
fn stores_and_proxies_that_cannot_be() {
    refused(
        "[stores.memory]\ntype = \"memory\"\n[stores.\"a b\"]\ntype = \"rediss\"\n[stores.c]\ntype = \"redis\"\nurl = \"http://a\"\ntimeout = \"2m\"",
        r#"f:9:9: error: a store cannot be called "memory": that always is this process's own memory
  help: give it another name
f:11:9: error: bad store name "a b"
  help: a store's name has 1 to 64 letters, digits, `-`, `_` and `.`, and starts with a letter, digit or `_`
f:12:8: error: `type` must be one of redis, memory, not "rediss"
  help: did you mean "redis"?
f:15:7: error: `url` = "http": must start with redis:// or rediss://
f:16:11: error: `timeout` = 120s: must be from 1 ms to 60 s"#,
    );
    refused(
        "[stores.c]\ntype = \"redis\"\nurl = \"redis://a\"\nca = \"ca.pem\"",
        "f:12:6: error: `ca` = \"ca.pem\": goes with rediss:// alone",
    );
    check(
        Toml,
        &file("client_ip_header = \"x-real-ip\"\ntrusted_proxies = [\"10.1.0.0/8\", \"proxy\", 5]", ""),
        r#"f:1:20: error: `client_ip_header` must be one of x-forwarded-for, forwarded, not "x-real-ip"
f:2:20: error: bad network "10.1.0.0/8" in `trusted_proxies`: it has bits set behind its prefix
f:2:34: error: bad network "proxy" in `trusted_proxies`: it is no network: an address, a slash and the length of its prefix is
f:2:43: error: each item of `trusted_proxies` must be a text, not 5"#,
    );
    check(
        Toml,
        &file("client_ip_header = \"forwarded\"", ""),
        "f:1:1: error: `client_ip_header` does nothing without `trusted_proxies`: nobody's header is believed
  help: add trusted_proxies = [\"10.0.0.0/8\"]",
    );
}
