//! Requests through the whole proxy, to a backend that tells what it got.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use lb_balancer::LoadBalancer;
use lb_core::{Algorithm, IpHash};
use lb_proxy::{
    ClientAddr, ForwardingHeader, ListenAddress, ListenerSettings, Proxy, ProxySettings, Server,
    TrustedPeers, TrustedProxies,
};
use lb_types::Backend;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A backend that answers with its name and the head it got.
async fn backend(name: &'static str) -> Backend {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tell(stream, name));
        }
    });
    Backend::new(name, url.parse().unwrap())
}

async fn tell(mut stream: TcpStream, name: &str) {
    let head = read_until(&mut stream, "\r\n\r\n").await;
    let length = name.len() + 1 + head.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{name}\n{head}");
    // A client that left needs no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut text, mut room) = (String::new(), [0; 4096]);
    while !text.ends_with(end) {
        match stream.read(&mut room).await {
            Ok(n) if n > 0 => text.push_str(std::str::from_utf8(&room[..n]).unwrap()),
            _ => break,
        }
    }
    text
}

fn settings(networks: &[&str], header: ForwardingHeader) -> ProxySettings {
    let proxies = TrustedProxies::new(networks).unwrap();
    let trusted = TrustedPeers { proxies, header };
    ProxySettings { trusted: Some(Arc::new(trusted)), ..ProxySettings::default() }
}

async fn balancer() -> LoadBalancer {
    let backends = [backend("a").await, backend("b").await];
    LoadBalancer::builder()
        .backends(backends)
        .algorithm(Algorithm::IpHash(IpHash::default()))
        .build()
        .unwrap()
}

/// The backend's name, and the head it got.
async fn ask(proxy: &Proxy<Empty<Bytes>>, peer: &str, headers: &[(&str, &str)]) -> (String, String) {
    let mut request = Request::get("/").header("host", "site.example");
    for (name, line) in headers {
        request = request.header(*name, *line);
    }
    let peer: IpAddr = peer.parse().unwrap();
    let request = request.extension(ClientAddr(SocketAddr::new(peer, 4711))).body(Empty::new()).unwrap();
    let response: Response<_> = proxy.call(request).await;
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let (name, head) = std::str::from_utf8(&body).unwrap().split_once('\n').unwrap();
    (name.to_owned(), head.to_owned())
}

/// The lines of the head that are said of clients, sorted.
fn said(head: &str) -> Vec<&str> {
    let of_clients =
        |line: &&str| ["x-forwarded-", "x-real-ip", "forwarded"].iter().any(|n| line.starts_with(n));
    let mut lines: Vec<_> = head.lines().filter(of_clients).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn the_balancer_takes_the_client_behind_a_trusted_peer() {
    let proxy = Proxy::new(balancer().await, settings(&["10.0.0.0/8"], ForwardingHeader::XForwardedFor));
    let (mut names, mut forged) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..32 {
        let client = format!("81.2.69.{n}");
        let (direct, _) = ask(&proxy, &client, &[]).await;
        let (behind, _) = ask(&proxy, "10.0.0.1", &[("x-forwarded-for", &client)]).await;
        assert_eq!(direct, behind, "{client}");
        names.insert(behind);
        let (name, _) = ask(&proxy, "6.6.6.6", &[("x-forwarded-for", &client)]).await;
        forged.insert(name);
    }
    assert_eq!((names.len(), forged.len()), (2, 1));
}

#[tokio::test]
async fn the_backend_gets_the_chain() {
    let proxy = Proxy::new(balancer().await, settings(&["10.0.0.0/8"], ForwardingHeader::XForwardedFor));
    let came =
        [("x-forwarded-for", "81.2.69.142"), ("x-forwarded-proto", "https"), ("forwarded", "for=9.9.9.9")];
    let (_, head) = ask(&proxy, "10.0.0.1", &came).await;
    let trusted = [
        "x-forwarded-for: 81.2.69.142, 10.0.0.1",
        "x-forwarded-host: site.example",
        "x-forwarded-proto: https",
        "x-real-ip: 81.2.69.142",
    ];
    assert_eq!(said(&head), trusted);
    let (_, head) = ask(&proxy, "6.6.6.6", &came).await;
    let untrusted = [
        "x-forwarded-for: 6.6.6.6",
        "x-forwarded-host: site.example",
        "x-forwarded-proto: http",
        "x-real-ip: 6.6.6.6",
    ];
    assert_eq!(said(&head), untrusted);
}

/// What the backend behind a server on that address got, from a client that forges or forwards.
async fn through_a_server(networks: &[&str]) -> String {
    let listen = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
    let settings = settings(networks, ForwardingHeader::Forwarded);
    let server = Server::bind(vec![ListenerSettings::new(listen)], 1, balancer().await, settings).unwrap();
    let ListenAddress::Tcp(address) = server.addresses()[0].clone() else { panic!("a TCP address") };
    let running = server.start().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\nx-forwarded-for: 9.9.9.9\r\n\
                   forwarded: for=\"[2001:218::1]\";proto=https\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "to the end").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.shutdown(std::time::Duration::from_secs(10)).await;
    answer
}

#[tokio::test]
async fn a_server_knows_its_peers() {
    let answer = through_a_server(&["127.0.0.1"]).await;
    let trusted = [
        "forwarded: for=\"[2001:218::1]\";proto=https, for=127.0.0.1",
        "x-forwarded-for: 2001:218::1, 127.0.0.1",
        "x-forwarded-host: site.example",
        "x-forwarded-proto: https",
        "x-real-ip: 2001:218::1",
    ];
    assert_eq!(said(&answer), trusted);
    let answer = through_a_server(&["10.0.0.0/8"]).await;
    let untrusted = [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: site.example",
        "x-forwarded-proto: http",
        "x-real-ip: 127.0.0.1",
    ];
    assert_eq!(said(&answer), untrusted);
}
