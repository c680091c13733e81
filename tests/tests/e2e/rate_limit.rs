//! Rate limits: a client that makes too many requests is told so, and when to come again.

use edge_lb_tests::{Setup, metric};
use lb_testkit::{Backend, Client, EdgeLb, RedisServer, Response};

fn ask(lb: &EdgeLb, headers: &[(&str, &str)]) -> Response {
    Client::connect(lb.address()).unwrap().request("GET", "/", headers, b"").unwrap()
}

fn statuses(lb: &EdgeLb, headers: &[(&str, &str)], n: usize) -> Vec<u16> {
    let mut client = Client::connect(lb.address()).unwrap();
    (0..n).map(|_| client.request("GET", "/", headers, b"").unwrap().status()).collect()
}

#[test]
fn beyond_the_limit_the_answer_is_429_and_says_when_to_come_again() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).pool("rate_limit = { limit = 3, window = \"1h\" }").admin().start();
    let mut client = Client::connect(lb.address()).unwrap();
    let mut ask = || client.request("GET", "/", &[], b"").unwrap();
    for left in [2, 1, 0] {
        let response = ask();
        assert_eq!(response.status(), 200);
        assert_eq!(response.header("ratelimit-policy"), Some("\"main\";q=3;w=3600"));
        let told = response.header("ratelimit").unwrap();
        assert!(told.starts_with(&format!("\"main\";r={left};t=")), "{told}");
    }
    let refused = ask();
    assert_eq!((refused.status(), refused.text().as_str()), (429, "Rate limit exceeded\n"));
    let after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1_190..=1_200).contains(&after), "a third of an hour: {after}");
    assert!(refused.header("ratelimit").unwrap().starts_with("\"main\";r=0;t="));
    assert_eq!(ask().status(), 429, "the connection is kept");
    assert_eq!(a.request_count(), 3, "what is refused does not reach the backend");
    assert_eq!(metric(&lb, "edge_lb_rate_limit_total", &["outcome=\"limited\""]), 2.0);
    let json = self::ask(&lb, &[("Accept", "application/json")]);
    assert_eq!(json.text(), "{\"status\":429,\"error\":\"Rate limit exceeded\"}\n");
}

#[test]
fn each_key_has_its_own_and_strangers_choose_no_address() {
    let a = Backend::start("a");
    let limit = "limit = 1, window = \"1h\", headers = false, retry_after = \"7s\"";
    let by_header =
        Setup::new([&a]).pool(&format!("rate_limit = {{ {limit}, key = \"header:X-Key\" }}")).start();
    for key in ["one", "two"] {
        assert_eq!(statuses(&by_header, &[("X-Key", key)], 2), [200, 429]);
    }
    assert_eq!(statuses(&by_header, &[], 2), [200, 429], "those without it share one");
    let refused = ask(&by_header, &[]);
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), (Some("7"), None));

    let forwarded = |n: u32| format!("203.0.113.{n}");
    let stranger = Setup::new([&a]).pool(&format!("rate_limit = {{ {limit} }}")).start();
    assert_eq!(ask(&stranger, &[("X-Forwarded-For", &forwarded(1))]).status(), 200);
    assert_eq!(ask(&stranger, &[("X-Forwarded-For", &forwarded(2))]).status(), 429);
    let trusted = Setup::new([&a])
        .top("trusted_proxies = [\"127.0.0.0/8\"]")
        .pool(&format!("rate_limit = {{ {limit}, ipv4_prefix = 24 }}"))
        .start();
    assert_eq!(ask(&trusted, &[("X-Forwarded-For", &forwarded(1))]).status(), 200);
    assert_eq!(ask(&trusted, &[("X-Forwarded-For", &forwarded(2))]).status(), 429, "the same network");
    assert_eq!(ask(&trusted, &[("X-Forwarded-For", "198.51.100.1")]).status(), 200);

    let service =
        Setup::new([&a]).pool(&format!("rate_limit = {{ {limit}, key = \"service\", burst = 1 }}")).start();
    assert_eq!(statuses(&service, &[("X-Key", "any")], 3), [200, 200, 429]);
}

#[test]
fn a_dry_run_counts_and_refuses_nobody() {
    let a = Backend::start("a");
    let pool = "rate_limit = { limit = 1, window = \"1h\", dry_run = true }";
    let lb = Setup::new([&a]).pool(pool).admin().start();
    assert_eq!(statuses(&lb, &[], 5), [200; 5]);
    assert_eq!(metric(&lb, "edge_lb_rate_limit_total", &["outcome=\"limited\""]), 4.0);
}

#[test]
fn two_nodes_with_one_store_admit_the_limit_together_and_each_alone_when_it_is_away() {
    let mut redis = RedisServer::start(&[]);
    let a = Backend::start("a");
    let node = |on_failure: &str| {
        let store = format!("[stores.shared]\ntype = \"redis\"\nurl = \"{}\"\ntimeout = \"2s\"", redis.url());
        let limit = "limit = 20, window = \"1h\", key = \"header:X-Key\", storage = \"shared\"";
        let pool = format!("rate_limit = {{ {limit}, on_store_failure = \"{on_failure}\" }}");
        Setup::new([&a]).top(&store).pool(&pool).admin().start()
    };
    let nodes = [node("local"), node("local"), node("open"), node("closed")];
    let mut admitted = 0;
    for _ in 0..20 {
        for lb in &nodes[..2] {
            admitted += usize::from(ask(lb, &[("X-Key", "one")]).status() == 200);
        }
    }
    assert_eq!(admitted, 20, "together");
    redis.kill();
    assert_eq!(ask(&nodes[0], &[("X-Key", "one")]).status(), 429, "what was refused stays so until its time");
    // By itself each has the whole limit; open lets all in, closed nobody.
    let two = [("X-Key", "two")];
    assert_eq!(statuses(&nodes[0], &two, 21).iter().filter(|&&s| s == 200).count(), 20);
    assert_eq!(statuses(&nodes[2], &two, 30), [200; 30]);
    assert_eq!(statuses(&nodes[3], &two, 3), [429; 3]);
    assert!(metric(&nodes[3], "edge_lb_rate_limit_store_failures_total", &[]) >= 3.0);
}
