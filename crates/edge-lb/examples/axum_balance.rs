//! Balancing as middleware of an axum application: a backend is chosen for each request but those for `/static/` and `/assets/`, and the
//! handlers find it in the request's extensions.
//!
//! `cargo run -p edge-lb --example axum_balance --features tower`: starts two backends and the application, asks it a few times and ends.

mod support;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use edge_lb::prelude::*;
use edge_lb::tower::{ChosenBackend, LoadBalanceLayer};
use edge_lb::types::FailureKind;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> support::Result<()> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// What was asked, and what came back.
pub(crate) async fn run() -> support::Result<Vec<String>> {
    let (a, b) = (support::backend("a").await?, support::backend("b").await?);
    let lb = LoadBalancer::builder()
        .backend(Backend::new("a", format!("http://{a}").parse()?).metadata("zone", "one"))
        .backend(Backend::new("b", format!("http://{b}").parse()?).metadata("zone", "two"))
        .build()?;
    let app = axum::Router::new()
        .route("/which", get(which))
        .route("/static/{file}", get(async || "from this program's disk"))
        .fallback(any(forward))
        .layer(
            LoadBalanceLayer::new(lb)
                .skip_paths(["/static/", "/assets/"])
                .client_ip(|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip())),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, service).await });

    let paths = ["/static/logo.txt", "/which", "/which", "/users/7", "/users/7"];
    support::ask(address, &paths, &["x-backend-server", "x-load-balanced"]).await
}

/// Says whom the layer has chosen.
async fn which(Extension(chosen): Extension<ChosenBackend>) -> String {
    format!("chosen: {}, in zone {}", chosen.id(), chosen.metadata()["zone"])
}

/// Passes the request on to the backend that was chosen, on a connection of its own. The lease lasts until the response's last byte.
async fn forward(Extension(chosen): Extension<ChosenBackend>, request: Request) -> Response {
    match exchange(&chosen, request).await {
        Ok(response) => response.map(Body::new).into_response(),
        // The extension tells the layer what was wrong with the backend.
        Err(_) => (StatusCode::BAD_GATEWAY, Extension(FailureKind::Connect)).into_response(),
    }
}

async fn exchange(
    chosen: &ChosenBackend,
    mut request: Request,
) -> support::Result<http::Response<hyper::body::Incoming>> {
    let stream = TcpStream::connect(chosen.host_and_port().ok_or("a Unix socket")?).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    request.headers_mut().insert(header::HOST, chosen.url().authority().parse()?);
    Ok(sender.send_request(request).await?)
}
