//! From the tree that the user typed to the configuration that the program runs on: parse, don't validate.
//!
//! Every function here records what is wrong and goes on with a default, so that one run finds all errors; the value
//! it returns is used only if none was recorded.

mod admission;
mod agent;
mod algorithm;
mod autoscale;
mod backend;
mod breaker;
mod caching;
mod compression;
mod discovery;
mod gate;
mod geo;
mod geo_pool;
mod health;
mod http_check;
mod known;
mod kubernetes;
mod listener;
mod mirror;
mod outlier;
mod pool;
mod pooling;
mod proxies;
mod region;
mod response;
mod retry;
mod route;
mod session;
mod split;
mod store;
mod tree;

use crate::config::{Config, Log, LogFormat, LogLevel};
use crate::diagnostic::Sink;
use crate::node::{Node, Span, Value, shorten};
use crate::reader::{Field, Reader};
use crate::{Secrets, schema};
use known::Known;
use lb_types::Backend;
use std::time::Duration;

/// What backends need to know of a section of their pool that they may have otherwise.
#[derive(Debug)]
enum OfPool<'a, T> {
    /// The pool is not known (a discovered backend), or its section is wrong.
    Unknown,
    /// The pool has none.
    Absent,
    /// The pool has this, switched on or off.
    Of(&'a T),
}

impl<T> Clone for OfPool<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OfPool<'_, T> {}

impl<'a, T> OfPool<'a, T> {
    /// `resolved` is what the section says, if it could be read.
    fn new(section: &Field<'_>, resolved: Option<&'a T>) -> Self {
        match resolved {
            Some(value) => Self::Of(value),
            None if section.is_present() => Self::Unknown,
            None => Self::Absent,
        }
    }
}

/// The configuration of a whole file.
pub(crate) fn config(root: &Node, sink: &Sink<'_>, secrets: &Secrets<'_>) -> Option<Config> {
    let r = Reader::new(sink, &schema::ROOT, root, Span::default(), "the file")?;
    let mut config =
        Config { workers: r.field("workers").integer(1..=1024).map(u32_to_usize), ..Config::default() };
    if let Some(grace) = r.field("shutdown_grace").duration_or_zero() {
        config.shutdown_grace = grace;
    }
    if let Some(log) = r.field("log").table() {
        config.log = self::log(&log);
    }
    let listeners = r.field("listeners");
    let seen = if listeners.is_present() {
        if listeners.len() == Some(0) {
            let help = "add { address = \"127.0.0.1:8080\" }";
            listeners.error("`listeners` must have at least one listener").help(help);
        }
        listener::listeners(&listeners.tables(), &mut config.listeners)
    } else {
        let help = "add [[listeners]] with address = \"127.0.0.1:8080\"";
        sink.error(Span::default(), "missing key `listeners`: there is no address to listen on").help(help);
        listener::Seen::default()
    };
    if let Some(admin) = r.field("admin").table() {
        config.admin = listener::admin(&admin, &seen);
    }
    proxies::proxies(&r, &mut config);
    let stores = stores(&r, sink, secrets, &mut config);
    let known = Known { secrets, stores };
    if let Some(t) = r.field("geo").table() {
        config.geo = geo::geo(&t, &known);
    }
    config.error_pages = gate::error_pages(&r.field("error_pages"), secrets);
    set(&mut config.debug_headers, r.field("debug_headers").boolean());
    set(&mut config.forwarded, r.field("forwarded").boolean());
    config.request_id = gate::request_id(&r.field("request_id"), r.mentions("routes"));
    let (says_why, nobody) = (r.field("debug_headers"), config.trusted_proxies.is_empty());
    if config.debug_headers && nobody && r.field("trusted_proxies").len().unwrap_or_default() == 0 {
        let message = "`debug_headers` does nothing without `trusted_proxies`: nobody is trusted";
        sink.error(says_why.key_span(), message).help("add trusted_proxies = [\"127.0.0.1\"]");
    }
    pools(&r, sink, &known, &mut config);
    Some(config)
}

