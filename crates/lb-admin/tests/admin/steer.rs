//! What changes a pool: who may ask for it, what is refused, and what is done.

use crate::support::{Answer, Served, backend, example, fail};
use lb_balancer::{BreakerSettings, HealthCheck, LoadBalancer, OutlierDetection};
use serde_json::{Value, json};

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body))
}

fn two() -> LoadBalancer {
    LoadBalancer::builder()
        .backend(backend("a", 9001))
        .backend(backend("b/1", 9002))
        .circuit_breaker(BreakerSettings::new())
        .outlier_detection(OutlierDetection::new())
        .build()
        .unwrap()
}

const B: &str = "/api/v1/pools/web/backends/b%2F1";

#[tokio::test]
async fn a_breaker_is_forced_and_let_go() {
    let lb = two();
    let s = Served::of(vec![("web".into(), lb.clone())]);
    for (order, state, forced, exclusion) in [
        ("open", "open", true, json!("breaker-open")),
        ("closed", "closed", true, Value::Null),
        ("auto", "closed", false, Value::Null),
    ] {
        let answer = s.send("PUT", &format!("{B}/breaker"), &format!("{{\"state\": \"{order}\"}}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let view = parsed(&answer);
        assert_eq!((&view["id"], &view["exclusion"]), (&json!("b/1"), &exclusion));
        assert_eq!((&view["breaker"]["state"], &view["breaker"]["forced"]), (&json!(state), &json!(forced)));
    }
    let metrics = s.get("/metrics").await.body;
    let open = "edge_lb_backend_breaker_state{pool=\"web\",backend=\"b/1\",state=\"open\"} 0";
    assert!(metrics.contains(open), "{metrics}");
    lb.maintain();
    let metrics = s.get("/metrics").await.body;
    let opened = "edge_lb_backend_breaker_transitions_total{pool=\"web\",backend=\"b/1\",to=\"open\",reason=\"forced\"} 1";
    assert!(metrics.contains(opened), "{metrics}");
    s.stop().await;
}

#[tokio::test]
async fn mistakes_name_what_is_wrong() {
    let bare = LoadBalancer::builder().backend(backend("a", 1)).build().unwrap();
    let s = Served::of(vec![("web".into(), two()), ("bare".into(), bare)]);
    let breaker = format!("{B}/breaker");
    let cases = [
        ("PUT", "/api/v1/pools/x/backends/a/breaker", "{}", 404, "there is no pool \"x\""),
        ("PUT", "/api/v1/pools/web/backends/x/breaker", "{}", 404, "pool \"web\" has no backend \"x\""),
        (
            "PUT",
            "/api/v1/pools/bare/backends/a/breaker",
            "{\"state\":\"open\"}",
            409,
            "has no circuit breakers",
        ),
        ("PUT", &breaker, "{\"state\":\"ajar\"}", 422, "unknown variant `ajar`"),
        ("PUT", &breaker, "{\"state\":\"open\",\"for\":1}", 422, "unknown field `for`"),
        ("PUT", &breaker, "{", 422, "the body: EOF"),
        ("PUT", &breaker, "", 415, "Content-Type"),
        ("GET", &breaker, "", 405, "cannot be asked with GET"),
        ("POST", &format!("{B}/check"), "", 409, "no health check"),
        ("POST", &format!("{B}/drain?grace=soon"), "", 422, "grace = \"soon\""),
        ("POST", &format!("{B}/drain?grace=51s"), "", 422, "at most 50s"),
        ("POST", &format!("{B}/drain?grave=5s"), "", 422, "unknown field `grave`"),
        ("POST", "/api/v1/explain", "{}", 422, "`pool` is missing; it must be one of bare, web"),
        ("POST", "/api/v1/explain", "{\"client_ip\":\"x\"}", 422, "the body:"),
    ];
    for (method, path, body, status, detail) in cases {
        let answer = s.send(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        assert!(answer.head.contains("application/problem+json"), "{path}");
        let said = parsed(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(said.contains(detail), "{path}: {said}");
    }
    let long = format!("{{\"path\": \"/{}\"}}", "a".repeat(20_000));
    assert_eq!(s.send("POST", "/api/v1/explain", &long).await.status, 413);
    s.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_give_no_orders() {
    let lb = two();
    let s = Served::of(vec![("web".into(), lb.clone())]);
    let address = s.address;
    for (field, status) in [
        (format!("Origin: http://{address}"), 200),
        ("Origin: http://evil.example".to_owned(), 403),
        ("Sec-Fetch-Site: cross-site".to_owned(), 403),
    ] {
        let body = "{\"state\":\"open\"}";
        let request = format!(
            "PUT {B}/breaker HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{field}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        lb.circuit_breaker().unwrap().reset();
        assert_eq!(s.ask(&request).await.status, status, "{field}");
        let opened = lb.circuit_breaker_for(&"b/1".into()).unwrap().status().forced;
        assert_eq!(opened, status == 200, "{field}");
    }
    s.stop().await;
}

#[tokio::test]
async fn a_drain_waits_for_what_is_in_flight_and_can_be_ended() {
    let lb = two();
    let s = Served::of(vec![("web".into(), lb.clone())]);
    let held: Vec<_> = (0..2)
        .map(|_| lb.select_backend(&lb_types::RequestInfo::default(), &Default::default()).unwrap())
        .collect();
    let drained = parsed(&s.send("POST", &format!("{B}/drain?grace=20ms"), "").await);
    assert_eq!((&drained["id"], &drained["remaining"]), (&json!("b/1"), &json!(1)));
    drop(held);
    let drained = parsed(&s.send("POST", &format!("{B}/drain"), "").await);
    assert_eq!(drained["remaining"], 0);
    let back = parsed(&s.send("DELETE", &format!("{B}/drain"), "").await);
    assert_eq!((&back["id"], &back["exclusion"]), (&json!("b/1"), &Value::Null));
    s.stop().await;
}

#[tokio::test]
async fn a_check_is_made_now() {
    let lb = LoadBalancer::builder()
        .backend(backend("a", 1)) // nobody listens there
        .health_check(HealthCheck::tcp())
        .build()
        .unwrap();
    let s = Served::of(vec![("web".into(), lb)]);
    let status = parsed(&s.send("POST", "/api/v1/pools/web/backends/a/check", "").await);
    assert_eq!((&status["healthy"], &status["consecutive_failures"]), (&json!(false), &json!(1)));
    assert!(status["last_error"].as_str().unwrap().contains("refused"), "{status}");
    s.stop().await;
}

#[tokio::test]
async fn an_ejection_is_seen_with_its_reason_everywhere() {
    let lb = two();
    let s = Served::of(vec![("web".into(), lb.clone())]);
    lb.circuit_breaker().unwrap().close();
    fail(&lb, "b/1");
    let pool = parsed(&s.get("/api/v1/pools/web").await);
    let view = &pool["backends"][1];
    assert_eq!((&view["exclusion"], &view["ejection"]["ejected"]), (&json!("ejected"), &json!(true)));
    assert_eq!(view["ejection"]["cause"], "consecutive-failures");
    assert_eq!(view["ejection"]["reason"], "5 failures in a row");
    let ends_in = view["ejection"]["ends_in"].as_f64().unwrap();
    assert!((20.0..34.0).contains(&ends_in), "30 s and up to a tenth more: {ends_in}");
    let metrics = s.get("/metrics").await.body;
    for line in [
        "edge_lb_backend_ejected{pool=\"web\",backend=\"b/1\"} 1",
        "edge_lb_backend_ejections_total{pool=\"web\",backend=\"b/1\",cause=\"consecutive-failures\"} 1",
        "edge_lb_backend_excluded{pool=\"web\",backend=\"b/1\",reason=\"ejected\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let said = parsed(&s.send("POST", "/api/v1/explain", "{\"path\": \"/x\"}").await);
    assert_eq!((&said["picked"], &said["pool"]), (&json!("a"), &json!("web")));
    assert_eq!(said["candidates"][1]["excluded"], "ejected");
    assert!(
        said["text"].as_str().unwrap().contains("b/1  weight 1  in flight 0  excluded: ejected"),
        "{said}"
    );
    s.stop().await;
}

#[tokio::test]
async fn explain_takes_what_a_request_has() {
    let (web, _held) = example();
    let s = Served::of(vec![("web".into(), web)]);
    let ask = r#"{"method": "POST", "host": "a", "path": "/x", "query": "q=1", "client_ip": "192.0.2.7",
        "headers": {"X-User": "7"}, "exclude": ["web-1"], "key": "k"}"#;
    let said = parsed(&s.send("POST", "/api/v1/explain", ask).await);
    assert_eq!(said["candidates"][0]["excluded"], "excluded");
    s.stop().await;
}
