//! From the configuration's gates, pages and ids to the proxy's.

use http::HeaderName;
use lb_config::{BasicAuth, Cors, ErrorPage, ForwardAuth, Gate, IdTrust, RequestId};
use lb_proxy::{
    AccessList, BasicAuthSettings, CorsSettings, ErrorPages, ForwardAuthSettings, GateSettings, RequestIds,
};
use lb_types::SettingsError;
use std::sync::Arc;

/// What stands before a route.
pub(super) fn gate(gate: Gate) -> Result<GateSettings, SettingsError> {
    let mut settings = GateSettings::default();
    if !(gate.allow.is_empty() && gate.deny.is_empty()) {
        settings.access = Some(AccessList { allow: gate.allow, deny: gate.deny });
    }
    settings.basic_auth = gate.basic_auth.map(basic_auth).transpose()?.map(Arc::new);
    settings.forward_auth = gate.forward_auth.map(forward_auth).transpose()?.map(Arc::new);
    settings.cors = gate.cors.map(cors).transpose()?.map(Arc::new);
    Ok(settings)
}

fn basic_auth(auth: BasicAuth) -> Result<lb_proxy::BasicAuth, SettingsError> {
    let mut settings = BasicAuthSettings::new(auth.users);
    settings.realm = auth.realm;
    settings.forward_user = auth.forward_user.map(|text| name("forward_user", &text)).transpose()?;
    settings.forward_credentials = auth.forward_credentials;
    lb_proxy::BasicAuth::new(settings)
}

fn forward_auth(auth: ForwardAuth) -> Result<lb_proxy::ForwardAuth, SettingsError> {
    let names = |field: &'static str, list: &[String]| -> Result<Vec<HeaderName>, SettingsError> {
        list.iter().map(|text| name(field, text)).collect()
    };
    let mut settings = ForwardAuthSettings::new(auth.url);
    settings.timeout = auth.timeout;
    settings.request_headers =
        auth.request_headers.map(|list| names("request_headers", &list)).transpose()?;
    settings.response_headers = names("response_headers", &auth.response_headers)?;
    lb_proxy::ForwardAuth::new(settings)
}

fn cors(cors: Cors) -> Result<lb_proxy::Cors, SettingsError> {
    let Cors { origins, methods, headers, expose_headers, credentials, max_age, .. } = cors;
    lb_proxy::Cors::new(&CorsSettings { origins, methods, headers, expose_headers, credentials, max_age })
}

fn name(field: &'static str, text: &str) -> Result<HeaderName, SettingsError> {
    text.parse().map_err(|_| SettingsError::new(field, text, "must be a header's name"))
}

/// `None`: there are none.
pub(super) fn error_pages(pages: Vec<ErrorPage>) -> Result<Option<Arc<ErrorPages>>, SettingsError> {
    if pages.is_empty() {
        return Ok(None);
    }
    let mut all = ErrorPages::new();
    for page in pages {
        let made = lb_proxy::ErrorPage::new(page.body, &page.content_type, page.intercept)?;
        all = all.page(&page.status, made)?;
    }
    Ok(Some(Arc::new(all)))
}

/// How requests get ids.
pub(super) fn request_ids(id: &RequestId) -> Result<Arc<RequestIds>, SettingsError> {
    let mut ids = RequestIds::default();
    ids.header = name("header", &id.header)?;
    ids.trust = match id.trust {
        IdTrust::Always => lb_proxy::IdTrust::Always,
        IdTrust::Never => lb_proxy::IdTrust::Never,
        _ => lb_proxy::IdTrust::TrustedProxies,
    };
    Ok(Arc::new(ids))
}
