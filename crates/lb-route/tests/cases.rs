//! Routes, requests and what comes of them, as tables.
//!
//! A line is a request, the index of the route that takes it, and (where it says something) its parameters or what `Match` tells.

use lb_route::{IpNet, Match, PathError, Route, Router, Unreachable, ValueMatch};
use lb_types::RequestInfo;

fn router(routes: &[Route]) -> Router {
    Router::build(routes).unwrap_or_else(|e| panic!("{e}"))
}

fn at<'a>(host: &'a str, path: &'a str) -> RequestInfo<'a> {
    RequestInfo { host, path, ..RequestInfo::default() }
}

fn index(router: &Router, request: &RequestInfo<'_>) -> Option<usize> {
    let found = router.find(request).unwrap_or_else(|e| panic!("{}: {e}", request.path));
    found.map(|found| found.index())
}

fn shown(found: &Match<'_>) -> String {
    let parameters: Vec<String> = found.parameters().map(|(name, value)| format!("{name}={value}")).collect();
    parameters.join(" ")
}

#[test]
fn hosts() {
    let routes = router(&[
        Route::new().host("api.example.com").host("API2.example.com."),
        Route::new().host("*.eu.example.com"),
        Route::new().host("*.example.com").host("example.com"),
        Route::new().host("x.eu.example.com"), // the wildcard above has it
        Route::new().host("[2001:db8::1]").host("192.0.2.7"),
        Route::new().host("*").host("named.example"),
    ]);
    for (host, expected) in [
        ("api.example.com", 0),
        ("API.Example.COM", 0),
        ("api.example.com.", 0),
        ("api2.example.com", 0),
        ("x.eu.example.com", 1),
        ("a.b.eu.example.com", 1),
        ("eu.example.com", 2),
        ("example.com", 2),
        ("www.example.com", 2),
        ("a.api.example.com", 2),
        ("badexample.com", 5),
        (".example.com", 5),
        ("[2001:db8::1]", 4),
        ("[2001:DB8::1]", 4),
        ("192.0.2.7", 4),
        ("192.0.2.8", 5),
        ("named.example", 5),
        ("", 5),
        (".", 5),
        ("..", 5),
        (&"a.".repeat(200), 5),
    ] {
        assert_eq!(index(&routes, &at(host, "/")), Some(expected), "{host}");
    }
    assert_eq!(index(&router(&[Route::new().host("a.b")]), &at("b", "/")), None);
    assert_eq!(index(&router(&[]), &at("", "/")), None);
}

