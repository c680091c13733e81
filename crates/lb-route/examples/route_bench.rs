//! What a look-up costs: `cargo run --release -p lb-route --example route_bench`.
//!
//! One thread. Requests are drawn at random from all routes, so that tables are not in the nearest cache only because one entry is asked
//! for again and again. The least of several rounds, as the machine's other work only ever adds. Not counted: building the request.

use lb_route::{Rewrite, Route, Router, Template, ValueMatch, Values, normalise};
use lb_types::{Clock, RequestInfo, SystemClock};
use std::error::Error;
use std::hint::black_box;

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const REQUESTS: usize = 4_096;
const ROUNDS: usize = 40;

/// A request that a shape asks with.
struct Asked {
    host: String,
    path: String,
    headers: [(&'static str, String); 1],
}

struct Shape {
    name: &'static str,
    /// Regular expressions take memory: fewer of them.
    most: usize,
    route: fn(usize) -> Route,
    /// Behind all others.
    last: Option<fn() -> Route>,
    asked: fn(usize) -> Asked,
    /// Do the requests have a route?
    hits: bool,
}

fn asked(host: String, path: String, tenant: String) -> Asked {
    Asked { host, path, headers: [("x-tenant", tenant)] }
}

fn shop(path: String) -> Asked {
    asked("shop.example.com".to_owned(), path, String::new())
}

fn shapes() -> Vec<Shape> {
    let shape = |name, route, asked| Shape { name, most: usize::MAX, route, last: None, asked, hits: true };
    vec![
        shape(
            "a host each",
            |i| Route::new().host(format!("tenant-{i}.example.com")).path("/"),
            |i| asked(format!("tenant-{i}.example.com"), "/api/v1/users/42".to_owned(), String::new()),
        ),
        shape(
            "a wildcard each",
            |i| Route::new().host(format!("*.tenant-{i}.example.com")).path("/"),
            |i| asked(format!("www.tenant-{i}.example.com"), "/api/v1/users/42".to_owned(), String::new()),
        ),
        shape(
            "a prefix each: /api/v1/service-N",
            |i| Route::new().path(format!("/api/v1/service-{i}")),
            |i| shop(format!("/api/v1/service-{i}/users/42")),
        ),
        Shape {
            last: Some(|| Route::new().path("/")),
            ..shape(
                "the same on one host, and / last",
                |i| Route::new().host("shop.example.com").path(format!("/api/v1/service-{i}")),
                |i| shop(format!("/api/v1/service-{i}/users/42")),
            )
        },
        shape(
            "parameters: /tenants/{t}/service-N/{id}",
            |i| Route::new().path_exact(format!("/tenants/{{t}}/service-{i}/{{id}}")),
            |i| shop(format!("/tenants/acme/service-{i}/42")),
        ),
        shape(
            "parameter and literal at each level",
            |i| match i % 2 {
                0 => Route::new().path_exact(format!("/a/{{x}}/b{}/{{y}}", i / 2)),
                _ => Route::new().path_exact(format!("/a/c/{{x}}/d{}", i / 2)),
            },
            |i| shop(if i % 2 == 0 { format!("/a/c/b{}/x", i / 2) } else { format!("/a/c/x/d{}", i / 2) }),
        ),
        shape(
            "one path, a header's value each",
            |i| Route::new().path("/api").header("x-tenant", ValueMatch::exact(format!("tenant-{i}"))),
            |i| asked(String::new(), "/api/users/42".to_owned(), format!("tenant-{i}")),
        ),
        Shape {
            most: 1_000,
            ..shape(
                "a regular expression each: /service-N/[0-9]+",
                |i| Route::new().path_regex(format!("/service-{i}/[0-9]+")),
                |i| shop(format!("/service-{i}/42")),
            )
        },
        Shape {
            most: 1_000,
            ..shape(
                "the worst: expressions that begin alike",
                |i| Route::new().path_regex(format!("/[a-z]+-{i}/[0-9]+")),
                |i| shop(format!("/service-{i}/42")),
            )
        },
        Shape {
            hits: false,
            ..shape(
                "the worst: one path, `present` each, none fits",
                |i| Route::new().path("/api").header(format!("x-{i}"), ValueMatch::Present),
                |_| asked(String::new(), "/api/users/42".to_owned(), String::new()),
            )
        },
        Shape {
            hits: false,
            ..shape(
                "no route: /api/v1/service-N",
                |i| Route::new().path(format!("/api/v1/service-{i}")),
                |i| shop(format!("/api/v1/other-{i}/users/42")),
            )
        },
    ]
}

/// ns per call, the least of the rounds.
fn measure<T>(of: &[T], mut call: impl FnMut(&T)) -> f64 {
    let clock = SystemClock::new();
    let rounds = (0..ROUNDS).map(|_| {
        let began = clock.now();
        for one in of {
            call(black_box(one));
        }
        (clock.now() - began).0 as f64 / of.len() as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn look_ups(rng: &mut fastrand::Rng) -> Result<(), Box<dyn Error>> {
    print!("{:<52}", "ns per look-up, of so many routes");
    SIZES.iter().for_each(|n| print!("{n:>10}"));
    println!();
    for shape in shapes() {
        print!("{:<52}", shape.name);
        for size in SIZES.into_iter().filter(|size| *size <= shape.most) {
            let routes: Vec<Route> =
                (0..size).map(shape.route).chain(shape.last.map(|last| last())).collect();
            let router = Router::build(&routes)?;
            let asked: Vec<Asked> = (0..REQUESTS).map(|_| (shape.asked)(rng.usize(0..size))).collect();
            let headers: Vec<[(&str, &str); 1]> =
                asked.iter().map(|a| a.headers.each_ref().map(|(n, v)| (*n, &**v))).collect();
            let requests: Vec<RequestInfo<'_>> = asked
                .iter()
                .zip(&headers)
                .map(|(a, headers)| RequestInfo {
                    host: &a.host,
                    path: &a.path,
                    headers,
                    ..RequestInfo::default()
                })
                .collect();
            let mut hits = 0;
            let ns = measure(&requests, |request| {
                hits += usize::from(black_box(router.find(request)).is_ok_and(|found| found.is_some()));
            });
            assert_eq!(hits, if shape.hits { REQUESTS * ROUNDS } else { 0 }, "{}", shape.name);
            print!("{ns:>10.1}");
        }
        println!();
    }
    Ok(())
}

/// What happens when a configuration is loaded, in ms; once.
fn loading() -> Result<(), Box<dyn Error>> {
    println!("\n{:<52}{:>10}{:>12}", "ms, of 10 000 routes", "build", "unreachable");
    let clock = SystemClock::new();
    for shape in shapes().into_iter().filter(|shape| shape.most >= 10_000) {
        let routes: Vec<Route> = (0..10_000).map(shape.route).collect();
        let began = clock.now();
        let router = Router::build(&routes)?;
        let built = clock.now();
        let unreachable = black_box(router.unreachable());
        let ms = |ns: u64| ns as f64 / 1e6;
        println!("{:<52}{:>10.1}{:>12.1}", shape.name, ms((built - began).0), ms((clock.now() - built).0));
        assert!(unreachable.is_empty(), "{}", shape.name);
    }
    Ok(())
}

fn parts() -> Result<(), Box<dyn Error>> {
    println!("\nns, of the parts");
    let print = |name: &str, ns: f64| println!("{name:<52}{ns:>10.1}");
    for (name, path) in [
        ("normalise: 21 bytes, normal", "/api/v1/users/42/mail"),
        (
            "normalise: 68 bytes, normal, encodings",
            "/files/caf%C3%A9/2026-11-24/a-long-name-of-a-file-that-is-there.html",
        ),
        ("normalise: something to change", "/api//v1/./users/%34%32/mail"),
    ] {
        print(name, measure(&[path; REQUESTS], |path| drop(black_box(normalise(path)))));
    }
    let router = Router::build(&[Route::new().path("/api/{version}/users/{id}")])?;
    let request =
        RequestInfo { host: "shop.example.com", path: "/api/v1/users/42/mail", ..RequestInfo::default() };
    let found = router.find(&request)?.ok_or("it has a route")?;
    for (name, rewrite) in [
        ("rewrite: strip the prefix", Rewrite::strip_prefix()),
        ("rewrite: replace the prefix", Rewrite::replace_prefix("/v2")?),
        ("rewrite: a path with two parameters", Rewrite::path("/{version}/u/{id}", router.parameters(0))?),
        ("rewrite: a regular expression", Rewrite::regex("^/api/(v[0-9]+)/", "/$1/")?),
    ] {
        print(name, measure(&[(); REQUESTS], |()| drop(black_box(rewrite.apply(&found)))));
    }
    let template = Template::parse("{client_ip} {method} {host}{path}", router.parameters(0))?;
    let values = Values { client_ip: Some([192, 0, 2, 7].into()), ..Values::of(&request, &found) };
    let mut text = String::new();
    print(
        "template: four variables, into a kept string",
        measure(&[(); REQUESTS], |()| {
            text.clear();
            template.expand_into(black_box(&values), &mut text);
        }),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = 7;
    println!("seed {seed}\n");
    look_ups(&mut fastrand::Rng::with_seed(seed))?;
    loading()?;
    parts()
}
