//! What clients are told in place of a backend's answer.

use super::http_check::header_fields;
use super::set;
use crate::reader::Field;
use lb_types::FixedResponse;

/// Headers that say how a message is framed or a connection used: the proxy's own business.
const OWN_HEADERS: [&str; 6] =
    ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// The section's response, what it leaves out as in `usual`.
pub(super) fn response(field: &Field<'_>, usual: FixedResponse) -> FixedResponse {
    let mut response = usual;
    let Some(r) = field.table() else { return response };
    set(&mut response.status, r.field("status").integer(200..=599));
    set(&mut response.body, r.field("body").text_or_empty().map(str::to_owned));
    if let Some(fields) = header_fields(&r.field("headers"), &r, &OWN_HEADERS, "the proxy") {
        response.headers = fields.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    }
    response
}
