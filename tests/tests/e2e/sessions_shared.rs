//! Two proxies and one Redis: what one binds the other honours, a restart keeps it, and an outage costs nobody a request.

use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Backend, Client, EdgeLb, RedisServer, eventually};

/// Two of these agree. The algorithm is strict rotation, so that agreement is no coincidence.
fn setup(backends: &[Backend], redis: &RedisServer, affinity: &str) -> Setup {
    let store = format!("[stores.shared]\ntype = \"redis\"\nurl = \"{}\"\ntimeout = \"1s\"\n", redis.url());
    Setup::new(backends)
        .top(&store)
        .pool(&format!(
            "algorithm = \"round-robin\"\nsession_affinity = {{ {affinity}, storage = \"shared\" }}"
        ))
        .admin()
}

fn ask(lb: &EdgeLb, headers: &[(&str, &str)]) -> (u16, String, Option<String>) {
    let response = Client::connect(lb.address()).unwrap().request("GET", "/", headers, b"").unwrap();
    let cookie = response.header("set-cookie").and_then(|c| c.split(';').next()).map(str::to_owned);
    (response.status(), response.text(), cookie)
}

#[test]
fn what_one_node_binds_the_other_honours_and_a_restart_keeps() {
    let redis = RedisServer::start(&[]);
    let backends = ["a", "b", "c"].map(Backend::start);
    let by_cookie = "type = \"cookie\", secret = [\"a secret of sixteen bytes or more\"]";
    let by_header = "type = \"header\", header_name = \"X-User\"";
    for affinity in [by_cookie, by_header] {
        let setup = setup(&backends, &redis, affinity);
        let (one, other) = (setup.start(), setup.start());
        let users: Vec<String> = (0..30).map(|n| format!("user {n}")).collect();
        let mut jars = vec![];
        for user in &users {
            let (status, home, cookie) = ask(&one, &[("X-User", user)]);
            assert_eq!(status, 200);
            jars.push((home, cookie.unwrap_or_default()));
        }
        let honours = |lb: &EdgeLb| {
            for (user, (home, cookie)) in users.iter().zip(&jars) {
                assert_eq!(ask(lb, &[("X-User", user), ("Cookie", cookie)]).1, *home, "{affinity}");
            }
        };
        honours(&other);
        drop(one);
        honours(&setup.start());
        assert_eq!(metric(&other, "edge_lb_store_up", &[]), 1.0);
    }
}

#[test]
fn a_store_that_is_killed_costs_no_request_and_affinity_comes_back_with_it() {
    let mut redis = RedisServer::start(&[]);
    let backends = ["a", "b", "c"].map(Backend::start);
    let setup = setup(&backends, &redis, "type = \"header\", header_name = \"X-User\"");
    let (one, other) = (setup.start(), setup.start());
    let user = |n: usize| format!("user {n}");
    let home = |lb: &EdgeLb, n: usize| {
        let (status, home, _) = ask(lb, &[("X-User", &user(n))]);
        assert_eq!(status, 200, "no request fails");
        home
    };
    let first: Vec<_> = (0..20).map(|n| home(&one, n)).collect();
    redis.kill();
    // Known ones stay, new ones are bound here.
    assert!((0..20).all(|n| home(&one, n) == first[n]));
    let meanwhile: Vec<_> = (20..40).map(|n| home(&one, n)).collect();
    eventually(SOON, "the outage is noticed", || metric(&one, "edge_lb_store_up", &[]) == 0.0);
    assert_eq!(metric(&one, "edge_lb_store_outages_total", &[]), 1.0);
    redis.restart();
    // It comes back empty: what is in use is written again.
    eventually(SOON, "it is back for both", || {
        (0..40).for_each(|n| _ = home(&one, n));
        [&one, &other].iter().all(|lb| metric(lb, "edge_lb_store_up", &[]) == 1.0)
            && metric(&one, "edge_lb_session_store_queued", &[]) == 0.0
    });
    let all: Vec<_> = first.iter().chain(&meanwhile).collect();
    eventually(SOON, "the other node agrees", || (20..40).all(|n| home(&other, n) == *all[n]));
    let log = one.stderr();
    assert_eq!(log.matches("store-away").count(), 1, "told once: {log}");
    assert_eq!(log.matches("store-back").count(), 1, "told once: {log}");
}

#[test]
fn requests_go_on_under_load_while_the_store_comes_and_goes() {
    let mut redis = RedisServer::start(&[]);
    let backends = ["a", "b"].map(Backend::start);
    let lb = setup(&backends, &redis, "type = \"cookie\"").start();
    let load = lb_testkit::Load::new(lb.address()).connections(4).requests_each(400).start();
    for _ in 0..2 {
        let before = load.completed();
        eventually(SOON, "some requests are through", || load.completed() >= (before + 200).min(1_600));
        redis.kill();
        let before = load.completed();
        eventually(SOON, "requests go on without it", || load.completed() >= (before + 200).min(1_600));
        redis.restart();
    }
    load.join().assert_all_ok(1_600);
}
