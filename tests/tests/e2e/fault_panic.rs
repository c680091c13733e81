//! Panic: when no backend is healthy, the unhealthy are tried all the same; nobody else is.

use crate::standing::{exclusion, pool};
use edge_lb_tests::{SOON, Setup, admin, metric, unhealthy};
use lb_testkit::{Answer, Backend, Client, Load, Reply, Switch, eventually};

/// Its check fails while the switch is on; `answer` is for all else.
fn checked(id: &str, sick: &Switch, answer: impl Fn() -> Reply + Send + Sync + 'static) -> Backend {
    let sick = sick.clone();
    Backend::with(id, move |request| match request.head.target.as_str() {
        "/health" => Reply::status(if sick.is_on() { 503 } else { 200 }),
        _ => answer(),
    })
}

fn requests(backend: &Backend) -> usize {
    backend.requests().iter().filter(|r| r.head.target != "/health").count()
}

#[test]
fn panic_ignores_active_health_and_nothing_else() {
    let sick = Switch::new();
    let one = checked("one", &sick, || Reply::ok("one"));
    let two = checked("two", &sick, || Reply::ok("two"));
    let open = checked("open", &sick, || Reply::status(500));
    let drains = checked("drains", &sick, || Reply::answer(Answer::ok("drains").header("X-Agent", "drain")));
    let maintained =
        checked("maintained", &sick, || Reply::answer(Answer::ok("x").header("X-Agent", "maint")));
    let disabled = checked("disabled", &sick, || Reply::ok("disabled"));
    let text = "algorithm = \"round-robin\"\nagent_header = \"X-Agent\"\n\
                health_check = { interval = \"50ms\", unhealthy_threshold = 1 }\n\
                circuit_breaker = { failure_threshold = 2, recovery_timeout = \"1h\" }";
    let setup = Setup::new([&one, &two, &open, &drains, &maintained]).backend(&disabled, "disabled = true");
    let lb = setup.pool(text).admin().start();
    let mut client = Client::connect(lb.address()).unwrap();
    let mut ask = || client.request("GET", "/", &[], b"").unwrap();
    let out = [
        ("open", "breaker-open"),
        ("drains", "draining"),
        ("maintained", "maintenance"),
        ("disabled", "disabled"),
    ];
    eventually(SOON, "all are out that have a reason", || {
        ask();
        out.iter().all(|(id, why)| exclusion(&lb, id).as_deref() == Some(*why))
    });

    sick.on();
    eventually(SOON, "all that are checked are unhealthy", || unhealthy(&lb) >= 5);
    assert_eq!(pool(&lb)["panic"].as_bool(), Some(true));
    assert_eq!(metric(&lb, "edge_lb_pool_panic", &[]), 1.0);
    assert_eq!(admin(&lb, "GET", "/readyz").status(), 503);
    let others = [&open, &drains, &maintained, &disabled];
    let before = others.map(requests);
    let report = Load::new(lb.address()).connections(2).requests_each(30).run_to_end();
    report.assert_all_ok(60);
    assert_eq!((report.from("one"), report.from("two")), (30, 30));
    assert_eq!(
        others.map(requests),
        before,
        "panic sent requests to backends that are out for other reasons"
    );

    sick.off();
    eventually(SOON, "the panic is over", || pool(&lb)["panic"].as_bool() == Some(false));
    assert_eq!(admin(&lb, "GET", "/readyz").status(), 200);
}
