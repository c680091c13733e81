//! A gateway written by hand on hyper: edge-lb chooses the backend and counts, everything else is here. Compare `proxy`,
//! where edge-lb does the forwarding, too.
//!
//! `cargo run -p edge-lb --example hyper_gateway --features tower`: starts two backends and the gateway, asks it a few times and ends.

mod support;

use edge_lb::prelude::*;
use edge_lb::tower::{ChosenBackend, LoadBalanceLayer};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::Layer;

/// One exchange with the backend that was chosen.
async fn forward(mut request: Request<Incoming>) -> support::Result<Response<Incoming>> {
    let chosen: ChosenBackend = request.extensions_mut().remove().expect("the layer has put it there");
    let stream = TcpStream::connect(chosen.host_and_port().ok_or("a Unix socket")?).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    request.headers_mut().insert("host", chosen.url().authority().parse()?);
    Ok(sender.send_request(request).await?)
}

/// The gateway: balances until it is dropped. An exchange that fails closes the client's connection.
async fn serve(listener: TcpListener, lb: LoadBalancer) {
    let layer = LoadBalanceLayer::new(lb);
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(layer.layer(tower::service_fn(forward)));
        let mut server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    }
}

/// What was asked, and what came back.
pub(crate) async fn run() -> support::Result<Vec<String>> {
    let (a, b) = (support::backend("a").await?, support::backend("b").await?);
    let lb = LoadBalancer::builder()
        .algorithm(Algorithm::LeastConnections)
        .backend(Backend::new("a", format!("http://{a}").parse()?))
        .backend(Backend::new("b", format!("http://{b}").parse()?))
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, lb));
    support::ask(address, &["/x", "/y"], &["x-backend-server"]).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> support::Result<()> {
    run().await?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
