//! Sessions through the real proxy: by cookie, header and address; while backends fail, drain and are cleared by hand.

use edge_lb_tests::{SOON, Setup, admin, metric};
use lb_testkit::{Backend, Client, EdgeLb, Response, eventually};

/// Asks with these headers, on a connection of its own.
fn ask(lb: &EdgeLb, headers: &[(&str, &str)]) -> Response {
    Client::connect(lb.address()).unwrap().request("GET", "/", headers, b"").unwrap()
}

/// The cookie that a response sets: `name=value`.
fn cookie(response: &Response) -> Option<String> {
    response.header("set-cookie").and_then(|c| c.split(';').next()).map(str::to_owned)
}

fn three() -> [Backend; 3] {
    ["a", "b", "c"].map(Backend::start)
}

#[test]
fn a_cookie_keeps_its_client_on_one_backend_which_never_sees_it() {
    let backends = three();
    let lb = Setup::new(&backends)
        .pool("session_affinity = { type = \"cookie\", cookie_name = \"lb_session\", ttl = \"30m\" }")
        .start();
    let first = ask(&lb, &[("Cookie", "theme=dark")]);
    let set = first.header("set-cookie").unwrap().to_owned();
    assert!(
        set.starts_with("lb_session=") && set.ends_with("; Path=/; Max-Age=3600; SameSite=Strict; HttpOnly"),
        "{set}"
    );
    let ours = cookie(&first).unwrap();
    let home = first.text();
    for _ in 0..20 {
        let response = ask(&lb, &[("Cookie", &format!("theme=dark; {ours}; lang=\"de\""))]);
        assert_eq!((response.text(), response.header("set-cookie")), (home.clone(), None));
    }
    let served = backends.iter().find(|b| b.id() == home).unwrap();
    let seen: Vec<_> =
        served.requests().iter().map(|r| r.head.headers.get("cookie").map(str::to_owned)).collect();
    assert_eq!(seen[0].as_deref(), Some("theme=dark"));
    assert!(seen[1..].iter().all(|c| c.as_deref() == Some("theme=dark; lang=\"de\"")), "{seen:?}");
    // A client cannot say that it came by TLS, only a trusted proxy can.
    assert!(!ask(&lb, &[("X-Forwarded-Proto", "https")]).header("set-cookie").unwrap().contains("Secure"));
    let behind = Setup::new(&backends)
        .top("trusted_proxies = [\"127.0.0.0/8\"]")
        .pool("session_affinity = { type = \"cookie\" }")
        .start();
    assert!(
        ask(&behind, &[("X-Forwarded-Proto", "https")]).header("set-cookie").unwrap().contains("; Secure")
    );
    // Each new client is picked for by the algorithm.
    let mut others: Vec<_> = (0..9).map(|_| ask(&lb, &[]).text()).collect();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 3);
    // What is forged, cut or foreign is as nothing, and replaced.
    for bad in [
        format!("{}x", &ours[..ours.len() - 4]),
        "lb_session=AAAA".into(),
        format!("lb_session={}", "A".repeat(4_000)),
    ] {
        let response = ask(&lb, &[("Cookie", &bad)]);
        assert_eq!(response.status(), 200);
        assert!(cookie(&response).is_some_and(|c| c != bad), "{bad}");
    }
}

#[test]
fn a_header_and_an_address_behind_a_trusted_proxy_are_sessions_too() {
    let backends = three();
    let by_header = Setup::new(&backends)
        .pool("session_affinity = { type = \"header\", header_name = \"X-User\" }")
        .start();
    let by_ip = Setup::new(&backends)
        .top("trusted_proxies = [\"127.0.0.0/8\"]")
        .pool("session_affinity = {}")
        .start();
    for (lb, name) in [(&by_header, "X-User"), (&by_ip, "X-Forwarded-For")] {
        let of = |n: u8| ask(lb, &[(name, &format!("192.0.2.{n}"))]).text();
        let first: Vec<_> = (0..24).map(of).collect();
        assert!((0..24).all(|n| of(n) == first[usize::from(n)]), "{name}");
        let mut all = first;
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3, "{name}");
    }
    // Whom nobody trusts is his own address, whatever he says.
    let untrusting = Setup::new(&backends).pool("session_affinity = {}").start();
    let of = |n: u8| ask(&untrusting, &[("X-Forwarded-For", &format!("192.0.2.{n}"))]).text();
    let first = of(0);
    assert!((1..24).all(|n| of(n) == first));
}

#[test]
fn a_session_whose_backend_dies_moves_once_and_no_request_fails() {
    let backends = three();
    let lb = Setup::new(&backends)
        .pool("session_affinity = { type = \"cookie\" }\nhealth_check = { interval = \"100ms\", timeout = \"1s\", unhealthy_threshold = 1, healthy_threshold = 1, path = \"/\" }")
        .admin()
        .start();
    let first = ask(&lb, &[]);
    let (mut jar, home) = (cookie(&first).unwrap(), first.text());
    let dead = backends.iter().find(|b| b.id() == home).unwrap();
    dead.kill();
    let mut where_to = home.clone();
    eventually(SOON, "the session has moved", || {
        let response = ask(&lb, &[("Cookie", &jar)]);
        assert_eq!(response.status(), 200);
        assert_ne!(response.text(), home);
        where_to = response.text();
        cookie(&response).map(|new| jar = new).is_some()
    });
    dead.revive();
    eventually(SOON, "it is healthy again", || edge_lb_tests::unhealthy(&lb) == 0);
    for _ in 0..10 {
        assert_eq!(ask(&lb, &[("Cookie", &jar)]).text(), where_to, "it stays where it went");
    }
    assert_eq!(metric(&lb, "edge_lb_sessions_moved_total", &[]), 1.0);
}

