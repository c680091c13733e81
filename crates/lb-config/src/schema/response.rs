//! A response in place of a backend's answer: the same keys wherever one can be set.

use super::proof::set;
use super::{Default, Key};

/// The keys of a section that sets one.
pub(super) const fn response(body: Default, headers: Default) -> [Key; 3] {
    [
        Key::built("status", "status, 200–599", Default::Value("503"), set("status = 429"), "Its status."),
        Key::built("body", "text", body, set("body = \"Back soon\""), "Its body."),
        Key::built(
            "headers",
            "table of texts",
            headers,
            set("headers = { Retry-After = \"5\" }"),
            "Its headers, instead of the default. `Content-Type` is `text/plain` unless given; `Content-Length` is set by the proxy.",
        ),
    ]
}
