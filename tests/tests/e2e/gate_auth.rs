//! Who may come in: names and passwords, and another server's word; and that nobody can say for himself what these say of him.

use crate::gate::{ask, curl, gateway, get, header, text};
use edge_lb_tests::{SHORT, SOON};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Gate, Reply, Step, eventually};
use std::time::Duration;

/// `secret`.
const CHEAP: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

#[test]
fn a_password_lets_in_by_curl() {
    let web = Backend::start("web");
    let folder = tempfile::tempdir().unwrap();
    let sha512 =
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1";
    std::fs::write(folder.path().join("htpasswd"), format!("# made by hand\nbob:{sha512}\n")).unwrap();
    let top = r#"
[[routes]]
path = "/moved"
redirect = { location = "/" }
basic_auth = { users = { ann = "env:ANN" } }
[[routes]]
path = "/passed"
pool = "web"
basic_auth = { users = { ann = "env:ANN" }, forward_credentials = true }
[[routes]]
path = "/api"
pool = "web"
basic_auth = { users = { ann = "env:ANN" }, file = "htpasswd", realm = "Office", forward_user = "X-Authenticated-User" }
"#;
    let lb = EdgeLb::options().config(text(top, &[&web])).folder(folder.path()).env("ANN", CHEAP).start();
    let url = lb.address().url();
    let said = curl(&[&format!("{url}/api")]);
    assert!(said.starts_with("HTTP/1.1 401") && said.ends_with("Unauthorized\n"), "{said}");
    assert_eq!(header(&said, "www-authenticate"), Some("Basic realm=\"Office\", charset=\"UTF-8\""));
    for user in ["ann:wrong", "bob:wrong", "carl:secret", "ann:", ":secret"] {
        let said = curl(&["-u", user, &format!("{url}/api")]);
        assert!(said.starts_with("HTTP/1.1 401"), "{user}: {said}");
    }
    assert!(curl(&["-u", "ann:wrong", &format!("{url}/moved")]).starts_with("HTTP/1.1 401"));
    assert!(curl(&["-u", "ann:secret", &format!("{url}/moved")]).starts_with("HTTP/1.1 302"));
    assert_eq!(web.request_count(), 0);

    for user in ["ann", "bob"] {
        for spoof in [
            &[][..],
            &["-H", "X-Authenticated-User: root"],
            &["-H", "X-Authenticated-User: root", "-H", "X_Authenticated_User: root"],
            &["-H", "Connection: X-Authenticated-User", "-H", "x-authenticated_user: root"],
        ] {
            let said = curl(&[spoof, &["-u", &format!("{user}:secret"), &format!("{url}/api")]].concat());
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
            let seen = web.requests().pop().unwrap().head.headers;
            let told: Vec<_> = seen
                .0
                .iter()
                .filter(|(n, _)| n.to_lowercase().replace('_', "-").contains("authenticated"))
                .collect();
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!((seen.get("x-authenticated-user"), seen.get("authorization")), (Some(user), None));
        }
    }
    curl(&["-u", "ann:secret", &format!("{url}/passed")]);
    assert!(web.requests().pop().unwrap().head.headers.has("authorization"));
}

#[test]
fn a_costly_password_holds_up_nobody_else() {
    let web = Backend::start("web");
    let lb = gateway(
        r#"
[[routes]]
path = "/open"
pool = "web"
[[routes]]
pool = "web"
basic_auth = { users = { ann = "$2y$14$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW" } }
"#,
        &[&web],
    );
    let mut slow = Client::connect(lb.address()).unwrap();
    slow.set_limit(SOON * 6);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOng=\r\n\r\n").unwrap();
    // The one worker answers others before that one, which takes a core a second.
    for _ in 0..3 {
        assert_eq!(get(&lb, "/open").status(), 200);
    }
    slow.set_limit(Duration::from_millis(1));
    assert!(slow.read("GET").is_err(), "it is not answered yet");
    slow.set_limit(SOON * 6);
    assert_eq!(slow.read("GET").unwrap().status(), 401);
}

/// An auth server: what it says follows from the path that it is told.
fn auth_server() -> Backend {
    Backend::with("auth", |r| {
        let told = |name: &str| r.head.headers.get(name).unwrap_or_default().to_owned();
        match told("x-forwarded-uri").split('?').next().unwrap_or_default() {
            "/allow" => Reply::answer(
                Answer::ok("yes")
                    .header("Remote-User", "ann")
                    .header("Remote-Groups", "a")
                    .header("Remote-Groups", "b")
                    .header("X-Secret", "s"),
            ),
            "/anonymous" => Reply::status(204),
            "/login" => Reply::answer(
                Answer::new(302)
                    .header("Location", "https://login.example/?rd=1")
                    .header("Set-Cookie", "a=b")
                    .header("Connection", "X-Hop")
                    .header("X-Hop", "1")
                    .body("go"),
            ),
            "/large" => Reply::answer(Answer::new(403).body(vec![b'x'; 70_000])),
            "/hang" => Reply::steps([Step::Hang]),
            _ => Reply::answer(Answer::new(401).header("WWW-Authenticate", "Bearer").body("no")),
        }
    })
}