fn u32_to_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn log(r: &Reader<'_>) -> Log {
    let levels = LogLevel::ALL.map(|l| (l.as_str(), l));
    Log {
        level: r.field("level").choice(&levels).unwrap_or_default(),
        format: r
            .field("format")
            .choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
            .unwrap_or_default(),
    }
}

fn pools(r: &Reader<'_>, sink: &Sink<'_>, known: &Known<'_>, config: &mut Config) {
    let field = r.field("pools");
    let none = !field.is_present();
    let named = field.named_tables();
    if none {
        let help = "add [[pools.main.backends]] with url = \"http://127.0.0.1:9001\"";
        sink.error(Span::default(), "missing key `pools`: there is no backend to send requests to")
            .help(help);
    } else if field.len() == Some(0) {
        field.error("`pools` must have one pool").help("add a table `pools.main` with a list `backends`");
    }
    for (name, pool) in &named {
        check_name("pool", name, pool, sink);
        config.pools.insert((*name).to_owned(), pool::pool(name, pool, known));
    }
    let splits = split::splits(r, sink, config);
    let routed = route::routes(r, sink, known, config);
    if routed != tree::Routed::Wrong {
        split::unused(&splits, config, sink);
    }
    config.entry = tree::entry(&named, config, routed, sink);
}

/// The stores; their names, right or wrong.
fn stores<'a>(r: &Reader<'a>, sink: &Sink<'_>, secrets: &Secrets<'_>, config: &mut Config) -> Vec<&'a str> {
    let named = r.field("stores").named_tables();
    for (name, store) in &named {
        check_name("store", name, store, sink);
        if *name == "memory" {
            let message = "a store cannot be called \"memory\": that always is this process's own memory";
            sink.error(store.span, message).help("give it another name");
        }
        if let Some(store) = store::store(store, secrets) {
            config.stores.insert((*name).to_owned(), store);
        }
    }
    named.into_iter().map(|(name, _)| name).collect()
}

/// A pool's, route's or store's name stands in metrics, log lines and the admin API's paths.
fn check_name(what: &str, name: &str, r: &Reader<'_>, sink: &Sink<'_>) {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=64).contains(&name.len()) || !name.chars().all(good) || name.starts_with(['.', '-']) {
        let message = format!("bad {what} name \"{}\"", shorten(name));
        sink.error(r.span, message).help(format!(
            "a {what}'s name has 1 to 64 letters, digits, `-`, `_` and `.`, and starts with a letter, digit or `_`"
        ));
    }
}

/// The backends of a file that discovery reads: a table with the list `backends`, or the list alone.
pub(crate) fn backends(root: &Node, sink: &Sink<'_>) -> Option<Vec<Backend>> {
    let whole;
    let root = if matches!(root.value, Value::List(_)) {
        let entry =
            crate::node::Entry { key: "backends".to_owned(), key_span: root.span, node: root.clone() };
        whole = Node { value: Value::Table(vec![entry]), span: root.span };
        &whole
    } else {
        root
    };
    let r = Reader::new(sink, &schema::BACKENDS_FILE, root, Span::default(), "the file")?;
    let field = r.field("backends").required();
    Some(backend::backends(&field.tables(), (OfPool::Unknown, OfPool::Unknown), "the file"))
}

/// Sets a field where the file says something valid.
fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// Sets a duration of at least a nanosecond where the file says a valid one.
fn set_duration(slot: &mut Duration, r: &Reader<'_>, name: &str) {
    set(slot, r.field(name).duration());
}

/// Sets a duration where the file says one within the range.
fn set_duration_within(
    slot: &mut Duration,
    r: &Reader<'_>,
    name: &str,
    range: std::ops::RangeInclusive<Duration>,
) {
    set(slot, r.field(name).duration_within(range));
}