#[test]
fn paths() {
    let routes = router(&[
        Route::new().path_exact("/"),                                             // 0
        Route::new().path_exact("/users/me"),                                     // 1
        Route::new().path_exact("/users/{id}"),                                   // 2
        Route::new().path_exact("/users/{user}/posts/{post}"),                    // 3
        Route::new().path("/users/{id}/files"),                                   // 4
        Route::new().path_exact("/users/{id}/"),                                  // 5
        Route::new().path("/static/{*rest}"),                                     // 6
        Route::new().path("/static"),                                             // 7
        Route::new().path_regex("/v(?<major>[0-9]+)(?:\\.(?<minor>[0-9]+))?/.*"), // 8
        Route::new().path_regex("/blob/[a-f]+/(?<name>[^/]+)"),                   // 9
        Route::new().path("/café/"),                                              // 10
        Route::new().path_exact("/Case"),                                         // 11
        Route::new().path_exact("/en%2fcoded"),                                   // 12
        Route::new().path_exact("*"),                                             // 13
        Route::new().path_exact("/a/{x}/c"),                                      // 14
        Route::new().path_exact("/a/b/{y}"),                                      // 15
        Route::new().path("/a/{x}/{y}"),                                          // 16
        Route::new().path("/a"),                                                  // 17
    ]);
    for (path, expected, parameters) in [
        ("/", Some(0), ""),
        ("//", Some(0), ""),
        ("/.", Some(0), ""),
        ("/x/..", Some(0), ""),
        ("/users/me", Some(1), ""),
        ("/users/m%65", Some(1), ""),
        ("/users/you", Some(2), "id=you"),
        ("/users/me/", Some(5), "id=me"),
        ("/users/", None, ""),
        ("/users", None, ""),
        ("/users//me", Some(1), ""),
        ("/users/a%2Fb", Some(2), "id=a%2Fb"),
        ("/users/a%2fb", Some(2), "id=a%2Fb"),
        ("/users/%7e", Some(2), "id=~"),
        ("/users/é", Some(2), "id=%C3%A9"),
        ("/users/a%20b", Some(2), "id=a%20b"),
        ("/users/7/posts/9", Some(3), "user=7 post=9"),
        ("/users/7/posts/9/", None, ""),
        ("/users/7/posts/", None, ""),
        ("/users/7/files", Some(4), "id=7"),
        ("/users/7/files/", Some(4), "id=7"),
        ("/users/7/files/a/b", Some(4), "id=7"),
        ("/users/7/filesystem", None, ""),
        ("/users/7/x", None, ""),
        ("/static/a", Some(6), "rest=a"),
        ("/static/a/b.css", Some(6), "rest=a/b.css"),
        ("/static/a/", Some(6), "rest=a/"),
        ("/static/", Some(7), ""),
        ("/static", Some(7), ""),
        ("/statics", None, ""),
        ("/static/../users/me", Some(1), ""),
        ("/static/%2e%2e/users/me", Some(1), ""),
        ("/v1/x", Some(8), "major=1"),
        ("/v1.20/", Some(8), "major=1 minor=20"),
        ("/v1", None, ""),
        ("/v1./x", None, ""),
        ("/x/v1/", None, ""),
        ("/V1/x", None, ""),
        ("/blob/abc/n", Some(9), "name=n"),
        ("/blob/abc/n/m", None, ""),
        ("/blob/xyz/n", None, ""),
        ("/blob/", None, ""),
        ("/café", Some(10), ""),
        ("/caf%C3%A9/x", Some(10), ""),
        ("/caf%c3%a9", Some(10), ""),
        ("/cafe", None, ""),
        ("/Case", Some(11), ""),
        ("/case", None, ""),
        ("/en%2Fcoded", Some(12), ""),
        ("/en/coded", None, ""),
        ("*", Some(13), ""),
        ("/*", None, ""),
        ("/a/b/c", Some(14), "x=b"),
        ("/a/b/d", Some(15), "y=d"),
        ("/a/z/d", Some(16), "x=z y=d"),
        ("/a/b/c/d", Some(16), "x=b y=c"),
        ("/a/b/", Some(17), ""),
        ("/a/b", Some(17), ""),
        ("/a", Some(17), ""),
        ("/A", None, ""),
    ] {
        let request = at("any.example", path);
        let found = routes.find(&request).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(found.as_ref().map(Match::index), expected, "{path}");
        assert_eq!(found.as_ref().map(shown).unwrap_or_default(), parameters, "{path}");
    }
}

#[test]
fn order_decides_and_not_precision() {
    let routes = [
        Route::new().path("/api"),
        Route::new().host("a.example").path("/api/x"),
        Route::new().path_exact("/x"),
        Route::new().path_regex("/[xy]"),
        Route::new().host("a.example"),
        Route::new().host("*.example").path("/y/z"),
        Route::new(),
    ];
    let forward = router(&routes);
    for (host, path, expected) in [
        ("a.example", "/api/x", 0),
        ("a.example", "/x", 2),
        ("a.example", "/y", 3),
        ("a.example", "/y/z", 4),
        ("b.example", "/y/z", 5),
        ("b.example", "/z", 6),
        ("b.example", "*", 6),
        ("a.example", "*", 4),
    ] {
        assert_eq!(index(&forward, &at(host, path)), Some(expected), "{host}{path}");
    }
    let backward = router(&routes.iter().rev().cloned().collect::<Vec<_>>());
    for (host, path) in [("a.example", "/api/x"), ("a.example", "/x"), ("b.example", "*")] {
        assert_eq!(index(&backward, &at(host, path)), Some(0), "{host}{path}");
    }
}

#[test]
fn methods() {
    let routes = router(&[
        Route::new().path("/x").method("GET").method("PROPFIND"),
        Route::new().path("/x").method("POST"),
        Route::new().path("/y").method("GET"),
        Route::new().path("/x").method("OPTIONS"),
        Route::new().method("OPTIONS"),
    ]);
    for (method, path, expected) in [
        ("GET", "/x", Some(0)),
        ("PROPFIND", "/x", Some(0)),
        ("POST", "/x", Some(1)),
        ("HEAD", "/x", None),
        ("get", "/x", None),
        ("PATCH", "/x", None),
        ("MKCOL", "/x", None),
        ("OPTIONS", "/x", Some(3)),
        ("OPTIONS", "*", Some(4)),
        ("GET", "*", None),
        ("POST", "/y", None),
    ] {
        let request = RequestInfo { method, ..at("", path) };
        assert_eq!(index(&routes, &request), expected, "{method} {path}");
    }
}