#[test]
fn another_server_says_who_may_come_in() {
    let (auth, web) = (auth_server(), Backend::start("web"));
    let lb = gateway(
        &format!(
            r#"
[[routes]]
path = "/open"
pool = "web"
[[routes]]
path = "/some"
pool = "web"
forward_auth = {{ url = "{0}/verify", request_headers = ["Cookie"] }}
[[routes]]
pool = "web"
rewrite = {{ regex = "^", with = "/inside" }}
forward_auth = {{ url = "{0}/verify", timeout = "{1}ms", response_headers = ["Remote-User", "Remote-Groups"] }}
"#,
            auth.url(),
            SHORT.as_millis()
        ),
        &[&web],
    );
    let spoof = [
        ("Remote-User", "root"),
        ("Remote_Groups", "wheel"),
        ("X-Forwarded-Uri", "/allow"),
        ("X-Forwarded-Method", "GET"),
        ("X_Forwarded_Uri", "/allow"),
        ("Cookie", "c=d"),
        ("Authorization", "Bearer x"),
    ];
    let allowed = ask(&lb, "POST", "/x/../allow?q=1", &spoof);
    assert_eq!((allowed.status(), allowed.header("remote-user")), (200, None));
    let asked = auth.requests().pop().unwrap().head;
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/verify"));
    for (name, value) in [
        ("x-forwarded-method", "POST"),
        ("x-forwarded-uri", "/allow?q=1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "127.0.0.1"),
        ("cookie", "c=d"),
        ("authorization", "Bearer x"),
    ] {
        assert_eq!(asked.headers.all(name), [value], "{name}");
    }
    assert!(asked.headers.has("x-forwarded-host") && !asked.headers.has("x_forwarded_uri"));
    let seen = web.requests().pop().unwrap().head;
    assert_eq!(seen.target, "/inside/allow?q=1", "it is the path that was judged that is asked about");
    assert_eq!(
        (seen.headers.all("remote-user"), seen.headers.all("remote-groups")),
        (vec!["ann"], vec!["a", "b"])
    );
    assert!(!seen.headers.has("remote_groups") && !seen.headers.has("x-secret"));

    ask(&lb, "GET", "/anonymous", &[("Remote-User", "root"), ("Connection", "Remote-User")]);
    let seen = web.requests().pop().unwrap().head;
    assert!(!seen.headers.has("remote-user"), "nobody was named: {seen:?}");
    assert_eq!(auth.connection_count(), 1, "its connections are kept");

    let before = web.request_count();
    let login = get(&lb, "/login");
    assert_eq!((login.status(), login.text().as_str()), (302, "go"));
    assert_eq!(
        (login.header("location"), login.header("set-cookie"), login.header("x-hop")),
        (Some("https://login.example/?rd=1"), Some("a=b"), None)
    );
    let refused = get(&lb, "/other");
    assert_eq!(
        (refused.status(), refused.header("www-authenticate"), refused.text().as_str()),
        (401, Some("Bearer"), "no")
    );
    let none = ask(&lb, "GET", "/some", &spoof);
    assert_eq!(none.status(), 401);
    let asked = auth.requests().pop().unwrap().head.headers;
    assert_eq!(
        (asked.get("cookie"), asked.get("authorization"), asked.get("x-forwarded-uri")),
        (Some("c=d"), None, Some("/some"))
    );
    for target in ["/large", "/hang"] {
        let away = get(&lb, target);
        assert_eq!(
            (away.status(), away.text().as_str()),
            (503, "authentication is not available\n"),
            "{target}"
        );
    }
    auth.kill();
    assert_eq!(get(&lb, "/allow").status(), 503, "nobody is let in because the server is away");
    assert_eq!(web.request_count(), before);
    assert_eq!(get(&lb, "/open").status(), 200);
    auth.revive();
    assert_eq!(get(&lb, "/allow").status(), 200, "a connection that was closed meanwhile is replaced");
}

#[test]
fn a_slow_server_holds_up_nobody_else_and_is_left_alone_when_the_client_leaves() {
    let (gate, web) = (Gate::new(), Backend::start("web"));
    let waits = gate.clone();
    let auth = Backend::with("auth", move |r| match r.head.headers.get("x-forwarded-uri") {
        Some("/hang") => Reply::steps([Step::Hang]),
        _ => Reply::ok("").after(Step::Wait(waits.clone())),
    });
    let lb = gateway(
        &format!(
            "[[routes]]\npath = \"/open\"\npool = \"web\"\n[[routes]]\npool = \"web\"\nforward_auth = {{ url = \"{}\", timeout = \"60s\" }}\n",
            auth.url()
        ),
        &[&web],
    );
    let mut slow = Client::connect(lb.address()).unwrap();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, "the server is asked", || auth.in_flight() == 1);
    for _ in 0..20 {
        assert_eq!(get(&lb, "/open").status(), 200);
    }
    let mut leaves = Client::connect(lb.address()).unwrap();
    leaves.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, "the server is asked again", || auth.in_flight() == 2);
    drop(leaves);
    eventually(SOON, "the question is taken back", || auth.open_connections() == 1);
    gate.open();
    assert_eq!(slow.read("GET").unwrap().status(), 200);
    assert!(web.requests().iter().all(|r| r.head.target != "/hang"), "who left gets nothing");
}
