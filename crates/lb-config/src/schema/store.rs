//! Where state is shared.

use super::Default::{Required, Text, Value};
use super::proof::*;
use super::{Key, Section};

pub(super) static STORE: Section = Section {
    path: "stores.NAME",
    doc: "A store that `storage` names: state that nodes share, or that outlives a restart. When it is away, nothing waits for it \
          ([sessions](sessions.md#stores)). A name has up to 64 letters, digits, `-`, `_` and `.`; `memory` always is this process.",
    keys: &[
        Key::built(
            "type",
            "`redis` or `memory`",
            Required,
            change(REDIS, "type = \"memory\""),
            "`redis`: a Redis or Valkey server. `memory`: in this process, with bounds of its own.",
        ),
        Key::built(
            "url",
            "secret: `redis://[[user]:password@]host[:port][/database]`",
            Text("required with `redis`"),
            change(REDIS, "type = \"redis\"\nurl = \"redis://127.0.0.1:6380/1\""),
            "`redis`: where it is. `rediss://` speaks TLS.",
        ),
        Key::built(
            "key_prefix",
            "text of up to 128 bytes",
            Value("\"edge-lb:\""),
            change(REDIS, "type = \"redis\"\nurl = \"redis://127.0.0.1:6379\"\nkey_prefix = \"a:\""),
            "`redis`: what stands before each key.",
        ),
        Key::built(
            "timeout",
            "duration, 1ms–1m",
            Value("\"20ms\""),
            change(REDIS, "type = \"redis\"\nurl = \"redis://127.0.0.1:6379\"\ntimeout = \"5ms\""),
            "`redis`: how long a call may take, waiting for the connection included.",
        ),
        Key::built(
            "connect_timeout",
            "duration, 1ms–1m",
            Value("\"1s\""),
            change(REDIS, "type = \"redis\"\nurl = \"redis://127.0.0.1:6379\"\nconnect_timeout = \"5s\""),
            "`redis`: how long connecting may take, TLS and login included.",
        ),
        Key::built(
            "ca",
            "file name",
            Text("Mozilla's authorities"),
            change(
                "type = \"redis\"\nurl = \"rediss://a.internal\"",
                "type = \"redis\"\nurl = \"rediss://a.internal\"\nca = \"ca.pem\"",
            ),
            "`redis` with `rediss://`: a PEM file of authorities. Relative to the configuration file's folder.",
        ),
        Key::built(
            "max_entries",
            "whole number, 16–1000000000",
            Value("1000000"),
            change("type = \"memory\"", "type = \"memory\"\nmax_entries = 100"),
            "`memory`: the most entries; the oldest make room.",
        ),
        Key::built(
            "max_bytes",
            "size, 64KiB–1024GiB",
            Value("\"256MiB\""),
            change("type = \"memory\"", "type = \"memory\"\nmax_bytes = \"1MiB\""),
            "`memory`: the most bytes.",
        ),
    ],
};
const REDIS: &str = "type = \"redis\"\nurl = \"redis://127.0.0.1:6379\"";
