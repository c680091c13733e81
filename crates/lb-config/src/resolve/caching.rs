//! `caching`: the cache of selections.

use super::known::Known;
use super::{algorithm, set, u32_to_usize};
use crate::config::Caching;
use crate::reader::Reader;
use lb_core::settings::Algorithm;
use std::time::Duration;

const TTL_MIN: Duration = Duration::from_millis(1);
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
const ENTRIES_MAX: u32 = 10_000_000;

/// `None` where it is switched off. `chooses`: the pool's algorithm, where that is known.
pub(super) fn caching(r: &Reader<'_>, known: &Known<'_>, chooses: Option<&Algorithm>) -> Option<Caching> {
    let mut c = Caching::default();
    set(&mut c.ttl, r.field("ttl").duration_within(TTL_MIN..=TTL_MAX));
    set(&mut c.key, algorithm::key(&r.field("key")));
    set(&mut c.max_entries, r.field("max_entries").integer(1..=ENTRIES_MAX).map(u32_to_usize));
    set(&mut c.storage, known.storage(&r.field("storage")));
    if !r.enabled() {
        return None;
    }
    if let Some(chooses) = chooses.filter(|a| lb_core::is_hash(a)) {
        let name = chooses.name();
        let message =
            format!("`caching` does nothing with `{name}`, which sends each key to its backend anyway");
        r.sink.error(r.span, message).help("remove it, or choose another algorithm");
    }
    Some(c)
}
