//! A copy of a route's requests to another pool.

use super::Default::{Required, Value};
use super::proof::*;
use super::{Key, Section};

pub(super) static MIRROR: Section = Section {
    path: "routes.mirror",
    doc: "A copy of each GET, HEAD and OPTIONS without a body goes to another pool, too; clients wait for none, and hear of none. See \
          [mirroring](mirroring.md). When absent: nothing is copied.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change(POOL, "pool = \"other\"\nenabled = false"),
            "`false` switches it off without removing it; the pool stays.",
        ),
        Key::built(
            "pool",
            "a name under `pools`, not the route's own",
            Required,
            change(POOL, "pool = \"third\""),
            "The shadow pool, where copies go.",
        ),
        Key::built(
            "percent",
            "number, 0–100, in steps of 0.01",
            Value("100.0"),
            change(POOL, "pool = \"other\"\npercent = 12.5"),
            "How many of them are copied, exactly.",
        ),
        Key::built(
            "max_in_flight",
            "whole number, 1–100000",
            Value("100"),
            change(POOL, "pool = \"other\"\nmax_in_flight = 7"),
            "How many copies are under way at once, over all workers; more are dropped and counted.",
        ),
        Key::built(
            "timeout",
            "duration, 1ms–1h",
            Value("\"5s\""),
            change(POOL, "pool = \"other\"\ntimeout = \"1s\""),
            "How long a copy takes at most, its response included.",
        ),
    ],
};
const POOL: &str = "pool = \"other\"";
