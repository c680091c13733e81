//! What clients get while every backend's breaker is open.

use edge_lb_tests::{Setup, metric};
use lb_testkit::{Answer, Backend, Client, Reply};

#[test]
fn with_all_breakers_open_clients_get_the_fallback_response() {
    let backends = ["a", "b"].map(|id| Backend::with(id, |_| Reply::answer(Answer::new(500).body("ouch"))));
    let pool = "algorithm = \"round-robin\"\n\
        circuit_breaker = { failure_threshold = 2, recovery_timeout = \"1h\", fallback_response = \
        { status = 200, body = \"from the cupboard\", headers = { Retry-After = \"9\" } } }";
    let lb = Setup::new(&backends).pool(pool).admin().start();
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..4 {
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "ouch");
    }
    for (method, body) in [("GET", "from the cupboard"), ("HEAD", ""), ("POST", "from the cupboard")] {
        let response = client.request(method, "/", &[], b"").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, body), "{method}");
        let said = ["retry-after", "content-length", "content-type"].map(|name| response.header(name));
        assert_eq!(said, [Some("9"), Some("17"), Some("text/plain; charset=utf-8")]);
    }
    assert_eq!(backends.iter().map(Backend::request_count).sum::<usize>(), 4);
    assert_eq!(metric(&lb, "edge_lb_http_fallbacks_total", &[]) as u64, 3);
}

/// The breaker opens by the very answer that is to be retried: then there is nothing to try, and the answer is the client's.
#[test]
fn an_answer_that_opens_the_last_breaker_is_handed_on() {
    let a = Backend::with("a", |_| Reply::answer(Answer::new(503).body("ouch")));
    let pool = "circuit_breaker = { failure_threshold = 1, recovery_timeout = \"1h\" }\n\
        retry_policy = { base_delay = \"1ms\" }";
    let lb = Setup::new([&a]).pool(pool).start();
    let mut client = Client::connect(lb.address()).unwrap();
    assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "ouch");
    assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "Service temporarily unavailable");
    assert_eq!(a.request_count(), 1);
}