#[test]
fn a_strict_session_is_answered_503() {
    let backends = three();
    let lb = Setup::new(&backends)
        .pool("session_affinity = { type = \"header\", header_name = \"X-User\", strict = true }\nhealth_check = { interval = \"100ms\", timeout = \"1s\", unhealthy_threshold = 1, healthy_threshold = 1, path = \"/\" }")
        .admin()
        .start();
    let home = ask(&lb, &[("X-User", "seven")]).text();
    backends.iter().find(|b| b.id() == home).unwrap().kill();
    eventually(SOON, "it is known to be dead", || edge_lb_tests::unhealthy(&lb) == 1);
    assert_eq!(ask(&lb, &[("X-User", "seven")]).status(), 503);
    assert_eq!(ask(&lb, &[]).status(), 200, "others go on");
}

#[test]
fn a_drain_keeps_sessions_until_its_grace_is_over() {
    let backends = three();
    let lb = Setup::new(&backends)
        .pool("session_affinity = { type = \"header\", header_name = \"X-User\" }")
        .admin()
        .start();
    let users: Vec<String> = (0..30).map(|n| format!("user {n}")).collect();
    let home = |user: &String| ask(&lb, &[("X-User", user)]).text();
    let first: Vec<_> = users.iter().map(home).collect();
    assert!(first.iter().any(|b| b == "a"));
    let report = admin(&lb, "POST", "/api/v1/pools/main/backends/a/drain?grace=1500ms");
    // While it drained, nobody asked; after it, nobody is left on it.
    let report: serde_json::Value = serde_json::from_str(&report.text()).unwrap();
    let on_a = first.iter().filter(|b| *b == "a").count();
    assert_eq!(
        (report["remaining"].as_u64(), report["sessions"].as_u64()),
        (Some(0), Some(on_a as u64)),
        "{report}"
    );
    for (user, before) in users.iter().zip(&first) {
        let now = home(user);
        assert!(if before == "a" { now != "a" } else { now == *before }, "{user}: {before} → {now}");
    }
}

#[test]
fn sessions_are_listed_and_cleared_by_hand() {
    let backends = three();
    let lb = Setup::new(&backends).pool("session_affinity = { type = \"cookie\" }").admin().start();
    let command = |line: &[&str], code: i32| {
        let address = lb.admin().to_string();
        let done = EdgeLb::command(&[&["sessions"], line, &["--admin", &address]].concat(), SOON);
        assert_eq!(done.code, Some(code), "{line:?}: {}{}", done.stdout, done.stderr);
        done.stdout + &done.stderr
    };
    let jar = cookie(&ask(&lb, &[])).unwrap();
    let text = command(&["list", "main"], 0);
    assert!(text.starts_with("main  1 sessions, 1 begun, 0 moved"), "{text}");
    let id = text.lines().last().unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(id.len(), 32, "{text}");
    assert_eq!(command(&["clear", "main", &id], 0), format!("{id}: cleared\n"));
    let again = ask(&lb, &[("Cookie", &jar)]);
    assert!(cookie(&again).is_some_and(|new| new != jar), "a cleared cookie does not route");
    assert!(command(&["clear", "main", "7"], 1).contains("32 hexadecimal digits"));
    assert!(command(&["list", "other"], 1).contains("there is no pool"));
    let json: serde_json::Value = serde_json::from_str(&command(&["list", "main", "--json"], 0)).unwrap();
    assert_eq!(
        (json["stats"]["active"].as_u64(), json["stats"]["cleared"].as_u64()),
        (Some(1), Some(1)),
        "{json}"
    );
    assert_eq!(metric(&lb, "edge_lb_session_ignored_total", &["reason=\"cleared\""]), 1.0);
}

#[test]
fn a_selection_is_kept_for_a_while() {
    let backends = three();
    let lb =
        Setup::new(&backends).pool("caching = { key = \"header:X-Tenant\", ttl = \"1h\" }").admin().start();
    let of = |tenant: &str| ask(&lb, &[("X-Tenant", tenant)]).text();
    let first: Vec<_> = (0..9).map(|n| of(&n.to_string())).collect();
    assert!((0..9).all(|n| of(&n.to_string()) == first[n]));
    admin(&lb, "POST", &format!("/api/v1/pools/main/backends/{}/drain?grace=0s", first[0]));
    assert_ne!(of("0"), first[0], "a draining backend takes nobody new, and a selection is no session");
    assert_eq!(metric(&lb, "edge_lb_selection_cache_total", &["outcome=\"hit\""]), 9.0);
    assert_eq!(metric(&lb, "edge_lb_selection_cache_total", &["outcome=\"moved\""]), 1.0);
}
