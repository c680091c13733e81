//! ipapi.co: `GET {base}/{ip}/json/?key=TOKEN`.
//!
//! Fields that are read: `ip`, `country_code`, `continent_code`, `region`, `region_code`, `city`, `latitude`, `longitude`, `asn` ("AS123"),
//! `org`, and of a refusal `error`, `reason`, `reserved`. Documented at <https://ipapi.co/api/>. Refusals come with status 200 as well.

use super::HttpSettings;
use super::client::{Client, Reply};
use crate::location::{as_number, name_of};
use crate::provider::{BoxFuture, Provider, fnv1a};
use crate::{Answer, Coordinates, Country, GeoError, Location, Subdivision, Why};
use ::http::StatusCode;
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;

/// Asks ipapi.co, or what answers as it does.
pub struct IpApi {
    client: Client,
    /// What stands behind the path. It holds the token.
    query: String,
}

impl fmt::Debug for IpApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpApi").field("client", &self.client).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Body {
    ip: Option<IpAddr>,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    reserved: bool,
    reason: Option<String>,
    country_code: Option<String>,
    continent_code: Option<String>,
    region: Option<String>,
    region_code: Option<String>,
    city: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    asn: Option<String>,
    org: Option<String>,
}

impl IpApi {
    /// Its public address, unless the settings give another.
    pub const BASE_URL: &'static str = "https://ipapi.co";

    /// A provider; nothing is connected yet.
    ///
    /// # Errors
    /// When a setting is out of bounds, or the URL is none.
    pub fn new(settings: HttpSettings) -> Result<Self, GeoError> {
        let client = Client::new("ipapi", Self::BASE_URL, settings, false)?;
        let query = client.token().map(|token| format!("?key={}", escaped(token))).unwrap_or_default();
        Ok(Self { client, query })
    }

    async fn ask(&self, ip: IpAddr) -> Result<Answer, GeoError> {
        let reply = self.client.get(&format!("/{ip}/json/{}", self.query)).await?;
        match reply.status {
            StatusCode::NOT_FOUND => Ok(Answer::Unknown(Why::NotInDatabase)),
            status if status.is_success() => self.read(ip, &reply),
            status => Err(self.client.status(status, &reply.body)),
        }
    }

    fn read(&self, ip: IpAddr, reply: &Reply) -> Result<Answer, GeoError> {
        let body: Body =
            serde_json::from_slice(&reply.body).map_err(|e| self.client.malformed(e.to_string()))?;
        if body.error && (body.reserved || body.reason.as_deref().is_some_and(is_reserved)) {
            return Ok(Answer::Unknown(Why::Reserved));
        }
        if body.error
            && body.reason.as_deref().is_some_and(|reason| reason.eq_ignore_ascii_case("RateLimited"))
        {
            return Err(self.client.rest(None));
        }
        if body.error {
            let reason = body.reason.as_deref().unwrap_or("it gives no reason");
            return Err(self.client.status(reply.status, reason.as_bytes()));
        }
        match body.ip {
            Some(about) if about == ip => Ok(Answer::of(location(&body))),
            Some(about) => Err(self.client.malformed(format!("asked for {ip}, it tells of {about}"))),
            None => Err(self.client.malformed("missing field `ip`")),
        }
    }
}

fn is_reserved(reason: &str) -> bool {
    reason.eq_ignore_ascii_case("Reserved IP Address")
}

fn location(body: &Body) -> Location {
    let country = body.country_code.as_deref().and_then(Country::from_code);
    let place = body.latitude.zip(body.longitude);
    Location {
        country,
        continent: body.continent_code.as_deref().and_then(|code| code.parse().ok()),
        region: country.and_then(|country| Subdivision::new(country, body.region_code.as_deref()?)),
        region_name: body.region.as_deref().and_then(name_of),
        city: body.city.as_deref().and_then(name_of),
        coordinates: place.and_then(|(lat, lon)| Coordinates::new(lat, lon).ok()),
        asn: body.asn.as_deref().and_then(as_number),
        as_organization: body.org.as_deref().and_then(name_of),
    }
    .with_continent()
}

/// As it may stand in a query: what is not unreserved (RFC 3986 §2.3) as %XX.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

impl Provider for IpApi {
    fn name(&self) -> &'static str {
        self.client.name()
    }

    /// Nothing: it is asked over the network.
    fn locate_now(&self, _: IpAddr) -> Option<Answer> {
        None
    }

    fn fingerprint(&self) -> u64 {
        fnv1a(format!("ipapi {}", self.client.url()).as_bytes())
    }

    fn locate(&self, ip: IpAddr) -> BoxFuture<'_, Result<Answer, GeoError>> {
        Box::pin(self.ask(ip))
    }
}
