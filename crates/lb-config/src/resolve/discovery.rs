//! `discovery`: where to find backends that the file does not list.

use super::known::Known;
use super::kubernetes;
use crate::config::{Discovery, DnsRecord};
use crate::node::shorten;
use crate::reader::Reader;
use lb_types::{Address, BackendUrl, Host};

/// The keys of each type beside `type` and `enabled`.
const TYPES: [(&str, &[&str]); 3] = [
    ("dns", &["name", "port", "record", "interval"]),
    ("file", &["path"]),
    ("kubernetes", &["service", "namespace", "port", "family", "api", "timeout"]),
];

/// The discovery, `None` where it is wrong.
pub(super) fn discovery(r: &Reader<'_>, known: &Known<'_>) -> Option<Discovery> {
    let kind = r.field("type").required().choice(&TYPES.map(|(name, _)| (name, name)))?;
    let (_, own) = TYPES.iter().find(|(name, _)| *name == kind).expect("it was chosen from them");
    for (name, keys) in TYPES {
        // A key that two others have is told once.
        let first = |key: &str| TYPES.iter().find(|(_, keys)| keys.contains(&key)).map(|(name, _)| *name);
        let is_foreign = |key: &&str| !own.contains(key) && first(key) == Some(name);
        let foreign: Vec<_> = keys.iter().copied().filter(is_foreign).collect();
        r.refuse(&foreign, |key| format!("`{key}` belongs to discovery by {name}"));
    }
    match kind {
        "dns" => dns(r),
        "file" => r.field("path").required().text().map(|path| Discovery::File { path: path.into() }),
        _ => kubernetes::pods(r, known).map(Discovery::Kubernetes),
    }
}

fn dns(r: &Reader<'_>) -> Option<Discovery> {
    let records = [("address", DnsRecord::Address), ("srv", DnsRecord::Srv)];
    let record = r.field("record");
    let known = !record.is_present() || record.is_text();
    let record = record.choice(&records).unwrap_or_default();
    let mut port = None;
    if record == DnsRecord::Srv {
        r.refuse(&["port"], |_| "`port` is of no use with SRV records, which carry ports".to_owned());
        port = Some(0);
    } else if known {
        port = r.field("port").required().integer(1..=u16::MAX);
    }
    let interval = r.field("interval").duration();
    let field = r.field("name").required();
    let name = field.text()?;
    // The URL parser knows what a host name is.
    let host = BackendUrl::http(name, 80).ok().filter(|_| !name.contains([':', '/', '@']));
    match host.as_ref().map(BackendUrl::address) {
        Some(Address::Tcp { host: Host::Name(_), .. }) => {}
        Some(_) => {
            field
                .error(format!("\"{}\" is an IP address, not a DNS name", shorten(name)))
                .help("list it in `backends`");
            return None;
        }
        None => {
            field.error(format!("bad DNS name \"{}\"", shorten(name)));
            return None;
        }
    }
    Some(Discovery::Dns { name: name.to_owned(), port: port?, record, interval })
}
