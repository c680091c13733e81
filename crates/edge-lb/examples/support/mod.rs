//! What the examples of this folder share: a small backend, and a client.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Starts a server on a port of its own that says its name and the path that it was asked for.
pub(crate) async fn backend(name: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                let says = format!("{name} got {}", request.uri().path());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(says))))
            });
            tokio::spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

/// Asks once, on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Response<String>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(parts, String::from_utf8_lossy(&body).into_owned()))
}

/// Asks for each of the paths in turn, and tells what came back: status, the named headers, body.
pub(crate) async fn ask(address: SocketAddr, paths: &[&str], headers: &[&str]) -> Result<Vec<String>> {
    let mut lines = vec![];
    for path in paths {
        let response = get(address, path).await?;
        let shown = |all: &HeaderMap| -> String {
            let value =
                |name: &&str| all.get(*name).and_then(|v| v.to_str().ok()).map(|v| format!(" {name}={v}"));
            headers.iter().filter_map(value).collect()
        };
        let (status, seen) = (response.status().as_u16(), shown(response.headers()));
        lines.push(format!("{path}: {status}{seen}: {}", response.body().trim_end()));
    }
    Ok(lines)
}
