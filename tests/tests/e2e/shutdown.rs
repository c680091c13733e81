//! SIGTERM: what is open may finish, within a bound; nothing new comes in.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, Client, Gate, Load, ReadError, Reply, Step, eventually, holds_within};
use std::time::Duration;

fn held(id: &str, gate: &Gate) -> Backend {
    let (gate, body) = (gate.clone(), id.to_owned());
    Backend::with(id, move |_| Reply::ok(body.clone()).after(Step::Wait(gate.clone())))
}

#[test]
fn open_requests_finish_and_nobody_else_gets_in() {
    let gate = Gate::new();
    let a = held("a", &gate);
    let mut lb = Setup::new([&a]).top("workers = 2").start();
    let load = Load::new(lb.address()).connections(10).start();
    let mut idle = Client::connect(lb.address()).unwrap();
    eventually(SOON, "ten requests are open", || a.in_flight() == 10);
    lb.terminate();
    assert!(idle.is_closed_within(SOON), "an idle connection is closed at once");
    eventually(SOON, "new connections are refused", || Client::connect(lb.address()).is_err());
    assert!(lb.is_running(), "it waits for the open requests");
    gate.open();
    load.join().assert_all_ok(10);
    let finished = lb.wait(SOON);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished.assert_no_panic();
}

#[test]
fn open_requests_are_told_that_the_connection_closes() {
    let gate = Gate::new();
    let a = held("a", &gate);
    let mut lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, "the request is open", || a.in_flight() == 1);
    lb.terminate();
    eventually(SOON, "it has begun to end", || Client::connect(lb.address()).is_err());
    gate.open();
    let response = client.read("GET").unwrap();
    assert!(response.text() == "a" && response.head.closes(), "{response:?}");
    assert!(client.is_closed_within(SOON));
    assert_eq!(lb.wait(SOON).code, Some(0));
}

#[test]
fn a_response_under_way_is_finished() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| {
        let first = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        first.then(Step::Wait(held.clone())).then(Step::Send(b"again".to_vec()))
    });
    let mut lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    lb.terminate();
    eventually(SOON, "it has begun to end", || Client::connect(lb.address()).is_err());
    gate.open();
    assert_eq!(client.read_to_end().unwrap(), b"firstagain");
    assert_eq!(lb.wait(SOON).code, Some(0));
}

#[test]
fn what_outlives_the_grace_is_cut() {
    let a = held("a", &Gate::new());
    let mut lb = Setup::new([&a]).top("shutdown_grace = \"300ms\"").start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, "the request is open", || a.in_flight() == 1);
    lb.terminate();
    let cut = client.read("GET");
    assert!(matches!(cut, Err(ReadError::Closed | ReadError::Reset(_))), "{cut:?}");
    let finished = lb.wait(SOON);
    assert_eq!(finished.code, Some(0), "it stopped as asked: {}", finished.stderr);
    assert!(finished.stderr.contains("cut"), "what was cut is told: {}", finished.stderr);
    finished.assert_no_panic();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let a = held("a", &Gate::new());
    let mut lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, "the request is open", || a.in_flight() == 1);
    lb.terminate();
    eventually(SOON, "it has begun to end", || Client::connect(lb.address()).is_err());
    lb.terminate();
    assert_eq!(lb.wait(SOON).code, Some(1));
}

#[test]
fn an_idle_proxy_ends_at_once() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).admin().pool("health_check = { interval = \"1s\" }").start();
    // Kept-alive connections on both sides do not hold it.
    let mut client = Client::connect(lb.address()).unwrap();
    assert_eq!(client.request("GET", "/", &[], b"").unwrap().status(), 200);
    let finished = lb.stop();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.took < Duration::from_secs(3), "{:?}", finished.took);
    assert!(client.is_closed_within(SOON));
    assert!(holds_within(SOON, || a.open_connections() == 0));
}

#[test]
fn under_load_every_request_that_got_in_is_answered() {
    let a = Backend::with("a", |_| Reply::ok("a").after(Step::Pause(Duration::from_millis(5))));
    let mut lb = Setup::new([&a]).top("workers = 2").start();
    let clients: Vec<_> = (0..8).map(|_| Client::connect(lb.address()).unwrap()).collect();
    let address = lb.address().clone();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                loop {
                    let answer = client.request("GET", "/", &[], b"");
                    match answer {
                        Ok(response) if response.status() != 200 => return Err(format!("{response:?}")),
                        Ok(response) if response.head.closes() => return Ok(()),
                        Ok(_) => {}
                        // Closed while idle: the request came too late, and was not begun.
                        Err(ReadError::Closed | ReadError::Reset(_) | ReadError::Io(_)) => return Ok(()),
                        Err(error) => return Err(error.to_string()),
                    }
                }
            })
        })
        .collect();
    eventually(SOON, "requests are under way", || a.request_count() > 50);
    lb.terminate();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    let finished = lb.wait(SOON);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(Client::connect(&address).is_err());
}
