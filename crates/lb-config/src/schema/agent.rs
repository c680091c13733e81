//! Agent checks: a pool's, and what one backend has otherwise.

use super::Default::{Text, Value};
use super::proof::*;
use super::{Key, Section};

pub(super) static AGENT_CHECK: Section = Section {
    path: "pools.NAME.agent_check",
    doc: "An agent beside each backend is asked what traffic the backend wants, in HAProxy's words (`75%`, `drain`, `maint`, `ready`, \
          `down`, `up`, `maxconn:30`). An agent that does not answer changes nothing. When absent: no agents.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "port",
            "1–65535",
            Text("only backends with a `port` of their own have an agent"),
            change("port = 9998", "port = 9999"),
            "The agents' port.",
        ),
        Key::built(
            "host",
            "IP address or host name",
            Text("each backend's"),
            set("host = \"127.0.0.2\""),
            "The agents' host, where it is not the backends' own.",
        ),
        Key::built(
            "interval",
            "duration, 10ms–24h",
            Value("\"2s\""),
            set("interval = \"5s\""),
            "From the start of one question to the next.",
        ),
        Key::built(
            "timeout",
            "duration, 10ms–24h",
            Value("\"2s\""),
            set("timeout = \"1s\""),
            "How long a question with its answer may take, connecting included.",
        ),
        Key::built(
            "send",
            "text, up to 1024 bytes",
            Value("\"\""),
            set("send = \"web\\n\""),
            "What is sent first, as it stands: a line's end is not added.",
        ),
        Key::built(
            "jitter_percent",
            "percent, 0–50",
            Value("10"),
            set("jitter_percent = 20"),
            "Each interval is stretched or shortened by up to this, so that questions do not march in step.",
        ),
        Key::built(
            "max_concurrent",
            "whole number, 1–4096",
            Value("64"),
            set("max_concurrent = 7"),
            "The most agents asked at once.",
        ),
    ],
};

pub(super) static BACKEND_AGENT_CHECK: Section = Section {
    path: "pools.NAME.backends.agent_check",
    doc: "What differs from the pool's `agent_check`, which must be there.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            Text("the pool's"),
            set("enabled = false"),
            "`false`: this backend has no agent.",
        ),
        Key::built("port", "1–65535", Text("the pool's"), set("port = 81"), "The agent's port."),
        Key::built(
            "host",
            "IP address or host name",
            Text("the pool's, else the `url`'s"),
            set("host = \"127.0.0.2\""),
            "The agent's host.",
        ),
    ],
};
