//! A pool's sessions and its cache of selections.

use super::Default::{Text, Value};
use super::proof::*;
use super::{Key, Kind, Section};

const COOKIE: &str = "type = \"cookie\"";

pub(super) static SESSION_AFFINITY: Section = Section {
    path: "pools.NAME.session_affinity",
    doc: "The same client comes to the same backend. A key that the `type` does not use is an error. See [sessions](sessions.md). \
          When absent: every request is a new choice.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "type",
            "`ip-hash`, `cookie` or `header`",
            Value("\"ip-hash\""),
            set(COOKIE),
            "What a client is recognised by: its address, a sealed cookie, or a header.",
        ),
        Key::built(
            "cookie_name",
            "a cookie's name",
            Value("\"LB_SESSION\""),
            change(COOKIE, "type = \"cookie\"\ncookie_name = \"sid\""),
            "`cookie`: its name.",
        ),
        Key::built(
            "header_name",
            "a header's name",
            Value("\"X-Session-ID\""),
            change("type = \"header\"", "type = \"header\"\nheader_name = \"X-User\""),
            "`header`: its name.",
        ),
        Key::built(
            "ttl",
            "duration, 1s–365d",
            Value("\"1h\""),
            set("ttl = \"5m\""),
            "A session that is not used for so long is over.",
        ),
        Key::built(
            "max_lifetime",
            "duration, `ttl`–365d, or `\"none\"`",
            Text("`\"24h\"`, or `ttl` if that is longer"),
            set("max_lifetime = \"none\""),
            "A session is over after so long, however much it is used. `\"none\"`: never.",
        ),
        Key::section(
            "cookie_options",
            Kind::Table(&COOKIE_OPTIONS),
            Text("as below"),
            "`cookie`: its attributes.",
        ),
        Key::built(
            "strict",
            "boolean",
            Value("false"),
            set("strict = true"),
            "A session whose backend cannot be used is answered 503 rather than moved.",
        ),
        Key::built(
            "secret",
            "secret, or a list of up to 8; 16–1024 bytes each",
            Text("random in each process"),
            change(COOKIE, "type = \"cookie\"\nsecret = \"0123456789abcdef\""),
            "`cookie`: what it is sealed with. The first seals, all open. A random one holds neither on other nodes nor after a restart.",
        ),
        Key::built(
            "storage",
            "`memory`, or a name under `stores`",
            Value("\"memory\""),
            set("storage = \"shared\""),
            "Where sessions are kept: in this process, or where other nodes see them as well.",
        ),
        Key::built(
            "max_sessions",
            "whole number, 1–100000000",
            Value("1000000"),
            set("max_sessions = 7"),
            "The most sessions in this process's table; the longest unused makes room.",
        ),
    ],
};

pub(super) static COOKIE_OPTIONS: Section = Section {
    path: "pools.NAME.session_affinity.cookie_options",
    doc: "The cookie's attributes. What browsers would drop is an error.",
    keys: &[
        Key::built("http_only", "boolean", ON, set("http_only = false"), "Scripts do not see it."),
        Key::built(
            "secure",
            "boolean",
            Text("`true` for clients that come by TLS"),
            set("secure = true"),
            "Browsers send it by TLS alone.",
        ),
        Key::built(
            "same_site",
            "`strict`, `lax` or `none`",
            Value("\"strict\""),
            set("same_site = \"lax\""),
            "Which requests from other sites carry it. `none` needs `secure = true`.",
        ),
        Key::built(
            "max_age",
            "duration or number of seconds, 1s–400d, or `\"none\"`",
            Value("3600"),
            set("max_age = \"1d\""),
            "How long browsers keep it. `\"none\"`: until they are closed.",
        ),
        Key::built("path", "text", Value("\"/\""), set("path = \"/shop\""), "Below which path it is sent."),
        Key::built(
            "domain",
            "DNS name",
            Text("the host that was asked"),
            set("domain = \"example.com\""),
            "The domain whose hosts share it.",
        ),
    ],
};

pub(super) static CACHING: Section = Section {
    path: "pools.NAME.caching",
    doc: "A cache of selections: who has the same key gets the backend that was chosen last, while it is usable. With `session_affinity` \
          it chooses for new sessions. Not with `ip-hash`, `maglev`, `ring-hash` or `rendezvous`. `caching = {}` is enough. When absent: there is none.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "ttl",
            "duration, 1ms–1d",
            Value("\"5m\""),
            set("ttl = \"30s\""),
            "How long a selection holds.",
        ),
        Key::built(
            "key",
            "`client-ip`, `header:NAME`, `cookie:NAME`, `query:NAME` or `path`",
            Value("\"client-ip\""),
            set("key = \"header:X-User-ID\""),
            "Whose selection it is.",
        ),
        Key::built(
            "max_entries",
            "whole number, 1–10000000",
            Value("100000"),
            set("max_entries = 7"),
            "The most selections that this process keeps.",
        ),
        Key::built(
            "storage",
            "`memory`, or a name under `stores`",
            Value("\"memory\""),
            set("storage = \"shared\""),
            "Where selections are kept.",
        ),
    ],
};