#[test]
fn headers_query_and_clients() {
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let routes = router(&[
        Route::new().header("X-Version", ValueMatch::exact("2")).header("x-beta", ValueMatch::Present),
        Route::new().header("x-version", ValueMatch::exact("2")),
        Route::new().header("user-agent", ValueMatch::regex(".*(bot|crawler).*")),
        Route::new().query("debug", ValueMatch::exact("1")).header("x-forbidden", ValueMatch::Absent),
        Route::new().query("page", ValueMatch::regex("[0-9]+")),
        Route::new().query("flag", ValueMatch::Present),
        Route::new().client(net("10.0.0.0/8")).client(net("2001:db8::/32")),
        Route::new().header("x-empty", ValueMatch::exact("")),
        Route::new().query("q", ValueMatch::Absent).header("host", ValueMatch::Absent),
    ]);
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Headers<'_>, &str, Option<&str>, Option<usize>)] = &[
        (&[("x-version", "2"), ("X-Beta", "")], "", None, Some(0)),
        (&[("X-VERSION", "2")], "", None, Some(1)),
        (&[("x-version", "1"), ("x-version", "2")], "", None, Some(1)),
        (&[("x-version", "22")], "", None, Some(8)),
        (&[("user-agent", "a robot of mine")], "", None, Some(2)),
        (&[("user-agent", "curl")], "", None, Some(8)),
        (&[], "debug=1", None, Some(3)),
        (&[], "a=b&debug=1", None, Some(3)),
        (&[], "debug=%31", None, Some(3)),
        (&[], "d%65bug=1", None, Some(3)),
        (&[], "debug=0&debug=1", None, Some(3)),
        (&[], "Debug=1", None, Some(8)),
        (&[("x-forbidden", "")], "debug=1", None, Some(8)),
        (&[], "page=12", None, Some(4)),
        (&[], "page=12a", None, Some(8)),
        (&[], "flag", None, Some(5)),
        (&[], "flag=", None, Some(5)),
        (&[], "flags", None, Some(8)),
        (&[], "", Some("10.200.0.1"), Some(6)),
        (&[], "", Some("::ffff:10.0.0.1"), Some(6)),
        (&[], "", Some("2001:db8::7"), Some(6)),
        (&[], "", Some("11.0.0.1"), Some(8)),
        (&[("x-empty", "")], "", None, Some(7)),
        (&[("x-empty", "x")], "q=", None, None),
        (&[("Host", "a")], "", None, None),
        (&[], "q", None, None),
    ];
    for (headers, query, ip, expected) in cases {
        let request = RequestInfo {
            client_ip: ip.map(|ip| ip.parse().unwrap()),
            query: (!query.is_empty()).then_some(*query),
            headers: &Lines(headers),
            ..at("", "/")
        };
        assert_eq!(index(&routes, &request), *expected, "{headers:?} {query} {ip:?}");
    }
}

/// Headers whose number is not known beforehand.
struct Lines<'a>(&'a [(&'a str, &'a str)]);

impl lb_types::HeaderSource for Lines<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.header(name)
    }

    fn each<'a>(&'a self, name: &str, see: &mut dyn FnMut(&'a [u8])) {
        self.0.each(name, see);
    }
}

#[test]
fn many_routes_of_one_path_keep_their_order() {
    // Enough to be kept by value: two headers, a query parameter, and some that want no value.
    let mut routes: Vec<Route> = Vec::new();
    for i in 0..30 {
        routes.push(
            Route::new()
                .path("/x")
                .header("x-tenant", ValueMatch::exact(format!("t{}", i % 10)))
                .method("GET"),
        );
        routes.push(Route::new().path("/x").header("x-user", ValueMatch::exact(format!("u{i}"))));
        routes.push(Route::new().path("/x").query("q", ValueMatch::exact(format!("{i}"))));
    }
    routes.insert(45, Route::new().path("/x").method("POST"));
    routes.push(Route::new().path("/x").header("x-tenant", ValueMatch::exact("t3")));
    let routes = router(&routes);
    for (method, headers, query, expected) in [
        ("GET", [("x-tenant", "t3"), ("x-user", "u9")], "q=8", Some(9)),
        ("GET", [("x-tenant", "t9"), ("x-user", "u0")], "q=8", Some(1)),
        ("GET", [("x-tenant", "t9"), ("x-tenant", "t2")], "q=8", Some(6)),
        ("GET", [("x-tenant", "t"), ("x-user", "u20")], "q=0", Some(2)),
        ("GET", [("x-tenant", "t"), ("x-user", "u20")], "q=30", Some(62)),
        ("GET", [("x-tenant", "t"), ("x-user", "u30")], "q=30", None),
        ("POST", [("x-tenant", "t3"), ("x-user", "u20")], "q=29", Some(45)),
        ("POST", [("x-tenant", "t3"), ("x-user", "u7")], "q=29", Some(22)),
        ("PUT", [("x-tenant", "t3"), ("x-user", "u")], "q", Some(91)),
    ] {
        let request = RequestInfo { method, query: Some(query), headers: &headers, ..at("", "/x/y") };
        assert_eq!(index(&routes, &request), expected, "{method} {headers:?} {query}");
    }
}

