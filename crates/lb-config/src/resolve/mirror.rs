//! A copy of a route's requests to another pool.

use super::{set, u32_to_usize};
use crate::config::{Config, Mirror, RouteAction};
use crate::node::shorten;
use crate::reader::Reader;
use crate::schema;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// The section of a route that does `action`; the pools are known. `None`: it names no pool, which was recorded.
pub(super) fn mirror(r: &Reader<'_>, action: Option<&RouteAction>, config: &Config) -> Option<Mirror> {
    let mut m =
        Mirror { pool: String::new(), percent: 100.0, max_in_flight: 100, timeout: Duration::from_secs(5) };
    let percent = r.field("percent");
    set(&mut m.percent, percent.number(0.0..=100.0));
    if (m.percent * 100.0).round() < 1.0 && m.percent > 0.0 {
        percent.error("`percent` must be 0, or at least 0.01").help("it counts in steps of 0.01");
    }
    set(&mut m.max_in_flight, r.field("max_in_flight").integer(1..=100_000u32).map(u32_to_usize));
    set(&mut m.timeout, r.field("timeout").duration_within(MS..=HOUR));
    if !r.enabled() {
        // The pool is still there, and its backends are checked: switching it on again changes nothing else.
        m.percent = 0.0;
    }
    let field = r.field("pool").required();
    let name = field.text()?;
    let shown = shorten(name);
    if !config.pools.contains_key(name) {
        let near = schema::nearest(name, config.pools.keys().map(String::as_str));
        let help = near.map_or_else(
            || format!("add [pools.{shown}] with its backends"),
            |near| format!("did you mean \"{near}\"?"),
        );
        field.error(format!("`pool`: there is no pool \"{shown}\"")).help(help);
    } else if action.is_some_and(|action| super::route::pools(action, config).contains(&name)) {
        let message =
            format!("`pool` \"{shown}\" is the route's own: its backends would get each request twice");
        field.error(message).help("mirror to another pool");
    }
    m.pool = name.to_owned();
    Some(m)
}
