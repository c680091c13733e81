//! ipinfo.io: `GET {base}/{ip}/json` with `Authorization: Bearer TOKEN`.
//!
//! Fields that are read: `ip`, `city`, `region`, `country`, `loc` ("lat,lon"), `org` ("AS123 Name"), `bogon`. Documented at
//! <https://ipinfo.io/developers>. The token goes into a header, not into the URL, where logs would keep it.

use super::HttpSettings;
use super::client::Client;
use crate::location::{as_number, name_of, place_of};
use crate::provider::{BoxFuture, Provider, fnv1a};
use crate::{Answer, Country, GeoError, Location, Why};
use ::http::StatusCode;
use serde::Deserialize;
use std::net::IpAddr;

/// Asks ipinfo.io, or what answers as it does.
#[derive(Debug)]
pub struct IpInfo {
    client: Client,
}

#[derive(Deserialize)]
struct Body {
    ip: IpAddr,
    #[serde(default)]
    bogon: bool,
    city: Option<String>,
    region: Option<String>,
    country: Option<String>,
    loc: Option<String>,
    org: Option<String>,
}

impl IpInfo {
    /// Its public address, unless the settings give another.
    pub const BASE_URL: &'static str = "https://ipinfo.io";

    /// A provider; nothing is connected yet.
    ///
    /// # Errors
    /// When a setting is out of bounds, or the URL is none.
    pub fn new(settings: HttpSettings) -> Result<Self, GeoError> {
        Ok(Self { client: Client::new("ipinfo", Self::BASE_URL, settings, true)? })
    }

    async fn ask(&self, ip: IpAddr) -> Result<Answer, GeoError> {
        let reply = self.client.get(&format!("/{ip}/json")).await?;
        match reply.status {
            StatusCode::NOT_FOUND => Ok(Answer::Unknown(Why::NotInDatabase)),
            status if status.is_success() => {
                let body: Body =
                    serde_json::from_slice(&reply.body).map_err(|e| self.client.malformed(e.to_string()))?;
                if body.ip != ip {
                    return Err(self.client.malformed(format!("asked for {ip}, it tells of {}", body.ip)));
                }
                Ok(if body.bogon { Answer::Unknown(Why::Reserved) } else { Answer::of(location(&body)) })
            }
            status => Err(self.client.status(status, &reply.body)),
        }
    }
}

fn location(body: &Body) -> Location {
    let (asn, organization) = body.org.as_deref().map_or((None, None), system);
    Location {
        country: body.country.as_deref().and_then(Country::from_code),
        region_name: body.region.as_deref().and_then(name_of),
        city: body.city.as_deref().and_then(name_of),
        coordinates: body.loc.as_deref().and_then(place_of),
        asn,
        as_organization: organization.and_then(name_of),
        ..Location::default()
    }
    .with_continent()
}

/// "AS123 Name", or a name alone.
fn system(org: &str) -> (Option<u32>, Option<&str>) {
    match org.split_once(' ').map(|(number, name)| (as_number(number), name)) {
        Some((Some(asn), name)) => (Some(asn), Some(name)),
        _ => match as_number(org) {
            Some(asn) => (Some(asn), None),
            None => (None, Some(org)),
        },
    }
}

impl Provider for IpInfo {
    fn name(&self) -> &'static str {
        self.client.name()
    }

    /// Nothing: it is asked over the network.
    fn locate_now(&self, _: IpAddr) -> Option<Answer> {
        None
    }

    fn fingerprint(&self) -> u64 {
        fnv1a(format!("ipinfo {}", self.client.url()).as_bytes())
    }

    fn locate(&self, ip: IpAddr) -> BoxFuture<'_, Result<Answer, GeoError>> {
        Box::pin(self.ask(ip))
    }
}
