//! A pool's connections to its backends.

use super::Default::Value;
use super::proof::*;
use super::{Key, Section};

pub(super) static CONNECTION_POOLING: Section = Section {
    path: "pools.NAME.connection_pooling",
    doc: "How connections to backends are kept; `connection_pooling = {}` is enough for the defaults. See [connections](connections.md). When \
          absent: they are kept for 30 s, and their number is not bounded.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            set("enabled = false"),
            "Whether connections are kept for further requests. `false`: each request gets its own, and `max_connections` holds all the same.",
        ),
        Key::built(
            "max_connections",
            "whole number, 1–1000000",
            Value("100"),
            set("max_connections = 7"),
            "The most sockets to one backend, over all workers. No backend gets more requests at once either.",
        ),
        Key::built(
            "max_idle_time",
            "duration",
            Value("\"30s\""),
            set("max_idle_time = \"5s\""),
            "How long a connection is kept without a request. Does not go below `preconnect`.",
        ),
        Key::built(
            "keep_alive",
            "boolean",
            ON,
            set("keep_alive = false"),
            "`false`: each request says `Connection: close` to its backend, and its connection is not kept.",
        ),
        Key::built(
            "keep_alive_timeout",
            "duration",
            Value("\"60s\""),
            set("keep_alive_timeout = \"5s\""),
            "How long a backend is trusted to keep an idle connection; less, where it announces less by `Keep-Alive`.",
        ),
        Key::built(
            "max_requests",
            "whole number, 1–4294967295",
            NONE,
            set("max_requests = 1000"),
            "A connection is closed after so many exchanges.",
        ),
        Key::built(
            "max_lifetime",
            "duration",
            NONE,
            set("max_lifetime = \"1h\""),
            "A connection is not used again at this age, give or take a tenth.",
        ),
        Key::built(
            "preconnect",
            "whole number, 0–`max_connections`",
            Value("0"),
            set("preconnect = 4"),
            "Connections kept open to each usable backend, over all workers, before requests ask for them.",
        ),
    ],
};
