//! `/metrics`, read by a strict parser.

use crate::exposition::{Family, parse};
use crate::support::{Served, answered, backend, example};
use lb_admin::MetricsWriter;
use lb_balancer::LoadBalancer;
use lb_types::HealthSink;
use std::collections::BTreeMap;

async fn scrape(s: &Served) -> BTreeMap<String, Family> {
    let answer = s.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        answer.head
    );
    parse(&answer.body).unwrap_or_else(|e| panic!("{e}\n{}", answer.body))
}

#[tokio::test]
async fn every_figure_of_the_example_is_there() {
    let (lb, _held) = example();
    let s = Served::of(vec![("web".into(), lb)]);
    let f = scrape(&s).await;
    let one = [("backend", "web-1"), ("pool", "web")];
    let outcome = |o| {
        f["edge_lb_backend_requests_total"]
            .value("edge_lb_backend_requests_total", &[one[0], one[1], ("outcome", o)])
    };
    assert_eq!(
        (outcome("success"), outcome("failure"), outcome("cancelled")),
        (Some(4.0), Some(1.0), Some(0.0))
    );
    let gauge = |name: &str, labels: &[(&str, &str)]| f[name].value(name, labels);
    assert_eq!(gauge("edge_lb_backend_in_flight", &one), Some(1.0));
    assert_eq!(gauge("edge_lb_backend_weight", &one), Some(2.0));
    let two = [("backend", "web-2"), ("pool", "web")];
    assert_eq!(
        (gauge("edge_lb_backend_healthy", &one), gauge("edge_lb_backend_healthy", &two)),
        (Some(1.0), Some(0.0))
    );
    assert_eq!(f["edge_lb_backend_excluded"].samples.len(), 1);
    assert_eq!(gauge("edge_lb_backend_excluded", &[two[0], two[1], ("reason", "unhealthy")]), Some(1.0));
    assert_eq!(gauge("edge_lb_pool_backends", &[("pool", "web"), ("state", "unhealthy")]), Some(1.0));
    assert_eq!(gauge("edge_lb_pool_requests_total", &[("pool", "web")]), Some(8.0));
    assert_eq!(gauge("process_start_time_seconds", &[]), Some(1_700_000_000.0));

    // Four answers of 10 ms.
    let times = &f["edge_lb_backend_response_seconds"];
    let bucket = |le| times.value("edge_lb_backend_response_seconds_bucket", &[one[0], ("le", le), one[1]]);
    assert_eq!(
        (bucket("0.005"), bucket("0.01"), bucket("0.025"), bucket("+Inf")),
        (Some(0.0), Some(4.0), Some(4.0), Some(4.0))
    );
    assert_eq!(times.value("edge_lb_backend_response_seconds_sum", &one), Some(0.04));
    s.stop().await;
}

#[tokio::test]
async fn a_backend_that_is_gone_is_gone_from_the_next_scrape() {
    let (lb, _held) = example();
    let s = Served::of(vec![("web".into(), lb.clone())]);
    let of_two = |f: &BTreeMap<String, Family>| {
        let samples = f.values().flat_map(|f| f.samples.keys());
        samples.filter(|(_, l)| l.get("backend").is_some_and(|b| b == "web-2")).count()
    };
    assert!(of_two(&scrape(&s).await) > 5);
    lb.remove_backend(&"web-2".into()).unwrap();
    let after = scrape(&s).await;
    assert_eq!(of_two(&after), 0);
    assert!(!after.contains_key("edge_lb_backend_excluded"), "no family without series");
    assert_eq!(
        after["edge_lb_pool_requests_total"].value("edge_lb_pool_requests_total", &[("pool", "web")]),
        Some(8.0)
    );
    s.stop().await;
}

#[tokio::test]
async fn any_name_can_be_a_label_and_scrapes_are_in_order() {
    let odd = "a\"b\\c\nd{e=\"1\"} ü";
    let lb = LoadBalancer::builder().backend(backend(odd, 1)).backend(backend("plain", 2)).build().unwrap();
    answered(&lb, 2);
    let s = Served::of(vec![("p}\"".into(), lb.clone()), ("q".into(), lb.clone())]);
    let f = scrape(&s).await;
    for (family, suffix) in
        [("edge_lb_backend_in_flight", ""), ("edge_lb_backend_response_seconds", "_count")]
    {
        let labels = [("backend", odd), ("pool", "p}\"")];
        assert!(f[family].value(&format!("{family}{suffix}"), &labels).is_some(), "{:?}", f[family]);
    }
    assert_eq!(s.get("/metrics").await.body, s.get("/metrics").await.body);
    lb.pool().set_healthy(&"plain".into(), false);
    assert!(scrape(&s).await.contains_key("edge_lb_backend_excluded"));
    s.stop().await;
}

#[tokio::test]
async fn others_add_their_own() {
    let source = |out: &mut MetricsWriter| {
        out.counter("edge_lb_proxy_requests_total", "Requests.", &[("listener", "a")], 7);
        out.gauge("edge_lb_proxy_connections_open", "Open.", &[], 2.0);
        out.histogram("edge_lb_proxy_seconds", "Times.", &[], &Default::default());
    };
    let s = Served::with(vec![], |state| state.metrics_from(source));
    let f = scrape(&s).await;
    assert_eq!(
        f["edge_lb_proxy_requests_total"].value("edge_lb_proxy_requests_total", &[("listener", "a")]),
        Some(7.0)
    );
    assert_eq!(
        f["edge_lb_proxy_seconds"].value("edge_lb_proxy_seconds_bucket", &[("le", "+Inf")]),
        Some(0.0)
    );
    s.stop().await;
}
