//! `algorithm`: a name, or a table with the name and the options that belong to it.

use super::{set, set_duration};
use crate::node::shorten;
use crate::reader::{Field, Reader};
use lb_core::settings::Algorithm;
use lb_types::KeySource;

/// How a pool chooses.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// Among its backends.
    Among(Algorithm),
    /// Among those of the client's region.
    GeoBased,
    /// Among the pools of regions.
    GeoAware,
}

impl Choice {
    fn name(&self) -> &'static str {
        match self {
            Self::Among(algorithm) => algorithm.name(),
            Self::GeoBased => "geo-based",
            Self::GeoAware => "geo-aware",
        }
    }
}

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

/// A pool's choice, `None` where none or a wrong one is given.
pub(super) fn choice(field: &Field<'_>) -> Option<Choice> {
    if field.is_text() {
        return by_name(field);
    }
    let r = field.table()?;
    let mut choice = by_name(&r.field("name").required());
    if let Some(c) = &choice {
        for (option, owners) in OPTIONS.iter().filter(|(_, owners)| !owners.contains(&c.name())) {
            r.refuse(&[option], |key| {
                let owners = owners.join("`, `");
                format!("`{key}` is no option of `{}`; it belongs to `{owners}`", c.name())
            });
        }
    }
    if let Some(Choice::Among(algorithm)) = &mut choice {
        options(algorithm, &r);
    }
    choice
}

/// The algorithm within a region, `None` where none or a wrong one is given.
pub(super) fn within(field: &Field<'_>) -> Option<Algorithm> {
    match choice(field)? {
        Choice::Among(algorithm) => Some(algorithm),
        geo => {
            let message = format!("`{}` cannot choose within a region", geo.name());
            field.error(message).help("leave it out for weighted-round-robin");
            None
        }
    }
}

fn options(algorithm: &mut Algorithm, r: &Reader<'_>) {
    match algorithm {
        Algorithm::IpHash(o) => {
            set(&mut o.ipv4_prefix, r.field("ipv4_prefix").integer(0..=32));
            set(&mut o.ipv6_prefix, r.field("ipv6_prefix").integer(0..=128));
        }
        Algorithm::LeastResponseTime(o) => {
            set(&mut o.samples, r.field("response_time_samples").integer(1..=64));
            set_duration(&mut o.window, r, "response_time_window");
        }
        Algorithm::PeakEwma(o) => {
            set_duration(&mut o.decay, r, "decay");
            set_duration(&mut o.default_rtt, r, "default_rtt");
        }
        Algorithm::Adaptive(o) => {
            set(&mut o.blackout_period, r.field("blackout_period").duration_or_zero());
            set_duration(&mut o.weight_expiration_period, r, "weight_expiration_period");
            set(&mut o.error_utilization_penalty, r.field("error_utilization_penalty").number(0.0..=1_000.0));
            set_duration(&mut o.decay, r, "decay");
            set_duration(&mut o.default_rtt, r, "default_rtt");
        }
        Algorithm::Maglev(o) | Algorithm::RingHash(o) | Algorithm::Rendezvous(o) => {
            o.balance_factor = r.field("hash_balance_factor").integer(101..=10_000);
            set(&mut o.key, key(&r.field("key")));
        }
        _ => {}
    }
}

/// What of a request is looked at.
pub(super) fn key(field: &Field<'_>) -> Option<KeySource> {
    let text = field.text()?;
    match KeySource::parse(text) {
        Some(KeySource::Header(name)) if !is_token(&name) => {
            field.error(format!("\"{}\" is no header name", shorten(&name)));
            None
        }
        Some(key) => Some(key),
        None => {
            let message = format!("bad `key` \"{}\"", shorten(text));
            field.error(message).help("it must be client-ip, header:NAME, cookie:NAME, query:NAME or path");
            None
        }
    }
}

fn by_name(field: &Field<'_>) -> Option<Choice> {
    let name = field.text()?;
    let all = Algorithm::all().map(Choice::Among).into_iter().chain([Choice::GeoBased, Choice::GeoAware]);
    let found = all.clone().find(|choice| choice.name() == name);
    if found.is_none() {
        let names = all.map(|choice| choice.name());
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
