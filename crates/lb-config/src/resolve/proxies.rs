//! `trusted_proxies`: whose word is taken for the client's address.

use super::set;
use crate::config::{ClientIpHeader, Config};
use crate::reader::{Field, Reader};
use lb_geo::client_addr::NETWORKS_MAX;
use lb_geo::{GeoError, TrustedProxies};

pub(super) fn proxies(r: &Reader<'_>, config: &mut Config) {
    let field = r.field("trusted_proxies");
    for (text, node) in field.text_items() {
        match TrustedProxies::new([text]) {
            Ok(_) => config.trusted_proxies.push(text.to_owned()),
            Err(e) => {
                let why = reason(&e);
                field.error_at(node, |found| format!("bad network {found} in `trusted_proxies`: {why}"));
            }
        }
    }
    if config.trusted_proxies.len() > NETWORKS_MAX && TrustedProxies::new(&config.trusted_proxies).is_err() {
        field.error(format!("`trusted_proxies` must have at most {NETWORKS_MAX} networks"));
    }
    let header = r.field("client_ip_header");
    let headers =
        [("x-forwarded-for", ClientIpHeader::XForwardedFor), ("forwarded", ClientIpHeader::Forwarded)];
    set(&mut config.client_ip_header, choice(&header, &headers));
    if header.is_present() && field.len().unwrap_or_default() == 0 {
        let message =
            "`client_ip_header` does nothing without `trusted_proxies`: nobody's header is believed";
        r.sink.error(header.key_span(), message).help("add trusted_proxies = [\"10.0.0.0/8\"]");
    }
}

/// A header's name, in any case.
fn choice<T: Copy>(field: &Field<'_>, names: &[(&str, T)]) -> Option<T> {
    let text = field.text()?;
    let found = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, header)| *header);
    if found.is_none() {
        field.not_a_choice(text, names.iter().map(|(name, _)| *name));
    }
    found
}

/// What is wrong, without the key that the crate thinks of.
pub(super) fn reason(e: &GeoError) -> String {
    match e {
        GeoError::BadSetting { reason, .. } => (*reason).to_owned(),
        other => other.to_string(),
    }
}
