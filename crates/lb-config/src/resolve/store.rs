//! `stores`: where state is shared.

use super::{set, u32_to_usize};
use crate::Secrets;
use crate::config::Store;
use crate::reader::Reader;
use lb_store::{MemorySettings, RedisSettings, RedisUrl};
use lb_types::SettingsError;

const REDIS_KEYS: [&str; 5] = ["url", "key_prefix", "timeout", "connect_timeout", "ca"];
const MEMORY_KEYS: [&str; 2] = ["max_entries", "max_bytes"];
/// Each of the locks that a store is divided into has its share of the bounds.
const ENTRIES_MIN: u32 = 16;
const BYTES_MIN: u64 = 64 << 10;
const BYTES_MAX: u64 = 1 << 40;

/// The store, `None` where it is wrong.
pub(super) fn store(r: &Reader<'_>, secrets: &Secrets<'_>) -> Option<Store> {
    let belongs = |to: &'static str| move |key: &str| format!("`{key}` belongs to a store of type {to}");
    if r.field("type").required().choice(&[("redis", true), ("memory", false)])? {
        r.refuse(&MEMORY_KEYS, belongs("memory"));
        redis(r, secrets).map(Store::Redis)
    } else {
        r.refuse(&REDIS_KEYS, belongs("redis"));
        Some(Store::Memory(memory(r)))
    }
}

fn memory(r: &Reader<'_>) -> MemorySettings {
    let mut s = MemorySettings::default();
    set(&mut s.max_entries, r.field("max_entries").integer(ENTRIES_MIN..=1_000_000_000).map(u32_to_usize));
    let bytes = r.field("max_bytes").size(BYTES_MIN..=BYTES_MAX);
    set(&mut s.max_bytes, bytes.and_then(|b| usize::try_from(b).ok()));
    report(r, s.validate());
    s
}

fn redis(r: &Reader<'_>, secrets: &Secrets<'_>) -> Option<RedisSettings> {
    let field = r.field("url").required();
    let url = secrets.secret(&field).and_then(|text| {
        let parsed = RedisUrl::parse(&text);
        parsed.map_err(|e| field.bad_setting(&e.value, &e.must)).ok()
    });
    // A stand-in while further errors are looked for, which asks for nothing that a build may lack.
    let mut s = RedisSettings::new(match &url {
        Some(url) => url.clone(),
        None => RedisUrl::parse("redis://127.0.0.1").ok()?,
    });
    set(&mut s.key_prefix, r.field("key_prefix").text_or_empty().map(str::to_owned));
    set(&mut s.timeout, r.field("timeout").duration_or_zero());
    set(&mut s.connect_timeout, r.field("connect_timeout").duration_or_zero());
    let ca = r.field("ca").text();
    s.ca = ca.filter(|_| url.is_some()).map(Into::into);
    report(r, s.validate());
    url.map(|_| s)
}

/// Records what the store finds wrong, at its key.
fn report(r: &Reader<'_>, validated: Result<(), SettingsError>) {
    if let Err(e) = validated {
        r.field(e.field).bad_setting(&e.value, &e.must);
    }
}
