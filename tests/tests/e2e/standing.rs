//! How a backend stands, by the admin API.

use edge_lb_tests::admin;
use lb_testkit::EdgeLb;
use serde_json::Value;

/// A backend of the pool `main`.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Why it gets no requests.
    pub(crate) exclusion: Option<String>,
    pub(crate) succeeded: usize,
    /// Requests that were sent there, in whatever way they ended, and those in flight. Not read in one moment: one that ends meanwhile
    /// may be missing, so that a later look may see fewer.
    pub(crate) all: usize,
    pub(crate) in_flight: usize,
    /// Whether it has passed a check, and the last one.
    pub(crate) passes: bool,
}

/// The pool `main`.
pub(crate) fn pool(lb: &EdgeLb) -> Value {
    let response = admin(lb, "GET", "/api/v1/pools/main");
    assert_eq!(response.status(), 200);
    serde_json::from_slice(&response.body).expect("the admin API speaks JSON")
}

/// One of its backends.
pub(crate) fn standing(lb: &EdgeLb, id: &str) -> Standing {
    let pool = pool(lb);
    let backends = pool["backends"].as_array().expect("a pool has backends");
    let it = backends.iter().find(|b| b["id"] == id).expect("it is one of them");
    let count = |key: &str| usize::try_from(it[key].as_u64().expect("it is a number")).expect("it is small");
    Standing {
        exclusion: it["exclusion"].as_str().map(str::to_owned),
        succeeded: count("succeeded"),
        all: count("succeeded") + count("failed") + count("cancelled") + count("in_flight"),
        in_flight: count("in_flight"),
        passes: it["health"]["consecutive_successes"].as_u64().is_some_and(|n| n > 0),
    }
}

/// Why it gets no requests.
pub(crate) fn exclusion(lb: &EdgeLb, id: &str) -> Option<String> {
    standing(lb, id).exclusion
}
