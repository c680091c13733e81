//! `algorithm`: a name, or a table with the name and the options that belong to it.

use super::{set, set_duration};
use crate::node::shorten;
use crate::reader::{Field, Reader};
use lb_core::settings::{Algorithm, Hashing};
use lb_types::KeySource;

/// Algorithms of the contract that are not built yet, and the capability that brings each.
const PLANNED: [(&str, &str); 2] = [("geo-based", "geography"), ("geo-aware", "geography")];

/// Each option and the algorithms that have it.
const OPTIONS: [(&str, &[&str]); 11] = [
    ("key", &["maglev", "ring-hash", "rendezvous"]),
    ("hash_balance_factor", &["maglev", "ring-hash", "rendezvous"]),
    ("ipv4_prefix", &["ip-hash"]),
    ("ipv6_prefix", &["ip-hash"]),
    ("response_time_samples", &["least-response-time"]),
    ("response_time_window", &["least-response-time"]),
    ("decay", &["peak-ewma", "adaptive"]),
    ("default_rtt", &["peak-ewma", "adaptive"]),
    ("blackout_period", &["adaptive"]),
    ("weight_expiration_period", &["adaptive"]),
    ("error_utilization_penalty", &["adaptive"]),
];

/// The algorithm, `None` where none or a wrong one is given.
pub(super) fn algorithm(field: &Field<'_>) -> Option<Algorithm> {
    if field.is_text() {
        return by_name(field);
    }
    let r = field.table()?;
    let mut algorithm = by_name(&r.field("name").required());
    if let Some(a) = &algorithm {
        for (option, owners) in OPTIONS.iter().filter(|(_, owners)| !owners.contains(&a.name())) {
            r.refuse(&[option], |key| {
                let owners = owners.join("`, `");
                format!("`{key}` is no option of `{}`; it belongs to `{owners}`", a.name())
            });
        }
    }
    match &mut algorithm {
        Some(Algorithm::IpHash(o)) => {
            set(&mut o.ipv4_prefix, r.field("ipv4_prefix").integer(0..=32));
            set(&mut o.ipv6_prefix, r.field("ipv6_prefix").integer(0..=128));
        }
        Some(Algorithm::LeastResponseTime(o)) => {
            set(&mut o.samples, r.field("response_time_samples").integer(1..=64));
            set_duration(&mut o.window, &r, "response_time_window");
        }
        Some(Algorithm::PeakEwma(o)) => {
            set_duration(&mut o.decay, &r, "decay");
            set_duration(&mut o.default_rtt, &r, "default_rtt");
        }
        Some(Algorithm::Adaptive(o)) => {
            set(&mut o.blackout_period, r.field("blackout_period").duration_or_zero());
            set_duration(&mut o.weight_expiration_period, &r, "weight_expiration_period");
            set(&mut o.error_utilization_penalty, r.field("error_utilization_penalty").number(0.0..=1_000.0));
            set_duration(&mut o.decay, &r, "decay");
            set_duration(&mut o.default_rtt, &r, "default_rtt");
        }
        Some(Algorithm::Maglev(o) | Algorithm::RingHash(o) | Algorithm::Rendezvous(o)) => hashing(o, &r),
        _ => {}
    }
    algorithm
}

fn hashing(o: &mut Hashing, r: &Reader<'_>) {
    o.balance_factor = r.field("hash_balance_factor").integer(101..=10_000);
    let field = r.field("key");
    let Some(text) = field.text() else { return };
    match KeySource::parse(text) {
        Some(KeySource::Header(name)) if !is_token(&name) => {
            field.error(format!("\"{}\" is no header name", shorten(&name)));
        }
        Some(key) => o.key = key,
        None => {
            let message = format!("bad `key` \"{}\"", shorten(text));
            field.error(message).help("it must be client-ip, header:NAME, cookie:NAME, query:NAME or path");
        }
    }
}

fn by_name(field: &Field<'_>) -> Option<Algorithm> {
    let name = field.text()?;
    if let Some((name, capability)) = PLANNED.iter().find(|(planned, _)| *planned == name) {
        field.error(format!("algorithm `{name}` is not built yet (planned: {capability})"));
        return None;
    }
    let found = Algorithm::from_name(name);
    if found.is_none() {
        let all = Algorithm::all();
        let names = all.iter().map(Algorithm::name);
        let wanted = name.to_ascii_lowercase().replace('_', "-");
        let help = match crate::schema::nearest(&wanted, names.clone()) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!("it must be one of {}", names.collect::<Vec<_>>().join(", ")),
        };
        field.error(format!("unknown algorithm \"{}\"", shorten(name))).help(help);
    }
    found
}

/// Whether a text is a header's or a method's name (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
