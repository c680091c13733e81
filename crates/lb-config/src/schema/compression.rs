//! Compression of a route's responses.

use super::Default::{Text, Value};
use super::proof::*;
use super::{Key, Section};

pub(super) static COMPRESSION: Section = Section {
    path: "routes.compression",
    doc: "Responses are compressed for clients that accept it, as they stream. `compression = {}` is enough. What is encoded already, a part (206), \
          marked `no-transform`, `text/event-stream` or gRPC never is. See [compression](compression.md). When absent: responses go on as they come.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "algorithms",
            "list of `zstd`, `br` and `gzip`",
            Value("[\"zstd\", \"br\", \"gzip\"]"),
            set("algorithms = [\"gzip\"]"),
            "What may be used. The client's weights count first; of what it likes equally, the first here.",
        ),
        Key::built(
            "min_size",
            "size, 0B–1GiB",
            Value("\"1KiB\""),
            set("min_size = \"4KiB\""),
            "Bodies that are known to be shorter are not worth it.",
        ),
        Key::built(
            "types",
            "list of 1–100 media types, `TYPE/SUBTYPE` or `TYPE/*`",
            Text("[text and what is like it](compression.md#which-responses)"),
            set("types = [\"text/*\", \"application/json\"]"),
            "Which are compressed, instead of those.",
        ),
    ],
};