#[test]
fn a_match_says_what_was_judged() {
    let routes = router(&[Route::new().path("/a/{x}"), Route::new().path_exact("/b"), Route::new()]);
    for (path, judged, prefix, rest) in [
        ("/a//7/./y", "/a/7/y", "/a/7", "/y"),
        ("/a/7", "/a/7", "/a/7", ""),
        ("/b", "/b", "/b", ""),
        ("/c/d", "/c/d", "", "/c/d"),
        ("/", "/", "", "/"),
        ("*", "*", "", "*"),
    ] {
        let request = at("", path);
        let found = routes.find(&request).unwrap().unwrap();
        assert_eq!((found.path(), found.prefix(), found.rest()), (judged, prefix, rest), "{path}");
        assert_eq!(matches!(found.into_path(), std::borrow::Cow::Borrowed(_)), path == judged, "{path}");
    }
    assert_eq!(routes.parameters(0).join(","), "x");
    assert_eq!((routes.parameters(9).len(), routes.len(), routes.is_empty()), (0, 3, false));
    assert_eq!(routes.find(&at("", "/a/../..")).err(), Some(PathError::AboveRoot));
    assert_eq!(routes.find(&at("", "/a/..%2f")).err(), Some(PathError::HiddenDots));
    assert_eq!(routes.find(&at("", "")).err(), Some(PathError::NotAbsolute));
}

#[test]
fn mistakes_name_route_field_and_value() {
    let many = vec!["a.example".to_owned(); 1_025];
    for (bad, message) in [
        (Route::new().host("a:80"), "routes[1].hosts = \"a:80\": must be without a port"),
        (Route::new().path("x"), "routes[1].path = \"x\": must begin with a slash"),
        (Route::new().path_exact("/a/../b"), "routes[1].path_exact = \"/a/../b\": has a dot segment"),
        (Route::new().path_regex("("), "routes[1].path_regex = \"(\": must be a regular expression"),
        (Route::new().method("get"), "routes[1].methods = \"get\": must be a method's name, in capitals"),
        (Route::new().method("GE T"), "routes[1].methods = \"GE T\""),
        (Route::new().header("a b", ValueMatch::Present), "routes[1].headers = \"a b\""),
        (Route::new().header("a", ValueMatch::regex("[")), "routes[1].headers = \"[\""),
        (Route::new().query("", ValueMatch::Present), "routes[1].query = \"\""),
        (Route::new().query("a", ValueMatch::exact("x".repeat(1_025))), "routes[1].query = \"xxx"),
    ] {
        let error = Router::build(&[Route::new(), bad]).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
        assert_eq!(error.route, 1);
    }
    let mut route = Route::new();
    route.hosts = many;
    assert_eq!(
        Router::build(&[route]).unwrap_err().to_string(),
        "routes[0].hosts = 1025: must have at most 1024 entries"
    );
    let many = vec![Route::new(); lb_route::ROUTES_MAX + 1];
    assert_eq!(Router::build(&many).unwrap_err().route, lb_route::ROUTES_MAX);
}

