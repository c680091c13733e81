//! Who is bound to what, and where clients are: listed, asked, explained, cleared.

use crate::support::{Answer, Served, backend, bind, detector, example};
use lb_balancer::{LoadBalancer, RegionSettings};
use lb_types::BackendId;
use serde_json::{Value, json};

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body))
}

const SESSIONS: &str = "/api/v1/pools/web/sessions";

#[tokio::test]
async fn sessions_are_listed_filtered_and_cleared() {
    let (lb, _held) = example();
    let s = Served::of(vec![("web".into(), lb.clone())]);
    for n in 0..150 {
        bind(&lb, &format!("user {n}"), if n % 3 == 0 { "web-2" } else { "web-1" });
    }
    for (query, count) in [
        ("", 100),
        ("?limit=0", 0),
        ("?limit=7", 7),
        ("?limit=10000", 152),
        ("?backend=web-2&limit=1000", 51),
        ("?backend=web-9", 0),
    ] {
        let answer = s.get(&format!("{SESSIONS}{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let said = parsed(&answer);
        let sessions = said["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), count, "{query}");
        assert_eq!(
            (&said["pool"], &said["store"], &said["stats"]["active"]),
            (&json!("web"), &Value::Null, &json!(152))
        );
        if query.contains("web-2") {
            assert!(sessions.iter().all(|s| s["backend"] == "web-2"), "{said}");
        }
    }
    let id = bind(&lb, "user 1", "web-1");
    let one = format!("{SESSIONS}/{id}");
    for (known, tombstones) in [(true, 1), (false, 1)] {
        let answer = s.send("DELETE", &one, "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(parsed(&answer), json!({ "id": id.to_string(), "known": known, "pending": null }));
        let stats = lb.session_manager().unwrap().session_stats();
        assert_eq!((stats.active, stats.tombstones), (151, tombstones));
    }
    assert_eq!(lb.session_manager().unwrap().sessions_on(&BackendId::from("web-2"), lb.moment()), 51);
    s.stop().await;
}

#[tokio::test]
async fn mistakes_name_what_is_wrong() {
    let (lb, _held) = example();
    let bare = LoadBalancer::builder().backend(backend("a", 1)).build().unwrap();
    let pools = || vec![("web".into(), lb.clone()), ("bare".into(), bare.clone())];
    let s = Served::with(pools(), |state| state.entry("web").geo(|| Some(detector())));
    let id = "0".repeat(32);
    let explain = "/api/v1/explain";
    let cases = [
        ("GET", "/api/v1/pools/x/sessions", "", 404, "there is no pool \"x\""),
        ("GET", "/api/v1/pools/bare/sessions", "", 409, "its configuration has no session_affinity"),
        ("GET", &format!("{SESSIONS}?limit=10001"), "", 422, "limit = 10001: must be at most 10000"),
        ("GET", &format!("{SESSIONS}?limit=some"), "", 422, "limit"),
        ("GET", &format!("{SESSIONS}?limits=1"), "", 422, "unknown field `limits`"),
        ("DELETE", SESSIONS, "", 405, "cannot be asked with DELETE"),
        ("GET", &format!("{SESSIONS}/{id}"), "", 405, "cannot be asked with GET"),
        ("DELETE", &format!("/api/v1/pools/x/sessions/{id}"), "", 404, "there is no pool \"x\""),
        ("DELETE", &format!("/api/v1/pools/bare/sessions/{id}"), "", 409, "session_affinity"),
        ("DELETE", &format!("{SESSIONS}/7"), "", 422, "32 hexadecimal digits"),
        ("GET", "/api/v1/geo/berlin", "", 422, "\"berlin\" is no IP address"),
        ("POST", explain, "{\"session\": \"7\"}", 422, "the body: session = \"7\": "),
        ("POST", explain, "{\"location\": {\"country\": \"Germany\"}}", 422, "the body: location: "),
        ("POST", explain, "{\"location\": {\"planet\": \"Mars\"}}", 422, "unknown field `planet`"),
    ];
    for (method, path, body, status, detail) in cases {
        let answer = s.send(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        assert!(answer.head.contains("application/problem+json"), "{path}");
        let said = parsed(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(said.contains(detail), "{method} {path}: {said}");
    }
    s.stop().await;
    let s = Served::of(pools());
    let answer = s.get("/api/v1/geo/10.1.2.3").await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    s.stop().await;
}

#[tokio::test]
async fn clearing_is_refused_to_pages_of_another_origin() {
    let (lb, _held) = example();
    let id = bind(&lb, "ada", "web-1");
    let s = Served::of(vec![("web".into(), lb.clone())]);
    let head = format!("DELETE {SESSIONS}/{id} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", s.address);
    let answer = s.ask(&format!("{head}Origin: http://example.com\r\n\r\n")).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(lb.session_manager().unwrap().session_stats().cleared, 0);
    s.stop().await;
}

#[tokio::test]
async fn an_explanation_tells_of_session_and_region() {
    let (lb, _held) = example();
    let (ada, grace) = (bind(&lb, "ada", "web-1"), bind(&lb, "grace", "web-2"));
    let world = LoadBalancer::builder()
        .geo_detector(detector())
        .fallback_region("us-east")
        .backends([backend("us", 1), backend("eu", 2)])
        .region(RegionSettings::new("us-east").countries(["US"]), ["us".into()])
        .region(RegionSettings::new("eu-west").continents(["EU"]), ["eu".into()])
        .build()
        .unwrap();
    let pools = vec![("web".into(), lb.clone()), ("world".into(), world)];
    let s = Served::with(pools, |state| state.entry("web").geo(|| Some(detector())));
    let cases = [
        (
            json!({ "session": ada.to_string() }),
            "web-1",
            Value::Null,
            format!("session {ada} stays on web-1"),
        ),
        (json!({ "headers": { "x-user": "ada" } }), "web-1", Value::Null, "stays on web-1".into()),
        (
            json!({ "session": grace.to_string() }),
            "web-1",
            Value::Null,
            "is bound to web-2, which may not take it: unhealthy: it moves".into(),
        ),
        (
            json!({ "pool": "world", "client_ip": "10.1.2.3" }),
            "eu",
            json!("eu-west"),
            "10.1.2.3: Berlin".into(),
        ),
        (json!({ "pool": "world", "client_ip": "192.0.2.1" }), "us", json!("us-east"), "unknown: ".into()),
        (
            json!({ "pool": "world", "client_ip": "10.1.2.3", "location": { "region": "US-CA" } }),
            "us",
            json!("us-east"),
            "US-CA, US, NA (given)".into(),
        ),
    ];
    for (question, picked, region, step) in cases {
        let answer = s.send("POST", "/api/v1/explain", &question.to_string()).await;
        assert_eq!(answer.status, 200, "{question}: {}", answer.body);
        let said = parsed(&answer);
        assert_eq!((&said["picked"], &said["region"]), (&json!(picked), &region), "{question}: {said}");
        let steps = said["steps"].as_array().unwrap();
        assert!(steps.iter().any(|s| s["what"].as_str().unwrap().contains(&step)), "{question}: {said}");
        assert!(said["text"].as_str().unwrap().contains(&step), "{said}");
    }
    let stats = lb.session_manager().unwrap().session_stats();
    assert_eq!((stats.total, stats.moved), (2, 0), "asking changes nothing");
    s.stop().await;
}

#[tokio::test]
async fn an_address_is_placed_or_it_is_said_why_not() {
    let (lb, _held) = example();
    let s = Served::with(vec![("web".into(), lb)], |state| state.geo(|| Some(detector())));
    let berlin = parsed(&s.get("/api/v1/geo/10.1.2.3").await);
    assert_eq!(
        (&berlin["location"]["city"], &berlin["unknown"]),
        (&json!("Berlin"), &Value::Null),
        "{berlin}"
    );
    let nobody = parsed(&s.get("/api/v1/geo/2001:db8::1").await);
    assert_eq!(nobody["location"], Value::Null);
    assert!(nobody["unknown"].is_string(), "{nobody}");
    s.stop().await;
}
