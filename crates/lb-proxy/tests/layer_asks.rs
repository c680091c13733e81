//! `LoadBalanceLayer` where somebody has to be asked first: a geography provider, a store; and with regions and load shedding.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use lb_admission::shed::{Readings, ShedSettings};
use lb_balancer::geography::{Answer, Database, GeoError, Location, Provider};
use lb_balancer::session::SharingSettings;
use lb_balancer::{
    GeoDetector, LoadBalancer, LoadBalancerBuilder, Priority, RegionSettings, SessionAffinity,
};
use lb_proxy::{ChosenBackend, LoadBalanceLayer};
use lb_store::{MemorySettings, MemoryStore};
use lb_types::{Backend, Nanos, SystemClock};
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

fn pool(ids: &[&str]) -> LoadBalancerBuilder {
    let backends = ids.iter().map(|id| Backend::new(*id, "http://127.0.0.1:9".parse().unwrap()));
    LoadBalancer::builder().backends(backends).selection_timeout(Duration::ZERO)
}

type Body = Full<Bytes>;

fn service(
    layer: &LoadBalanceLayer,
) -> impl Service<
    Request<()>,
    Response = Response<impl http_body::Body<Error: std::fmt::Debug>>,
    Error = Infallible,
> + Clone {
    layer.clone().client_ip(|parts| parts.headers.get("x-ip")?.to_str().ok()?.parse().ok()).layer(service_fn(
        |request: Request<()>| async move {
            let chosen = request.extensions().get::<ChosenBackend>().unwrap();
            Ok(Response::new(Body::from(chosen.id().to_string())))
        },
    ))
}

/// Who serves a client with this address and session.
async fn ask(layer: &LoadBalanceLayer, ip: &str, session: &str) -> (StatusCode, String) {
    let request = Request::get("/").header("x-ip", ip).header("x-session-id", session).body(()).unwrap();
    let response = service(layer).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Knows where everybody is, and has to be waited for.
#[derive(Debug)]
struct Slow;

impl Provider for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn locate_now(&self, _: IpAddr) -> Option<Answer> {
        None
    }

    fn locate(&self, ip: IpAddr) -> Pin<Box<dyn Future<Output = Result<Answer, GeoError>> + Send + '_>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let country = if ip.to_string().ends_with(".2") { "DE" } else { "US" };
            Ok(Answer::Found(Arc::new(Location::of_country(country.parse().unwrap()))))
        })
    }
}

#[tokio::test]
async fn a_client_is_located_before_its_region_is_chosen() {
    let detector = GeoDetector::builder().database(Database::provider(Slow)).build().unwrap();
    let mut root = LoadBalancer::builder().geo_detector(detector).fallback_region("us");
    for (region, country, backend) in [("us", "US", "u"), ("eu", "DE", "e")] {
        let leaf = pool(&[backend]).name(region).build().unwrap();
        root = root.regional_balancer(RegionSettings::new(region).countries([country]), leaf);
    }
    let lb = root.build().unwrap();
    let layer = LoadBalanceLayer::new(lb.clone());
    for ip in ["8.8.8.2", "8.8.8.1", "8.8.8.2", "9.9.9.2"] {
        let expected = if ip.ends_with(".2") { "e" } else { "u" };
        assert_eq!(ask(&layer, ip, "").await, (StatusCode::OK, expected.to_owned()), "{ip}");
    }
    let succeeded = |leaf: &LoadBalancer, id: &str| {
        let stats = leaf.pool().snapshot().get(&id.into()).unwrap().state().stats();
        (stats.in_flight, stats.succeeded)
    };
    assert_eq!(succeeded(&lb.leaves()[0], "u"), (0, 1), "the lease ends in the region that gave it");
    assert_eq!(succeeded(&lb.leaves()[1], "e"), (0, 3));
}

#[tokio::test]
async fn nodes_agree_on_a_sessions_backend_by_way_of_the_store() {
    let store = Arc::new(MemoryStore::new(MemorySettings::new(), Arc::new(SystemClock::new())).unwrap());
    let node = |seed| {
        let affinity = SessionAffinity::header("X-Session-ID");
        let lb = pool(&["a", "b", "c", "d"]).seed(seed).session_affinity(affinity);
        let lb = lb.session_store(store.clone(), SharingSettings::default()).build().unwrap();
        LoadBalanceLayer::new(lb)
    };
    let (one, two) = (node(1), node(2));
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..20 {
        let session = format!("session-{n}");
        let first = ask(&one, "192.0.2.1", &session).await;
        assert_eq!(ask(&two, "192.0.2.7", &session).await, first, "{session}");
        seen.insert(first.1);
    }
    assert!(seen.len() > 1, "{seen:?}");
}

#[tokio::test]
async fn load_is_shed_by_priority() {
    let shedding = ShedSettings::new().queue_threshold(None);
    let lb = pool(&["a"]).load_shedding(shedding).build().unwrap();
    let layer = LoadBalanceLayer::new(lb.clone());
    let low = layer.clone().priority(|_| Priority::LOW);
    assert_eq!(ask(&low, "", "").await.0, StatusCode::OK);
    let readings = Readings { cpu: Some(95.0), ..Readings::default() };
    lb.shedder().unwrap().observe(Nanos::ZERO, &readings);
    let shed = ask(&low, "", "").await;
    assert_eq!(
        shed,
        (StatusCode::SERVICE_UNAVAILABLE, "Service overloaded, please try again later".to_owned())
    );
    assert_eq!(ask(&layer.priority(|_| Priority::HIGH), "", "").await.0, StatusCode::OK);
    assert_eq!(lb.metrics().requests, 2);
}
