//! `docs/admin-api.md` shows what the server answers: each `$ curl` there is asked, each metric named there is scraped.
//!
//! `UPDATE_DOCS=1 cargo test -p lb-admin documented` writes the answers into the page.

use crate::exposition::parse;
use crate::splits::Checkout;
use crate::support::{Served, backend, detector, example, fail};
use lb_autoscale::{AutoScale, Driven, Driver, DriverFuture, Order};
use lb_balancer::admission::queue::QueueSettings;
use lb_balancer::admission::shed::{Readings, ShedSettings};
use lb_balancer::{
    Caching, InstanceTemplate, LoadBalancer, ScaleSettings, SelectOptions, SessionAffinity, SharingSettings,
};
use lb_store::{MemorySettings, MemoryStore};
use lb_types::{AgentSink, HealthSink, ManualClock, Nanos, RequestInfo};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const ASK: &str = "$ curl -s http://127.0.0.1:9900";
const ORDER: &str = "$ curl -s -X ";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin-api.md")
}

/// A body with one moment for when sessions began: they do so by the system's clock.
fn timeless(body: &str) -> String {
    let line = |l: &str| match l.split_once("\"created\": ") {
        Some((indent, _)) => format!("{indent}\"created\": 1764000000,\n"),
        None => format!("{l}\n"),
    };
    body.lines().map(line).collect()
}

#[tokio::test]
async fn every_example_is_what_the_server_answers() {
    let (lb, _held) = example();
    let s = Served::with(vec![("web".into(), lb)], |state| {
        state.entry("web").geo(|| Some(detector())).splits(Checkout::new())
    });
    let written = std::fs::read_to_string(page()).unwrap();
    let (mut right, mut asked) = (String::new(), 0);
    let mut lines = written.lines();
    while let Some(line) = lines.next() {
        right += &format!("{line}\n");
        let answer = match (line.strip_prefix(ASK), line.strip_prefix(ORDER)) {
            (Some(path), _) => s.get(path).await,
            // -X PUT -H 'Content-Type: application/json' -d '{…}' http://…/path, or without header and body
            (None, Some(order)) => {
                let (method, rest) = order.split_once(' ').unwrap();
                let path = rest.rsplit_once("http://127.0.0.1:9900").unwrap().1;
                let body = rest.split_once("-d '").map_or("", |(_, b)| b.split('\'').next().unwrap());
                s.send(method, path, body).await
            }
            _ => continue,
        };
        right += &timeless(&answer.body);
        asked += 1;
        // What the page has there now.
        let end = lines.by_ref().find(|l| l.starts_with("```"));
        right += &format!("{}\n", end.unwrap());
    }
    s.stop().await;
    assert!(asked >= 6, "{asked} examples");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page(), right).unwrap();
    } else {
        assert_eq!(written, right, "UPDATE_DOCS=1 cargo test -p lb-admin documented");
    }
}

/// A pool with sessions by cookie in a store, and one with a selection cache; each has had a request, and what it presented was ignored.
fn keeping() -> [LoadBalancer; 2] {
    let store = MemoryStore::new(MemorySettings::new(), Arc::new(ManualClock::default())).unwrap();
    let shop = LoadBalancer::builder()
        .name("shop")
        .backend(backend("shop-1", 9003))
        .session_affinity(SessionAffinity::cookie())
        .session_store(Arc::new(store), SharingSettings::new());
    let cached = LoadBalancer::builder().name("cached").backend(backend("cached-1", 9004));
    let both = [shop, cached.caching(Caching::default())].map(|b| b.build().unwrap());
    let headers = [("Cookie", "LB_SESSION=AAAA")];
    let request = RequestInfo { headers: &headers, ..RequestInfo::from_ip([192, 0, 2, 1].into()) };
    for lb in &both {
        drop(lb.select_backend(&request, &SelectOptions::default()).unwrap());
    }
    both
}

/// A pool with a queue that sheds load, and knows all that can be known of the machine.
fn busy() -> LoadBalancer {
    let backend = backend("busy-1", 9005).max_connections(1);
    let shedding = ShedSettings::new().pressure_threshold(90.0);
    let busy = LoadBalancer::builder().name("busy").backend(backend).queuing(QueueSettings::new());
    let busy = busy.load_shedding(shedding).build().unwrap();
    let readings = Readings {
        cpu: Some(1.0),
        memory: Some(1.0),
        queue: Some(0),
        loop_delay: Some(Duration::ZERO),
        pressure: Some(1.0),
    };
    busy.shedder().unwrap().observe(Nanos::ZERO, &readings);
    busy
}

/// Makes nothing.
struct Idle;

impl Driver for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn instances(&self) -> Option<Vec<Driven>> {
        None
    }

    fn scale(&self, _: Order) -> DriverFuture<'_> {
        Box::pin(async { Ok(()) })
    }

    fn shutdown(&self) -> DriverFuture<'_> {
        Box::pin(async { Ok(()) })
    }
}

/// One that is scaled.
fn scaled() -> LoadBalancer {
    let settings = ScaleSettings::new(AutoScale::new());
    let lb = LoadBalancer::builder().name("scaled").backend(backend("scaled-1", 9006));
    lb.auto_scaler(settings, Arc::new(Idle), InstanceTemplate::default()).build().unwrap()
}

#[tokio::test]
async fn every_metric_is_in_the_table_with_its_type_and_labels() {
    let (lb, _held) = example();
    let running = lb.start().unwrap();
    while lb.discovery_status()[0].successes == 0 {
        tokio::task::yield_now().await;
    }
    let [shop, cached] = keeping();
    let pools = vec![lb.clone(), shop, cached, busy(), scaled()];
    let named = |lb: LoadBalancer| (if lb.name() == "default" { "web" } else { lb.name() }.to_owned(), lb);
    let s = Served::of(pools.into_iter().map(named).collect());
    // So that everything that can happen has.
    lb.pool().set_healthy(&"web-2".into(), true);
    lb.pool().agent_report(&"web-2".into(), "90%".parse().unwrap());
    lb.circuit_breaker().unwrap().close();
    fail(&lb, "web-2");
    let scraped: BTreeSet<_> = parse(&s.get("/metrics").await.body)
        .unwrap()
        .into_iter()
        .map(|(name, f)| {
            let labels: BTreeSet<_> =
                f.samples.keys().flat_map(|(_, l)| l.keys()).filter(|l| *l != "le").collect();
            let labels: Vec<_> = labels.into_iter().map(|l| format!("`{l}`")).collect();
            format!("| `{name}` | {} | {} |", f.kind, labels.join(", ")).replace("|  |", "| |")
        })
        .collect();
    let written = std::fs::read_to_string(page()).unwrap();
    let table: BTreeSet<_> = written
        .lines()
        .filter(|l| l.starts_with("| `edge_lb_") || l.starts_with("| `process_"))
        .map(|l| l.rsplitn(3, '|').nth(2).unwrap().trim_end().to_owned() + " |")
        .collect();
    assert_eq!(table, scraped);
    running.shutdown().await;
    s.stop().await;
}
