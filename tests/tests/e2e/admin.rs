//! The admin address: metrics that agree with what was sent, readiness, pools and health.

use edge_lb_tests::{SOON, Setup, admin, metric, unhealthy};
use lb_testkit::{Backend, Client, EdgeLb, Load, Reply, eventually};
use serde_json::Value;

fn get(lb: &EdgeLb, path: &str) -> (u16, String) {
    let response = admin(lb, "GET", path);
    (response.status(), response.text())
}

fn json(lb: &EdgeLb, path: &str) -> Value {
    let response = admin(lb, "GET", path);
    assert_eq!(response.status(), 200, "{path}");
    assert!(
        response.header("content-type").is_some_and(|t| t.starts_with("application/json")),
        "{response:?}"
    );
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn metrics_count_what_was_sent() {
    let (a, b) = (Backend::start("a"), Backend::with("b", |_| Reply::status(404)));
    let lb = Setup::new([&a, &b]).pool("algorithm = \"round-robin\"").top("workers = 2").admin().start();
    let report = Load::new(lb.address()).connections(4).requests_each(25).run_to_end();
    assert_eq!((report.status(200), report.status(404)), (50, 50));
    let (_, text) = get(&lb, "/metrics");
    // Counted when the response's last byte is out: a moment after the client has it.
    let total = |labels: &[&str]| metric(&lb, "edge_lb_backend_requests_total", labels) as u64;
    eventually(SOON, &format!("100 requests are counted in\n{text}"), || total(&[]) == 100);
    assert_eq!((total(&["\"a\""]), total(&["\"b\""])), (50, 50), "{text}");
}

#[test]
fn every_metric_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admin-api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let a = Backend::start("a");
    let pool =
        "max_connections = 9\nqueuing = {}\nload_shedding = {}\nrate_limit = { limit = 9, window = \"1s\" }";
    let lb = Setup::new([&a]).pool(pool).admin().start();
    eventually(SOON, "the load was read", || get(&lb, "/metrics").1.contains("edge_lb_load_cpu_ratio"));
    let (_, text) = get(&lb, "/metrics");
    let missing: Vec<_> = text
        .lines()
        .filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/admin-api.md: {missing:?}");
}

#[test]
fn metrics_are_well_formed() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).admin().start();
    Load::new(lb.address()).requests_each(3).run_to_end().assert_all_ok(3);
    let response = admin(&lb, "GET", "/metrics");
    assert!(response.header("content-type").is_some_and(|t| t.starts_with("text/plain")), "{response:?}");
    let mut typed = std::collections::BTreeSet::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in response.text().lines().filter(|l| !l.is_empty()) {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(typed.insert(kind.split(' ').next().unwrap().to_owned()), "twice: {line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "twice: {line}");
            let name = series.split('{').next().unwrap();
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
            assert!(typed.contains(name) || typed.contains(base), "no type: {line}");
            assert!(name.starts_with("edge_lb_") || name.starts_with("process_"), "{line}");
        }
    }
    assert!(!seen.is_empty());
}

#[test]
fn readiness_follows_the_backends() {
    let backends = ["a", "b"].map(Backend::start);
    let check = "health_check = { type = \"tcp\", interval = \"100ms\", unhealthy_threshold = 2, healthy_threshold = 1 }";
    let lb = Setup::new(&backends).pool(check).admin().start();
    assert_eq!(get(&lb, "/healthz").0, 200);
    eventually(SOON, "ready", || get(&lb, "/readyz").0 == 200);
    backends[0].kill();
    eventually(SOON, "one is found dead", || unhealthy(&lb) == 1);
    assert_eq!(get(&lb, "/readyz").0, 200, "one is enough");
    backends[1].kill();
    eventually(SOON, "not ready any more", || get(&lb, "/readyz").0 == 503);
    assert_eq!(get(&lb, "/healthz").0, 200, "the process itself is well");
    backends[1].revive();
    eventually(SOON, "ready again", || get(&lb, "/readyz").0 == 200);
}

#[test]
fn pools_and_health_are_json() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let check = "health_check = { type = \"tcp\", interval = \"100ms\" }";
    let lb = Setup::default().backend(&a, "weight = 3").backend(&b, "").pool(check).admin().start();
    Load::new(lb.address()).requests_each(4).run_to_end().assert_all_ok(4);

    let pools = json(&lb, "/api/v1/pools");
    let pool = &pools["pools"][0];
    assert_eq!(
        (pool["name"].as_str(), pool["algorithm"].as_str()),
        (Some("main"), Some("weighted-round-robin"))
    );
    assert_eq!((pool["total_backends"].as_u64(), pool["requests"].as_u64()), (Some(2), Some(4)));
    let detail = json(&lb, "/api/v1/pools/main").to_string();
    for part in ["\"a\"", "\"b\"", &a.url(), &b.url(), "\"weight\":3"] {
        assert!(detail.contains(part), "{part} is not in {detail}");
    }
    assert_eq!(unhealthy(&lb), 0);
    b.kill();
    eventually(SOON, "b is found dead", || unhealthy(&lb) == 1);
    let health = json(&lb, "/api/v1/health").to_string();
    for key in [
        "healthy",
        "last_check",
        "consecutive_successes",
        "consecutive_failures",
        "average_latency",
        "last_error",
    ] {
        assert!(health.contains(&format!("\"{key}\"")), "{key} is not in {health}");
    }
}

#[test]
fn what_is_not_there_is_404_and_what_is_not_allowed_405() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).admin().start();
    assert_eq!(get(&lb, "/no/such").0, 404);
    assert_eq!(get(&lb, "/api/v1/nothing").0, 404);
    assert_eq!(admin(&lb, "POST", "/metrics").status(), 405);
    // A page whose name leads here (DNS rebinding) sends that name.
    let other = Client::get(lb.admin(), "/api/v1/pools").unwrap();
    assert!((400..=499).contains(&other.status()) && !other.text().contains("main"), "{other:?}");
    assert_eq!(a.connection_count(), 0);
    // The proxy's own address does not answer for the admin's.
    assert_eq!(Client::get(lb.address(), "/metrics").unwrap().served_by(), Some("a"));
}

#[test]
fn the_admin_address_is_loopback_only() {
    let a = Backend::start("a");
    let text = Setup::new([&a])
        .admin()
        .text()
        .replace("[admin]\naddress = \"127.0.0.1:0\"", "[admin]\naddress = \"0.0.0.0:0\"");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, text).unwrap();
    let said = EdgeLb::command(&["run".as_ref(), "--config".as_ref(), file.as_os_str()], SOON);
    assert!(said.code == Some(2) && said.stderr.contains("0.0.0.0:0"), "{said:?}");
}
