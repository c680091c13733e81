//! Splits through the real binary: exact over several workers, sticky, switched under load, shifted, and refused what cannot be.

use edge_lb_tests::quick::{QuickBackend, QuickClient, QuickLoad};
use edge_lb_tests::{SOON, admin, metric};
use lb_testkit::{Backend, Client, EdgeLb, Finished, Reply, Response, Step, eventually};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

/// Splits and routes to them, over pools of one backend each.
pub(crate) fn config(head: &str, pools: &[(&str, String)]) -> String {
    let mut text =
        format!("{head}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n");
    for (name, url) in pools {
        let _ = write!(text, "[pools.{name}]\nbackends = [{{ url = \"{url}\" }}]\n");
    }
    text
}

/// What the admin API answers to an order.
pub(crate) fn order(lb: &EdgeLb, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut client = Client::connect(lb.admin()).unwrap();
    client.set_host(&lb.admin().to_string());
    let body = body.to_string();
    let response =
        client.request(method, path, &[("Content-Type", "application/json")], body.as_bytes()).unwrap();
    (response.status(), serde_json::from_str(&response.text()).unwrap())
}

pub(crate) fn get(lb: &EdgeLb, path: &str) -> Value {
    let response = admin(lb, "GET", path);
    assert_eq!(response.status(), 200, "{}", response.text());
    serde_json::from_str(&response.text()).unwrap()
}

pub(crate) fn cli(lb: &EdgeLb, line: &[&str]) -> Finished {
    let admin = lb.admin().to_string();
    EdgeLb::command(&[line, &["--admin", &admin]].concat(), SOON)
}

fn percents(split: &Value) -> Vec<f64> {
    split["targets"].as_array().unwrap().iter().map(|t| t["percent"].as_f64().unwrap()).collect()
}

/// 100 000 requests on sixteen connections, over two workers. After every thousand all wait for each other, so that nothing is in flight when it
/// is counted: there is no slack.
#[test]
fn ninety_to_ten_is_exact_over_workers_and_connections() {
    const CONNECTIONS: usize = 16;
    const ROUNDS: u64 = 100;
    let (blue, green) = (QuickBackend::start('b'), QuickBackend::start('g'));
    let split = "workers = 2\nroutes = [{ path = \"/x\", split = \"s\" }, { split = \"s\" }]\n\
        [splits.s]\ntargets = [{ pool = \"blue\", percent = 90 }, { pool = \"green\", percent = 10 }]";
    let lb = EdgeLb::with_config(config(split, &[("blue", blue.url()), ("green", green.url())]));
    let (barrier, counts) = (Barrier::new(CONNECTIONS), [AtomicU64::new(0), AtomicU64::new(0)]);
    let tickets = AtomicU64::new(0);
    // Nobody panics while others wait at the barrier: what is wrong is said here, and all go home.
    let wrong = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = QuickClient::connect(lb.address());
                let mut ask = || match &mut client {
                    Ok(client) => client.get(),
                    Err(error) => Err(error.kind().into()),
                };
                for round in 1..=ROUNDS {
                    while tickets
                        .fetch_update(SeqCst, SeqCst, |n| (n < round * 1_000).then_some(n + 1))
                        .is_ok()
                    {
                        match ask() {
                            Ok((200, letter)) => _ = counts[usize::from(letter == 'g')].fetch_add(1, SeqCst),
                            other => _ = wrong.lock().unwrap().get_or_insert(format!("{other:?}")),
                        }
                    }
                    if barrier.wait().is_leader() {
                        let [blue, green] = [&counts[0], &counts[1]].map(|n| n.load(SeqCst));
                        if blue + green != round * 1_000 || green.abs_diff(round * 100) > 1 {
                            let said = format!("after {round}000: {blue} {green}");
                            wrong.lock().unwrap().get_or_insert(said);
                        }
                    }
                    barrier.wait();
                    if wrong.lock().unwrap().is_some() {
                        break;
                    }
                }
            });
        }
    });
    assert_eq!(wrong.into_inner().unwrap(), None);
    assert_eq!((blue.requests(), green.requests()), (90_000, 10_000));
    let target = ["target=\"green\""];
    assert_eq!(metric(&lb, "edge_lb_split_requests_total", &target), 10_000.0);
    assert_eq!(metric(&lb, "edge_lb_split_errors_total", &[]), 0.0);
    assert_eq!(metric(&lb, "edge_lb_split_percent", &target), 10.0);
}