#[test]
fn routes_that_nobody_reaches() {
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let exact = ValueMatch::exact;
    // Earlier route, later route, does the one hide the other?
    for (earlier, later, hidden) in [
        (Route::new(), Route::new().path("/a"), true),
        (Route::new(), Route::new(), true),
        (Route::new(), Route::new().path_exact("*"), true),
        (Route::new().path("/"), Route::new(), false), // not `*`
        (Route::new().path("/"), Route::new().path_exact("*"), false),
        (Route::new().path("/"), Route::new().path("/a"), true),
        (Route::new().path("/a"), Route::new().path("/"), false),
        (Route::new().path("/a"), Route::new().path("/a/"), true),
        (Route::new().path("/a"), Route::new().path_exact("/a"), true),
        (Route::new().path_exact("/a"), Route::new().path("/a"), false),
        (Route::new().path("/a"), Route::new().path_exact("/a/{x}/b"), true),
        (Route::new().path("/a/{x}"), Route::new().path("/a/b"), true),
        (Route::new().path("/a/b"), Route::new().path("/a/{x}"), false),
        (Route::new().path_exact("/{x}/b"), Route::new().path_exact("/{y}/b"), true),
        (Route::new().path_exact("/{x}/b"), Route::new().path_exact("/a/{y}"), false),
        (Route::new().path_exact("/a/{x}"), Route::new().path_exact("/a/"), false),
        (Route::new().path("/a/{*r}"), Route::new().path_exact("/a/b/"), true),
        (Route::new().path("/a/{*r}"), Route::new().path("/a/b"), true),
        (Route::new().path("/a/{*r}"), Route::new().path("/a/{*q}"), true),
        (Route::new().path("/a/{*r}"), Route::new().path("/a/{x}/{*q}"), true),
        (Route::new().path("/a/{*r}"), Route::new().path("/a"), false),
        (Route::new().path("/a/{*r}"), Route::new().path_exact("/a/"), false),
        (Route::new().path("/a"), Route::new().path("/a/{*r}"), true),
        (Route::new().path("/a"), Route::new().path_regex("/a/[0-9]+"), true),
        (Route::new().path("/a/{*r}"), Route::new().path_regex("/a/b/[0-9]+"), true),
        (Route::new().path("/a"), Route::new().path_regex("/a|/b"), false),
        (Route::new().path_regex("/a/[0-9]+"), Route::new().path_regex("/a/[0-9]+"), true),
        (Route::new().path_regex("/a/[0-9]+"), Route::new().path_exact("/a/7"), true),
        (Route::new().path_regex("/a/[0-9]+"), Route::new().path_exact("/a/b"), false),
        (Route::new().path_regex("/a/[0-9]+"), Route::new().path("/a/7"), false),
        (Route::new().host("*.b"), Route::new().host("a.b"), true),
        (Route::new().host("*.b"), Route::new().host("*.a.b").host("x.b"), true),
        (Route::new().host("*.b"), Route::new().host("a.b").host("b"), false),
        (Route::new().host("*.b"), Route::new(), false),
        (Route::new().host("a.b"), Route::new().host("*.b"), false),
        (Route::new().method("GET"), Route::new().method("GET"), true),
        (Route::new().method("GET").method("XY"), Route::new().method("XY"), true),
        (Route::new().method("GET"), Route::new().method("GET").method("PUT"), false),
        (Route::new().method("GET"), Route::new(), false),
        (Route::new(), Route::new().header("a", exact("b")), true),
        (Route::new().header("a", exact("b")), Route::new(), false),
        (Route::new().header("A", exact("b")), Route::new().header("a", exact("b")), true),
        (Route::new().header("a", exact("b")), Route::new().query("a", exact("b")), false),
        (Route::new().header("a", ValueMatch::Present), Route::new().header("a", exact("b")), true),
        (Route::new().query("a", ValueMatch::regex("b+")), Route::new().query("a", exact("bb")), true),
        (Route::new().query("a", ValueMatch::Absent), Route::new().query("b", exact("")), false),
        (Route::new().client(net("10.0.0.0/8")), Route::new().client(net("10.1.0.0/16")), true),
        (Route::new().client(net("10.1.0.0/16")), Route::new().client(net("10.0.0.0/8")), false),
    ] {
        let shown = format!("{earlier:?}\n{later:?}");
        let found =
            router(&[earlier, Route::new().path_exact("/other").method("TRACE"), later]).unreachable();
        let expected = if hidden { vec![Unreachable { index: 2, by: 0 }] } else { vec![] };
        assert_eq!(found.iter().filter(|u| u.index == 2).copied().collect::<Vec<_>>(), expected, "{shown}");
    }
}

#[test]
fn among_many_routes_of_one_path_the_hidden_one_is_found() {
    let tenant = |i: usize| Route::new().path("/x").header("x-tenant", ValueMatch::exact(format!("t{i}")));
    let mut routes: Vec<Route> = (0..1_000).map(tenant).collect();
    routes.push(tenant(500).method("GET"));
    routes.push(Route::new().path("/x").header("x-tenant", ValueMatch::Present));
    routes.push(tenant(2_000));
    assert_eq!(
        router(&routes).unreachable(),
        [Unreachable { index: 1_000, by: 500 }, Unreachable { index: 1_002, by: 1_001 }]
    );
}
