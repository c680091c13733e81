//! The examples are programs that run: each says what it is documented to say.

#![allow(dead_code)] // their `main` is called by nobody here
#![allow(clippy::duplicate_mod)] // each brings along what they share, as a program of its own

#[path = "../examples/axum_balance.rs"]
mod axum_balance;
#[path = "../examples/gateway.rs"]
mod gateway;
#[path = "../examples/hyper_gateway.rs"]
mod hyper_gateway;
#[cfg(feature = "geo-data")]
#[path = "../examples/regions.rs"]
mod regions;

use std::time::Duration;

async fn lines<E: std::fmt::Debug>(run: impl Future<Output = Result<Vec<String>, E>>) -> Vec<String> {
    tokio::time::timeout(Duration::from_secs(20), run).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn axum_balance() {
    let got = lines(axum_balance::run()).await;
    let expected = [
        "/static/logo.txt: 200: from this program's disk",
        "/which: 200 x-backend-server=a x-load-balanced=true: chosen: a, in zone one",
        "/which: 200 x-backend-server=b x-load-balanced=true: chosen: b, in zone two",
        "/users/7: 200 x-backend-server=a x-load-balanced=true: a got /users/7",
        "/users/7: 200 x-backend-server=b x-load-balanced=true: b got /users/7",
    ];
    assert_eq!(got, expected);
}

#[tokio::test]
async fn hyper_gateway() {
    let mut got = lines(hyper_gateway::run()).await;
    got.sort();
    assert_eq!(got, ["/x: 200 x-backend-server=a: a got /x", "/y: 200 x-backend-server=b: b got /y"]);
}

#[tokio::test]
async fn gateway() {
    let got = lines(gateway::run()).await;
    assert_eq!(got.len(), 5, "{got:#?}");
    assert_eq!(
        got[0],
        "/api/users/7: 200 x-backend-server=users-1 x-load-balanced=true: users got /api/users/7"
    );
    let orders = "/api/orders: 200 x-backend-server=orders-1 x-load-balanced=true: orders got /api/orders";
    assert_eq!(got[1..3], [orders, orders]);
    let (limited, text) = got[3].rsplit_once(": ").unwrap();
    assert_eq!(text, "Rate limit exceeded");
    let after: u64 = limited.rsplit_once("429 retry-after=").unwrap().1.parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert_eq!(got[4], "/nothing: 404: Service not found");
}

#[cfg(feature = "geo-data")]
#[test]
fn regions() {
    // It prints; that a region's failure moves its clients is asserted in lb-balancer's tests.
    regions::main().unwrap();
}
