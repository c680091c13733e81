//! Discovery from a real DNS server on loopback, whose zone the tests change.
//!
//! On the wall clock, since the sockets are real: the shortest time to live is 1 s, so a change is seen within about a second. Nothing
//! waits for longer than until it is seen.

mod server;

use hickory_resolver::proto::op::ResponseCode;
use lb_balancer::discover::{DnsDiscovery, DnsRecords};
use lb_balancer::{LoadBalancer, Running};
use lb_types::Backend;
use server::Server;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "users.internal.";

async fn start(server: &Server, records: DnsRecords) -> (LoadBalancer, Running) {
    // Without the final dot: it is fully qualified all the same.
    let source = DnsDiscovery::new(NAME.trim_end_matches('.'), records).unwrap().nameserver(server.address());
    let lb = LoadBalancer::builder().name("users").discover(source).build().unwrap();
    let running = lb.start().unwrap();
    (lb, running)
}

fn ids(lb: &LoadBalancer) -> Vec<String> {
    let mut ids: Vec<_> = lb.all_backends().iter().map(|b| b.id.to_string()).collect();
    ids.sort();
    ids
}

/// Looks every few milliseconds until `done`; 20 s at most.
async fn until(what: &str, lb: &LoadBalancer, done: impl Fn() -> bool) {
    let looks = async {
        while !done() {
            // tidy-allow: sleep: the poll of a bounded wait
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), looks).await;
    assert!(seen.is_ok(), "{what}: {:?} {:?}", ids(lb), lb.discovery_status());
}

async fn until_ids(lb: &LoadBalancer, wanted: &[&str]) {
    until(&format!("{wanted:?}"), lb, || ids(lb) == wanted).await;
}

fn failures(lb: &LoadBalancer) -> u64 {
    lb.discovery_status()[0].failures
}

fn successes(lb: &LoadBalancer) -> u64 {
    lb.discovery_status()[0].successes
}

#[tokio::test]
async fn addresses_of_both_families_follow_the_zone_and_outlive_failures() {
    let server = Server::start().await;
    server.set(NAME, "A", &["10.0.0.1", "10.0.0.2"], 1);
    server.set(NAME, "AAAA", &["fd00::1"], 1);
    let (lb, running) = start(&server, DnsRecords::Address { port: 8080 }).await;
    until_ids(&lb, &["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::1]:8080"]).await;
    assert_eq!(lb.all_backends()[2].url.to_string(), "http://[fd00::1]:8080");

    server.set(NAME, "A", &["10.0.0.2", "10.0.0.3"], 1);
    until_ids(&lb, &["10.0.0.2:8080", "10.0.0.3:8080", "[fd00::1]:8080"]).await;

    // One family fails: its addresses stay, the other's change.
    server.fail(NAME, "AAAA", ResponseCode::ServFail);
    server.set(NAME, "A", &["10.0.0.3"], 1);
    until_ids(&lb, &["10.0.0.3:8080", "[fd00::1]:8080"]).await;

    // Both fail, each time in another way: everything stays.
    for code in [ResponseCode::ServFail, ResponseCode::NXDomain, ResponseCode::NoError] {
        let (good, bad) = (successes(&lb), failures(&lb));
        server.fail(NAME, "A", code);
        server.fail(NAME, "AAAA", code);
        until(&code.to_string(), &lb, || failures(&lb) > bad).await;
        assert_eq!(ids(&lb), ["10.0.0.3:8080", "[fd00::1]:8080"], "{code}");
        let error = lb.discovery_status()[0].last_error.clone().unwrap();
        assert!(error.starts_with("looking up users.internal. (A, AAAA): "), "{error}");
        server.set(NAME, "A", &["10.0.0.3"], 1);
        server.set(NAME, "AAAA", &["fd00::1"], 1);
        until("recovery", &lb, || successes(&lb) > good + 1).await;
    }

    // Back again: no more IPv6.
    server.set(NAME, "A", &["10.0.0.9"], 1);
    server.set(NAME, "AAAA", &[], 1);
    until_ids(&lb, &["10.0.0.9:8080"]).await;
    assert_eq!(lb.discovery_status()[0].last_error, None);
    running.shutdown().await;
}

#[tokio::test]
async fn srv_records_bring_ports_weights_and_levels() {
    let server = Server::start().await;
    server.set(NAME, "SRV", &["10 3 81 a.internal.", "10 0 82 b.internal.", "20 7 83 c.internal."], 1);
    let (lb, running) = start(&server, DnsRecords::Srv).await;
    until_ids(&lb, &["a.internal:81", "b.internal:82", "c.internal:83"]).await;
    let of = |b: &Arc<Backend>| (b.url.to_string(), b.weight, b.priority);
    let wanted =
        [("http://a.internal:81", 360, 0), ("http://b.internal:82", 1, 0), ("http://c.internal:83", 1, 1)];
    let mut seen: Vec<_> = lb.all_backends().iter().map(of).collect();
    seen.sort();
    assert_eq!(seen, wanted.map(|(u, w, p)| (u.to_owned(), w, p)));

    // Another weight is a change of the same backend.
    let a = lb.pool().snapshot().get(&"a.internal:81".into()).unwrap().state().uid();
    server.set(NAME, "SRV", &["10 9 81 a.internal.", "10 1 84 d.internal."], 1);
    until_ids(&lb, &["a.internal:81", "d.internal:84"]).await;
    let snapshot = lb.pool().snapshot_full();
    let state = snapshot.get(&"a.internal:81".into()).unwrap().state();
    assert_eq!((state.spec().weight, state.uid()), (9, a));
    running.shutdown().await;
}

#[tokio::test]
async fn a_name_that_is_not_there_yet_is_found_once_it_is() {
    let server = Server::start().await;
    server.fail(NAME, "A", ResponseCode::NXDomain);
    let (lb, running) = start(&server, DnsRecords::Address { port: 80 }).await;
    until("the first failure", &lb, || failures(&lb) == 1).await;
    assert!(ids(&lb).is_empty());
    server.set(NAME, "A", &["127.0.0.9"], 300);
    until_ids(&lb, &["127.0.0.9:80"]).await;
    running.shutdown().await;
}

#[tokio::test]
async fn an_interval_overrides_the_time_to_live_and_a_long_one_is_kept() {
    let server = Server::start().await;
    server.set(NAME, "A", &["10.0.0.1"], 3600);
    let ask = |interval: Option<Duration>| {
        let source =
            DnsDiscovery::new(NAME, DnsRecords::Address { port: 80 }).unwrap().nameserver(server.address());
        let source = match interval {
            Some(i) => source.interval(i),
            None => source,
        };
        let lb = LoadBalancer::builder().discover(source).build().unwrap();
        (lb.clone(), lb.start().unwrap())
    };
    let (patient, patient_runs) = ask(None);
    until_ids(&patient, &["10.0.0.1:80"]).await;
    let (eager, eager_runs) = ask(Some(Duration::ZERO));
    // The bound of 1 s holds: this takes two of them.
    let start = tokio::time::Instant::now();
    until("three answers", &eager, || eager.discovery_status()[0].successes >= 3).await;
    assert!(start.elapsed() >= Duration::from_millis(1_900), "{:?}", start.elapsed());
    assert_eq!(patient.discovery_status()[0].successes, 1, "its answer holds for an hour, so for 5 minutes");
    patient_runs.shutdown().await;
    eager_runs.shutdown().await;
}
