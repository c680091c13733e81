//! Where an address is, as this process sees it.

use crate::problem::{Problem, ok};
use crate::state::AdminState;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use lb_balancer::geography::{Answer, Location};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Serialize)]
struct Located {
    ip: IpAddr,
    location: Option<Place>,
    /// Why nobody knows.
    unknown: Option<String>,
}

#[derive(Serialize)]
struct Place {
    country: Option<String>,
    continent: Option<String>,
    region: Option<String>,
    region_name: Option<String>,
    city: Option<String>,
    /// Degrees north and east.
    coordinates: Option<[f64; 2]>,
    asn: Option<u32>,
    as_organization: Option<String>,
}

impl From<&Location> for Place {
    fn from(l: &Location) -> Self {
        let text = |name: &Option<Box<str>>| name.as_deref().map(str::to_owned);
        Self {
            country: l.country.map(|c| c.to_string()),
            continent: l.continent.map(|c| c.to_string()),
            region: l.region.map(|r| r.to_string()),
            region_name: text(&l.region_name),
            city: text(&l.city),
            coordinates: l.coordinates.map(|c| [c.lat(), c.lon()]),
            asn: l.asn,
            as_organization: text(&l.as_organization),
        }
    }
}

/// `GET /api/v1/geo/{ip}`: providers are asked where that is needed.
pub(crate) async fn locate(
    State(state): State<Arc<AdminState>>,
    Path(ip): Path<String>,
) -> Result<Response, Problem> {
    let Some(detector) = state.geo.as_ref().and_then(|geo| geo()) else {
        return Err(Problem::new(StatusCode::CONFLICT, "nothing here knows where clients are"));
    };
    let ip: IpAddr = ip
        .parse()
        .map_err(|_| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("\"{ip}\" is no IP address")))?;
    let answer = detector.detect_location_async(ip).await;
    let answer = answer.map_err(|e| Problem::new(StatusCode::BAD_GATEWAY, e.to_string()))?;
    let located = Located {
        ip,
        location: answer.location().map(Place::from),
        unknown: match &answer {
            Answer::Unknown(why) => Some(why.to_string()),
            Answer::Found(_) => None,
        },
    };
    Ok(ok(&located))
}