/// What a client sends so that it is known: a cookie jar, a user's header, an address behind a trusted proxy.
struct Visitor {
    path: &'static str,
    header: Option<(&'static str, String)>,
}

#[test]
fn cohorts_never_flap_while_their_side_grows() {
    let (blue, green) = (Backend::start("blue"), Backend::start("green"));
    let targets = "targets = [{ pool = \"blue\", percent = 90 }, { pool = \"green\", percent = 10 }]";
    let splits = format!(
        "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n\
         routes = [{{ path = \"/cookie\", split = \"c\" }}, {{ path = \"/header\", split = \"h\" }}, {{ path = \"/ip\", split = \"i\" }}]\n\
         [splits.c]\n{targets}\nsticky = {{ type = \"cookie\" }}\n\
         [splits.h]\n{targets}\nsticky = {{ type = \"header\", header_name = \"X-User\" }}\n\
         [splits.i]\n{targets}\nsticky = {{ type = \"ip-hash\" }}"
    );
    let lb = EdgeLb::with_config(config(&splits, &[("blue", blue.url()), ("green", green.url())]));
    let mut connection = Client::connect(lb.address()).unwrap();
    let mut ask = |v: &Visitor| -> Response {
        let headers: Vec<_> = v.header.iter().map(|(n, value)| (*n, value.as_str())).collect();
        connection.request("GET", v.path, &headers, b"").unwrap()
    };
    let mut visitors: Vec<Visitor> = vec![];
    let mut sides: Vec<String> = vec![];
    for n in 0..200 {
        visitors.push(Visitor { path: "/header", header: Some(("X-User", format!("user-{n}"))) });
        visitors.push(Visitor { path: "/ip", header: Some(("X-Forwarded-For", format!("192.0.2.{n}"))) });
        visitors.push(Visitor { path: "/cookie", header: None });
    }
    for visitor in &mut visitors {
        let response = ask(visitor);
        sides.push(response.text());
        let cookie = response.header("set-cookie").map(|c| c.split(';').next().unwrap().to_owned());
        assert_eq!(cookie.is_some(), visitor.path == "/cookie");
        if let Some(cookie) = cookie {
            assert!(response.header("set-cookie").unwrap().ends_with("; HttpOnly; SameSite=Lax"), "no TLS");
            visitor.header = Some(("Cookie", format!("a=1; {cookie}")));
        }
    }
    for percent in [10.0_f64, 20.0, 50.0] {
        for split in ["c", "h", "i"] {
            let path = format!("/api/v1/splits/{split}/canary");
            assert_eq!(order(&lb, "POST", &path, &json!({ "percent": percent })).0, 200);
        }
        let mut on_green = 0;
        for round in 0..2 {
            on_green = 0;
            for (visitor, side) in visitors.iter().zip(&mut sides) {
                let response = ask(visitor);
                assert_eq!(response.header("set-cookie"), None, "it is known");
                let now = response.text();
                let grew = side == "blue" && now == "green" && round == 0 && percent > 10.0;
                assert!(*side == now || grew, "{} {side} to {now} at {percent} %", visitor.path);
                on_green += usize::from(now == "green");
                *side = now;
            }
        }
        // 600 clients: seven deviations wide.
        let (mean, wide) = (6.0 * percent, 7.0 * (6.0 * percent * (1.0 - percent / 100.0)).sqrt());
        assert!((on_green as f64 - mean).abs() < wide, "{on_green} at {percent} %");
    }
    let cookies = |backend: &Backend| -> Vec<String> {
        let requests = backend.requests().into_iter();
        requests.filter_map(|r| r.head.headers.get("cookie").map(str::to_owned)).collect()
    };
    assert!(
        !cookies(&blue).is_empty() && cookies(&blue).iter().all(|c| c == "a=1"),
        "backends do not see it"
    );
}

#[test]
fn a_switch_under_load_loses_nothing_and_holds_at_once() {
    let (blue, green) = (QuickBackend::start('b'), QuickBackend::start('g'));
    let split = "workers = 2\nroutes = [{ split = \"s\" }]\n\
        [splits.s]\ntargets = [{ pool = \"blue\", percent = 100 }, { pool = \"green\", percent = 0 }]";
    let lb = EdgeLb::with_config(config(split, &[("blue", blue.url()), ("green", green.url())]));
    let load = QuickLoad::start(lb.address(), 8);
    eventually(SOON, "the load is under way", || blue.requests() > 1_000);
    let (status, split) =
        order(&lb, "POST", "/api/v1/splits/s/switch", &json!({ "target": "green", "by": "ann" }));
    let switched = load.now();
    assert_eq!((status, percents(&split)), (200, vec![0.0, 100.0]));
    let event = &split["event"];
    assert_eq!(
        (&event["change"], &event["by"], &event["to"]["green"]),
        (&json!("switch"), &json!("ann"), &json!(100.0))
    );
    let had = green.requests();
    let end = switched + Duration::from_millis(200);
    eventually(SOON, "green has the load", || green.requests() > had + 1_000 && load.now() > end);
    let asked = load.stop();
    assert!(asked.iter().all(|a| matches!(a.answer, Some((200, _)))), "none is lost");
    let after: Vec<_> = asked.iter().filter(|a| a.began > switched + Duration::from_millis(100)).collect();
    assert!(!after.is_empty() && after.iter().all(|a| a.answer == Some((200, 'g'))));
    assert!(asked.iter().filter(|a| a.answer == Some((200, 'b'))).count() > 1_000);
    assert!(lb.stderr().contains("split changed"), "{}", lb.stderr());
}

#[test]
fn a_shift_moves_pauses_and_is_given_up() {
    let (blue, green) = (Backend::start("blue"), Backend::start("green"));
    let split = "workers = 1\nroutes = [{ split = \"s\" }]\n\
        [splits.s]\ntargets = [{ pool = \"blue\", percent = 90 }, { pool = \"green\", percent = 10 }]";
    let lb = EdgeLb::with_config(config(split, &[("blue", blue.url()), ("green", green.url())]));
    let shown = || get(&lb, "/api/v1/splits/s");
    let targets = json!([{ "pool": "green", "percent": 100 }]);
    let (status, begun) =
        order(&lb, "PUT", "/api/v1/splits/s", &json!({ "targets": targets, "over": "3s", "by": "ann" }));
    assert_eq!((status, &begun["shift"]["to"]), (200, &json!({ "blue": 0.0, "green": 100.0 })));
    eventually(SOON, "it moves", || percents(&shown())[1] > 20.0);
    assert_eq!(order(&lb, "POST", "/api/v1/splits/s/pause", &json!({})).0, 200);
    let paused = shown();
    let stands = percents(&paused);
    assert!(paused["shift"]["paused"] == true && stands[1] < 100.0, "{paused}");
    assert_eq!(order(&lb, "POST", "/api/v1/splits/s/pause", &json!({})).0, 409);
    assert_eq!(percents(&shown()), stands, "it stands still");
    assert!(cli(&lb, &["split", "list"]).stdout.contains("paused on its way to blue 0 %, green 100 %"));
    assert_eq!(cli(&lb, &["split", "resume", "s"]).code, Some(0));
    eventually(SOON, "it goes on", || percents(&shown())[1] > stands[1]);
    let said = cli(&lb, &["split", "abort", "s"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "s  blue 90 %, green 10 %\n"));

    // One that goes to its end, which is an event of its own, by who began it.
    let said = cli(&lb, &["split", "set", "s", "blue=40", "green=60", "--over", "1s"]);
    assert!(said.stdout.contains("shifts to blue 40 %, green 60 %"), "{}", said.stdout);
    eventually(SOON, "it ends", || {
        let events = shown()["events"].as_array().unwrap().clone();
        events.last().is_some_and(|e| e["change"] == "shift-end" && e["to"]["green"] == 60.0)
    });
    let changes: Vec<_> = shown()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["change"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(changes, ["shift", "pause", "resume", "abort", "shift", "shift-end"]);
    let table = cli(&lb, &["split", "show", "s"]).stdout;
    assert!(table.starts_with("s  blue 40 %, green 60 %\n  sticky: none\n"), "{table}");
    assert!(table.contains("  6  ") && table.contains("shift-end  → blue 40 %, green 60 %"), "{table}");
    eventually(SOON, "the log tells it", || lb.stderr().contains("shift-end"));
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let (blue, green) = (Backend::start("blue"), Backend::start("green"));
    let split = "workers = 1\nroutes = [{ split = \"s\" }]\n\
        [splits.s]\ntargets = [{ pool = \"blue\", percent = 90 }, { pool = \"green\", percent = 10 }]";
    let lb = EdgeLb::with_config(config(split, &[("blue", blue.url()), ("green", green.url())]));
    let (s, r) = ("/api/v1/splits/s", "/api/v1/rollouts/s");
    for (method, path, body, status, says) in [
        ("PUT", "/api/v1/splits/x", json!({ "targets": [] }), 404, "there is no split \"x\""),
        ("PUT", s, json!({ "targets": [] }), 422, "must be 100 together"),
        ("PUT", s, json!({ "targets": [{ "pool": "red", "percent": 100 }] }), 422, "no target \"red\""),
        ("PUT", s, json!({ "targets": [{ "pool": "blue", "percent": 33.333 }] }), 422, "two decimals"),
        (
            "PUT",
            s,
            json!({ "targets": [{ "pool": "blue", "percent": 100 }], "over": "1y" }),
            422,
            "over = \"1y\"",
        ),
        (
            "PUT",
            s,
            json!({ "targets": [{ "pool": "blue", "percent": 100 }], "over": "1ms" }),
            422,
            "over = 1ms",
        ),
        ("PUT", s, json!({ "target": "blue" }), 422, "unknown field `target`"),
        ("POST", "/api/v1/splits/s/switch", json!({ "target": "red" }), 422, "no target \"red\""),
        ("POST", "/api/v1/splits/s/canary", json!({ "percent": 101 }), 422, "from 0 to 100"),
        ("POST", "/api/v1/splits/s/pause", json!({}), 409, "split s is not shifting"),
        ("POST", "/api/v1/splits/s/resume", json!({}), 409, "split s is not shifting"),
        ("POST", "/api/v1/splits/s/abort", json!({}), 409, "split s is not shifting"),
        ("POST", r, json!({ "action": "abort" }), 409, "split s has no rollout under way"),
        ("POST", r, json!({ "action": "extend" }), 409, "split s has no rollout under way"),
        ("POST", r, json!({ "action": "stop" }), 422, "unknown variant `stop`"),
        ("POST", r, json!({ "action": "start", "requests_min": 0 }), 422, "requests_min = 0"),
        ("POST", r, json!({ "action": "start", "error_difference_max": "none" }), 422, "without a guard"),
        (
            "POST",
            r,
            json!({ "action": "start", "steps": [{ "percent": 100, "duration": "1s" }] }),
            422,
            "below 100",
        ),
        ("POST", r, json!({ "action": "abort", "patience": "1s" }), 422, "\"start\" alone"),
        ("POST", "/api/v1/rollouts/x", json!({ "action": "start" }), 404, "there is no split \"x\""),
    ] {
        let (got, problem) = order(&lb, method, path, &body);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(got == status && detail.contains(says), "{method} {path} {body}: {got} {problem}");
    }
    assert_eq!(get(&lb, s)["changes"], 0, "nothing was changed");
    assert_eq!(get(&lb, r)["state"], "none");
    for line in [&["split", "show", "x"][..], &["split", "switch", "s", "red"], &["rollout", "abort", "s"]] {
        let said = cli(&lb, line);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{line:?}");
        assert!(said.stderr.starts_with("error: "), "{}", said.stderr);
    }
}

#[test]
fn only_what_is_the_targets_fault_is_an_error() {
    let backend = Backend::with("blue", |received| match received.head.target.as_str() {
        "/500" => Reply::status(500),
        "/404" => Reply::status(404),
        "/cut" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").then(Step::Close),
        "/reset" => Reply::steps([Step::Reset]),
        _ => Reply::ok("blue"),
    });
    let split = "workers = 1\nroutes = [{ split = \"s\", max_body = \"8B\" }]\n[splits.s]\ntargets = [{ pool = \"blue\", percent = 100 }]";
    let lb = EdgeLb::with_config(config(split, &[("blue", backend.url())]));
    let ask = |target: &str, body: &[u8]| {
        let answer = Client::connect(lb.address()).unwrap().request("POST", target, &[], body);
        answer.map_or(0, |response| response.status())
    };
    let counts = || {
        let split = get(&lb, "/api/v1/splits/s");
        let target = &split["targets"][0];
        (target["requests"].as_u64().unwrap(), target["errors"].as_u64().unwrap())
    };
    for (target, body, status, counted) in [
        ("/", &b""[..], 200, (1, 0)),
        ("/404", b"", 404, (2, 0)),
        ("/500", b"", 500, (3, 1)),
        ("/reset", b"", 502, (4, 2)),
        ("/", b"more than eight bytes", 413, (4, 2)),
        ("/cut", b"", 0, (5, 3)),
    ] {
        assert_eq!(ask(target, body), status, "{target}");
        eventually(SOON, &format!("{target} is counted: {counted:?}"), || counts() == counted);
    }
    drop(backend);
    assert_eq!(ask("/", b""), 502);
    assert_eq!(counts(), (6, 4));
}
