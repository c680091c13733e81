//! An API gateway as a program: `/api/users` and `/api/orders` to pools of their own, with a rate limit, and headers that say who answered.
//!
//! `cargo run -p edge-lb --example gateway --features tower,admission`: starts the services and the gateway, asks it a few times and ends. The
//! same in a configuration file: docs/gateway.md.

mod support;

use edge_lb::admission::rate_limit::{LimitKey, RateLimit};
use edge_lb::prelude::*;
use edge_lb::tower::{
    ClientAddr, Gateway, ProxyService, RateLimiting, Route, RouteAction, RouteSettings, Router,
};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> support::Result<()> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// What was asked, and what came back.
pub(crate) async fn run() -> support::Result<Vec<String>> {
    let proxy: ProxyService<Incoming> = ProxyService::gateway(gateway().await?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, client)) = listener.accept().await {
            let proxy = proxy.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                let proxy = proxy.clone();
                // For X-Forwarded-For, and for the rate limit's keys.
                request.extensions_mut().insert(ClientAddr(client));
                async move { Ok::<_, Infallible>(proxy.call(request).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    let paths = ["/api/users/7", "/api/orders", "/api/orders", "/api/orders", "/nothing"];
    support::ask(address, &paths, &["x-backend-server", "x-load-balanced", "retry-after"]).await
}

/// Two pools, and the routes to them: one order a minute of each client, and one more at once.
async fn gateway() -> support::Result<Gateway> {
    let mut pools = vec![];
    for name in ["users", "orders"] {
        let backend =
            Backend::new(format!("{name}-1"), format!("http://{}", support::backend(name).await?).parse()?);
        let lb = LoadBalancer::builder().name(name).backend(backend).build()?;
        pools.push((lb, ProxySettings::default()));
    }
    let router = Router::build(&[Route::new().path("/api/users"), Route::new().path("/api/orders")])?;
    let to = |pool: &str| {
        let mut route = RouteSettings::new(pool, RouteAction::Pool(pool.to_owned()));
        route.service_headers = true;
        route
    };
    let mut orders = to("orders");
    // One a minute, and one before its time.
    let limit = RateLimit::new(1, Duration::from_secs(60)).burst(1).key(LimitKey::ClientIp);
    orders.rate_limit = Some(Arc::new(RateLimiting::new(limit, None, false)?));
    Ok(Gateway::routed(pools, router, vec![to("users"), orders])?)
}
