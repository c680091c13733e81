//! Limits hold under load.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, Client, Gate, Load, Reply, Step, eventually};
use std::time::Duration;

fn slow(id: &str) -> Backend {
    let body = id.to_owned();
    Backend::with(id, move |_| Reply::ok(body.clone()).after(Step::Pause(Duration::from_millis(3))))
}

#[test]
fn a_backend_never_has_more_requests_than_its_limit() {
    let (a, b, c) = (slow("a"), slow("b"), slow("c"));
    let setup = Setup::default().top("workers = 2").pool("max_connections = 4");
    let setup = setup.backend(&a, "max_connections = 2").backend(&b, "").backend(&c, "max_connections = 100");
    let lb = setup.start();
    let report = Load::new(lb.address()).connections(24).requests_each(40).run_to_end();
    report.assert_all_ok(960);
    assert_eq!((a.in_flight_max(), b.in_flight_max()), (2, 4), "reached, and not exceeded");
    assert!(c.in_flight_max() > 4);
}

#[test]
fn when_every_backend_is_at_its_limit_the_answer_is_503() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| Reply::ok("a").after(Step::Wait(held.clone())));
    let lb = Setup::new([&a]).pool("max_connections = 3").start();
    let load = Load::new(lb.address()).connections(3).start();
    eventually(SOON, "the limit is reached", || a.in_flight() == 3);
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 503);
    gate.open();
    load.join().assert_all_ok(3);
    eventually(SOON, "there is room again", || Client::get(lb.address(), "/").unwrap().status() == 200);
    assert_eq!(a.in_flight_max(), 3);
}

#[test]
fn a_response_counts_until_its_last_byte() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| {
        let head = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        head.then(Step::Wait(held.clone())).then(Step::Send(b"again".to_vec()))
    });
    let lb = Setup::new([&a]).pool("max_connections = 1").start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 503, "the head alone frees nothing");
    gate.open();
    let mut left = 10;
    while left > 0 {
        left -= client.take(left).unwrap();
    }
    eventually(SOON, "there is room again", || Client::get(lb.address(), "/").unwrap().status() == 200);
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let a = Backend::with("a", |request| match request.head.target.as_str() {
        "/hang" => Reply::steps([Step::Hang]),
        _ => Reply::ok("a"),
    });
    let lb = Setup::new([&a]).pool("max_connections = 1").start();
    for _ in 0..5 {
        let mut client = Client::connect(lb.address()).unwrap();
        client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        eventually(SOON, "it hangs", || a.in_flight() == 1);
        drop(client);
        eventually(SOON, "there is room again", || Client::get(lb.address(), "/").unwrap().status() == 200);
    }
}

#[test]
fn a_listener_takes_no_more_connections_than_its_limit() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).top("workers = 2").listener("max_connections = 5").start();
    let mut inside: Vec<_> = (0..5).map(|_| Client::connect(lb.address()).unwrap()).collect();
    for client in &mut inside {
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().status(), 200);
    }
    // Nothing but the five is served: further ones wait, or are told, or closed.
    for _ in 0..3 {
        let mut outside = Client::connect(lb.address()).unwrap();
        outside.set_limit(Duration::from_millis(150));
        let answer = outside.request("GET", "/", &[], b"");
        assert!(answer.as_ref().map_or(true, |r| r.status() == 503), "{answer:?}");
    }
    assert_eq!(a.request_count(), 5);
    for client in &mut inside {
        assert_eq!(
            client.request("GET", "/", &[], b"").unwrap().status(),
            200,
            "those inside are not disturbed"
        );
    }
    drop(inside);
    eventually(SOON, "there is room again", || {
        let mut client = Client::connect(lb.address()).unwrap();
        client.set_limit(Duration::from_millis(150));
        client.request("GET", "/", &[], b"").is_ok_and(|r| r.status() == 200)
    });
}

#[test]
fn idle_backend_connections_are_kept_and_used_again() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    Load::new(lb.address()).fresh_connections().requests_each(50).run_to_end().assert_all_ok(50);
    assert_eq!(a.connection_count(), 1);
    Load::new(lb.address()).connections(10).requests_each(20).run_to_end().assert_all_ok(200);
    assert!(a.connection_count() <= 11, "{}", a.connection_count());
}
