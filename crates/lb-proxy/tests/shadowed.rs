//! Mirroring and compression where the proxy is a service in somebody else's runtime, of several threads.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use lb_balancer::LoadBalancer;
use lb_proxy::{
    Coding, CompressionSettings, Gateway, MirrorSettings, Proxy, ProxySettings, RouteAction, RouteSettings,
};
use lb_route::{Route, Router};
use lb_types::Backend;
use std::io::Read as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(20);

/// A pool of one backend that says every head it gets, and answers each with `body`.
async fn pool(name: &str, body: &'static str, heads: mpsc::UnboundedSender<String>) -> LoadBalancer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move {
                let (mut text, mut room) = (String::new(), [0; 4096]);
                while let Ok(n @ 1..) = stream.read(&mut room).await {
                    text.push_str(std::str::from_utf8(&room[..n]).unwrap());
                    if text.ends_with("\r\n\r\n") {
                        heads.send(std::mem::take(&mut text)).unwrap();
                        let length = body.len();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}"
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    LoadBalancer::builder().name(name).backend(Backend::new(name, url.parse().unwrap())).build().unwrap()
}

fn gateway(pools: Vec<LoadBalancer>, route: RouteSettings) -> Result<Gateway, lb_types::SettingsError> {
    let pools = pools.into_iter().map(|lb| (lb, ProxySettings::default())).collect();
    Gateway::routed(pools, Router::build(&[Route::new()]).unwrap(), vec![route])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_and_encodings_in_anyones_runtime() {
    let (heads, mut own) = mpsc::unbounded_channel();
    let (copies, mut shadow) = mpsc::unbounded_channel();
    let pools = vec![pool("main", "mainmainmain", heads).await, pool("shadow", "x", copies).await];
    let mut route = RouteSettings::new("all", RouteAction::Pool("main".into()));
    let mut compression = CompressionSettings::default();
    (compression.min_size, compression.algorithms) = (1, vec![Coding::Gzip]);
    (route.compression, route.mirror) = (Some(compression), Some(MirrorSettings::new("shadow")));
    let proxy: Proxy<Empty<Bytes>> = Proxy::gateway(gateway(pools, route).unwrap());
    let calls = (0..16).map(|n| {
        let proxy = proxy.clone();
        tokio::spawn(async move {
            let request = Request::get(format!("/{n}")).header("host", "a").header("accept-encoding", "gzip");
            let response = proxy.call(request.body(Empty::new()).unwrap()).await;
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-encoding"]),
                (200, &"gzip".parse().unwrap())
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let mut text = String::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
            assert_eq!(text, "mainmainmain");
        })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        call.await.unwrap();
    }
    let stats = proxy.stats();
    for _ in 0..16 {
        let copy = tokio::time::timeout(LIMIT, shadow.recv()).await.unwrap().unwrap();
        assert!(copy.contains("x-shadow: true\r\n"), "{copy}");
        let head = own.recv().await.unwrap();
        assert!(!head.contains("x-shadow"), "{head}");
    }
    let settled = async {
        while stats.mirrors()[0].results[0] < 16 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, settled).await.expect("each was compared");
    let mirror = stats.mirrors().remove(0);
    assert_eq!((&*mirror.route, &*mirror.pool, mirror.in_flight), ("all", "shadow", 0));
    assert_eq!((mirror.primary.count(), mirror.shadow.count()), (16, 16));
    assert_eq!((stats.snapshot().requests, stats.snapshot().responses[1]), (16, 16));
}

#[tokio::test]
async fn a_mirror_needs_a_pool_that_is_another() {
    let (heads, _own) = mpsc::unbounded_channel();
    let (one, two) = (pool("one", "", heads.clone()).await, pool("two", "", heads).await);
    for (name, good) in [("two", true), ("one", false), ("three", false)] {
        let mut route = RouteSettings::new("r", RouteAction::Pool("one".into()));
        route.mirror = Some(MirrorSettings::new(name));
        let made = gateway(vec![one.clone(), two.clone()], route);
        assert_eq!(made.err().map(|e| e.field), (!good).then_some("mirror"));
    }
    let mut route = RouteSettings::new("r", RouteAction::Pool("one".into()));
    let mut compression = CompressionSettings::default();
    compression.algorithms.clear();
    route.compression = Some(compression);
    assert_eq!(gateway(vec![one], route).unwrap_err().field, "algorithms");
}
