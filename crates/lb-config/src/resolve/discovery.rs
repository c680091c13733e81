//! `discovery`: where to find backends that the file does not list.

use crate::config::{Discovery, DnsRecord};
use crate::node::shorten;
use crate::reader::Reader;
use lb_types::{Address, BackendUrl, Host};

/// The discovery, `None` where it is wrong.
pub(super) fn discovery(r: &Reader<'_>) -> Option<Discovery> {
    let kind = r.field("type").required().choice(&[("dns", true), ("file", false)])?;
    let belongs = |key: &str, to: &str| format!("`{key}` belongs to discovery by {to}");
    if kind {
        r.refuse(&["path"], |key| belongs(key, "file"));
        dns(r)
    } else {
        r.refuse(&["name", "port", "record", "interval"], |key| belongs(key, "dns"));
        r.field("path").required().text().map(|path| Discovery::File { path: path.into() })
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
