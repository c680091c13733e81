//! What the paths answer.

use crate::support::{Served, example};
use lb_balancer::{LoadBalancer, StaticList};
use lb_types::HealthSink;
use serde_json::Value;

async fn json(s: &Served, path: &str) -> Value {
    let answer = s.get(path).await;
    assert_eq!(answer.status, 200, "{path}");
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn readiness_has_reasons() {
    let (web, _held) = example();
    let empty = LoadBalancer::builder().discover(StaticList::default()).build().unwrap();
    let s = Served::of(vec![("web".into(), web.clone()), ("later".into(), empty.clone())]);
    let not_ready = s.get("/readyz").await;
    let problem: Value = serde_json::from_str(&not_ready.body).unwrap();
    assert_eq!(
        (not_ready.status, &problem["reasons"]),
        (503, &serde_json::json!(["pool \"later\" has no backends"]))
    );
    empty.add_backend(crate::support::backend("x", 1)).unwrap();
    assert_eq!(s.get("/readyz").await.body, "ready\n");
    web.pool().set_healthy(&"web-1".into(), false);
    s.ready.send(false).unwrap();
    let problem: Value = serde_json::from_str(&s.get("/readyz").await.body).unwrap();
    let wanted = serde_json::json!([
        "the listeners take no requests: starting or shutting down",
        "pool \"web\": none of 2 backends is usable"
    ]);
    assert_eq!(problem["reasons"], wanted);
    assert_eq!(s.get("/healthz").await.body, "ok\n", "alive all the same");
    s.stop().await;
}

#[tokio::test]
async fn figures_follow_the_pool() {
    let (web, held) = example();
    let s = Served::of(vec![("web".into(), web.clone())]);
    let pools = json(&s, "/api/v1/pools").await;
    let p = &pools["pools"][0];
    assert_eq!(
        (&p["name"], &p["requests"], &p["in_flight"], &p["healthy_backends"]),
        (&"web".into(), &8.into(), &1.into(), &1.into())
    );
    drop(held);
    web.remove_backend(&"web-2".into()).unwrap();
    let pool = json(&s, "/api/v1/pools/web").await;
    assert_eq!(
        (pool["backends"].as_array().unwrap().len(), &pool["requests"], &pool["in_flight"]),
        (1, &8.into(), &0.into())
    );
    assert_eq!(pool["backends"][0]["cancelled"], 1);
    assert_eq!(json(&s, "/api/v1/health").await["pools"]["web"]["backends"]["web-1"]["healthy"], true);
    assert_eq!(json(&s, "/api/v1/metrics").await["pools"]["web"]["total_backends"], 1);
    assert_eq!(json(&s, "/api/v1/version").await["version"], env!("CARGO_PKG_VERSION"));
    s.stop().await;
}

#[tokio::test]
async fn mistakes_are_problems() {
    let (web, _held) = example();
    let s = Served::of(vec![("web".into(), web)]);
    let cases = [
        ("GET", "/", 404, "there is nothing at /"),
        ("GET", "/api/v1/pools/x%22y", 404, "there is no pool \"x\"y\""),
        ("POST", "/api/v1/pools", 405, "/api/v1/pools cannot be asked with POST"),
        ("DELETE", "/metrics", 405, "/metrics cannot be asked with DELETE"),
    ];
    for (method, path, status, detail) in cases {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = s.ask(&request).await;
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            (answer.status, &problem["status"], &problem["detail"]),
            (status, &status.into(), &detail.into())
        );
        assert_eq!(problem["type"], "about:blank");
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        assert_eq!(status == 405, answer.head.contains("allow: get,head"), "{}", answer.head);
    }
    let head = s.ask("HEAD /api/v1/pools HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    s.stop().await;
}
