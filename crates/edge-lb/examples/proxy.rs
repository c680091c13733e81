//! The proxy inside a hyper server of your own: your routes first, everything else to the backends.
//!
//! `cargo run -p edge-lb --example proxy --features tower`: starts two small backends and the server before them, asks it a few
//! times and ends. The proxy is a `tower` service, so the same works as axum's `fallback_service`.

use bytes::Bytes;
use edge_lb::prelude::*;
use edge_lb::tower::{ClientAddr, Proxy, ProxyBody};
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

type Body = Either<Full<Bytes>, ProxyBody<Incoming>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let a = backend("hello from a").await?;
    let b = backend("hello from b").await?;
    let lb = LoadBalancer::builder()
        .backend(Backend::new("a", format!("http://{a}").parse()?))
        .backend(Backend::new("b", format!("http://{b}").parse()?))
        .build()?;
    // The proxy is cheap to clone; all clones share their connections to the backends.
    let proxy = Proxy::new(lb.clone(), ProxySettings::default());

    let front = TcpListener::bind("127.0.0.1:0").await?;
    let address = front.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, client)) = front.accept().await {
            let proxy = proxy.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(proxy.clone(), client, request));
                let served = server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                served.unwrap_or_else(|e| eprintln!("a client's connection failed: {e}"));
            });
        }
    });

    for path in ["/mine", "/", "/", "/"] {
        println!("{path} → {}", get(address, path).await?);
    }
    println!("{} requests went through the balancer", lb.metrics().requests);
    Ok(())
}

/// One route of our own; the rest is the proxy's.
async fn answer(
    proxy: Proxy<Incoming>,
    client: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/mine" {
        return Ok(Response::new(Either::Left(Full::from("no backend was asked"))));
    }
    // For X-Forwarded-For, and for algorithms that look at the client.
    request.extensions_mut().insert(ClientAddr(client));
    Ok(proxy.call(request).await.map(Either::Right))
}

/// A server that always says the same.
async fn backend(says: &'static str) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |_| async move {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(says.as_bytes()))))
            });
            tokio::spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

async fn get(address: SocketAddr, path: &str) -> Result<String, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}
