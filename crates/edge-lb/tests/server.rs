//! From a configuration to a server that answers, and to its end.

use edge_lb::config::{Admin, Config, Format, parse};
use edge_lb::proxy::ListenAddress;
use edge_lb::{AssembleError, assemble};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Everything here takes milliseconds; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(10);

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    };
    timeout(LIMIT, asked).await?
}

/// Answers every connection's one request with `says`; `/slow` only once `go` is done.
async fn backend(says: &'static str, go: oneshot::Receiver<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut go = Some(go);
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).await.unwrap_or(0);
            let slow = head[..n].starts_with(b"GET /slow").then(|| go.take()).flatten();
            tokio::spawn(async move {
                if let Some(go) = slow {
                    go.await.unwrap();
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{says}",
                    says.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    address
}

fn config(to: SocketAddr) -> Config {
    let mut config =
        Config::from_flags(&["127.0.0.1:0".parse().unwrap()], &[format!("http://{to}").parse().unwrap()])
            .unwrap();
    config.workers = Some(2);
    config.admin = Some(Admin::new((Ipv4Addr::LOCALHOST, 0).into()));
    config
}

fn tcp(addresses: &[ListenAddress]) -> SocketAddr {
    match &addresses[0] {
        ListenAddress::Tcp(address) => *address,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn it_serves_until_it_is_told_and_finishes_what_is_open() {
    let (go, gone) = oneshot::channel();
    let server = assemble(config(backend("hi", gone).await)).unwrap();
    let (address, admin) = (tcp(server.addresses()), server.admin_address().unwrap());
    let (balancer, stats) = (server.balancer("default").unwrap().clone(), server.stats());
    assert!(server.balancer("other").is_none());

    let (stop, stopped) = oneshot::channel::<()>();
    let open = tokio::spawn(async move { get(address, "/slow").await });
    let watching = {
        let balancer = balancer.clone();
        async move {
            assert!(get(address, "/").await.unwrap().ends_with("\r\n\r\nhi"));
            assert!(get(admin, "/readyz").await.unwrap().starts_with("HTTP/1.1 200"));
            let metrics = get(admin, "/metrics").await.unwrap();
            assert!(metrics.contains("\nedge_lb_http_responses_total{class=\"2xx\"} "), "{metrics}");
            assert!(metrics.contains("\nedge_lb_upstream_connects_total "), "{metrics}");
            let mut looks = tokio::time::interval(Duration::from_millis(1));
            while balancer.metrics().backends.iter().all(|b| b.in_flight == 0) {
                looks.tick().await;
            }
            stop.send(()).unwrap();
            // Not ready any more, while the request is still open.
            while get(admin, "/readyz").await.unwrap().starts_with("HTTP/1.1 200") {
                looks.tick().await;
            }
            assert!(get(admin, "/healthz").await.unwrap().starts_with("HTTP/1.1 200"));
            assert!(!open.is_finished());
            go.send(()).unwrap();
            open.await.unwrap().unwrap()
        }
    };
    let run = server.run(async { drop(stopped.await) });
    let (report, slow) = timeout(LIMIT, async { tokio::join!(run, watching) }).await.unwrap();
    assert!(report.unwrap().closed_in_time);
    assert!(slow.ends_with("\r\n\r\nhi"), "{slow}");
    assert_eq!((balancer.metrics().requests, stats.snapshot().responses[1]), (2, 2));
    assert!(TcpStream::connect(address).await.is_err() && TcpStream::connect(admin).await.is_err());
    // The background work has ended, too: another may begin.
    balancer.start().unwrap().shutdown().await;
}

#[tokio::test]
async fn addresses_that_are_taken_are_no_fault_of_the_configuration() {
    let taken = StdListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let to = "127.0.0.1:1".parse().unwrap();

    let mut clients = config(to);
    clients.listeners[0].address = address.to_string().parse().unwrap();
    let mut admin = config(to);
    admin.admin = Some(Admin::new(address));
    for config in [clients, admin] {
        let error = assemble(config).unwrap_err();
        assert!(!error.is_config() && error.to_string().contains(&address.to_string()), "{error}");
    }
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused() {
    let to = "127.0.0.1:1".parse().unwrap();
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = config(to);
        change(&mut config);
        let error = assemble(config).unwrap_err();
        assert!(error.is_config(), "{error}");
        error
    };
    let error = refused(&|c| c.pools.clear());
    assert!(matches!(error, AssembleError::NoPool { .. }), "{error}");
    let error = refused(&|c| {
        let pool = c.pools["default"].clone();
        c.pools.insert("second".into(), pool);
    });
    let words = "no request comes to pool \"second\": several pools need routes";
    assert_eq!(error.to_string(), words);
    let error = refused(&|c| c.pools.get_mut("default").unwrap().backends.clear());
    assert!(error.to_string().contains("pool \"default\" has no backends"), "{error}");
    let error = refused(&|c| {
        let backends = &mut c.pools.get_mut("default").unwrap().backends;
        backends.push(backends[0].clone());
    });
    assert!(error.to_string().contains("127.0.0.1:1") && error.to_string().contains("twice"), "{error}");
    let error = refused(&|c| c.pools.get_mut("default").unwrap().backends[0].weight = 0);
    assert!(error.to_string().contains("weight"), "{error}");
    let error = refused(&|c| c.listeners.clear());
    assert!(error.to_string().contains("listener"), "{error}");
    let error = refused(&|c| c.admin = Some(Admin::new("0.0.0.0:0".parse().unwrap())));
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn kubernetes_is_there_in_a_build_that_has_it_and_else_the_error_says_which_has() {
    let discovery =
        "discovery = { type = \"kubernetes\", service = \"web\", api = { url = \"http://127.0.0.1:1\" } }";
    let file = "discovery = { type = \"file\", path = \"none.json\" }";
    let driver = "autoscale.driver = { type = \"kubernetes\", name = \"web\", api = { url = \"http://127.0.0.1:1\" } }";
    for (keys, section) in
        [(discovery.to_owned(), "discovery"), (format!("{file}\n{driver}"), "autoscale.driver")]
    {
        let text = format!("listeners = [{{ address = \"127.0.0.1:0\" }}]\n[pools.web]\n{keys}\n");
        let made = assemble(parse(&text, Format::Toml, "x.toml").unwrap());
        if cfg!(feature = "kubernetes") {
            assert!(made.is_ok(), "{section}: {:?}", made.err());
            continue;
        }
        let error = made.unwrap_err();
        let wanted = format!(
            "pool \"web\", {section}: this build has no `kubernetes`: build edge-lb with this cargo feature"
        );
        assert_eq!((error.to_string(), error.is_config()), (wanted, true));
    }
}

#[tokio::test]
async fn every_setting_of_a_file_arrives() {
    let text = r#"
        workers = 1
        shutdown_grace = "1s"
        listeners = [{ address = "127.0.0.1:0" }]
        [pools.web]
        algorithm = "least-connections"
        discovery = { type = "dns", name = "web.invalid.", port = 80 }
        backends = [{ id = "a", url = "http://127.0.0.1:1", weight = 3 }]
    "#;
    let server = assemble(parse(text, Format::Toml, "x.toml").unwrap()).unwrap();
    let balancer = server.balancer("web").unwrap();
    assert_eq!(balancer.pool().settings().algorithm.name(), "least-connections");
    assert_eq!(balancer.get_backend(&"a".into()).unwrap().weight, 3);
    assert_eq!(balancer.discovery_status().len(), 1);
    assert!(!balancer.has_health_check() && server.admin_address().is_none());
}
