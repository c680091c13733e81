//! Checks over TLS of real rustls servers with certificates made on the spot.

mod common;

use common::{Answer, Asked, PATIENT, check, failure, serve};
use lb_health::{
    CheckKind, ExpectedBody, HealthCheck, HealthCheckError, HealthChecker, HttpCheck, NoSink, TlsCheck,
};
use lb_types::{Backend, BackendUrl};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server whose certificate is for `names`, signed by itself.
struct Server {
    port: u16,
    pem: String,
    asked: Asked,
}

impl Server {
    /// Speaks what ALPN says: gRPC with `h2`, otherwise HTTP/1.1.
    async fn start(names: &[&str], alpn: &[&str]) -> Self {
        Self::with(params(names), alpn).await
    }

    async fn with(params: CertificateParams, alpn: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Asked::default();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), log.clone());
                tokio::spawn(async move {
                    // A check that does not like the certificate goes away.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let sni = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
                    log.lock().unwrap().push((sni, vec![]));
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        return serve(stream, Answer::serving(1), log).await;
                    }
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    log.lock().unwrap().push((String::from_utf8(head).unwrap(), vec![]));
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nUP").await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, pem: certificate.pem(), asked }
    }

    fn backend(&self) -> Backend {
        Backend::new("b", format!("https://127.0.0.1:{}", self.port).parse().unwrap())
    }

    fn ca(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.pem", self.port));
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(text, _)| text.clone()).collect()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()).unwrap()
}

/// As `openssl req -x509` makes them: signed by itself, and by its own word an authority.
fn authority(names: &[&str]) -> CertificateParams {
    let mut params = params(names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn http(tls: TlsCheck) -> HealthCheck {
    HealthCheck::default().timeout(PATIENT).tls(tls)
}

#[tokio::test]
async fn certificate_of_a_known_authority_passes_for_its_names_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["127.0.0.1", "api.example"], &[]).await;
    let known = || TlsCheck::default().ca(server.ca(folder.path()));
    let status = check(http(known()), server.backend()).await;
    assert!(status.healthy && status.details.as_deref() == Some("200 OK"), "{status:?}");
    let host = format!("\r\nhost: 127.0.0.1:{}\r\n", server.port);
    let asked = server.asked();
    assert_eq!(asked[0], "-", "no SNI for an address");
    assert!(asked[1].starts_with("GET /health HTTP/1.1\r\n") && asked[1].contains(&host), "{asked:?}");

    assert!(check(http(known().server_name("api.example.")), server.backend()).await.healthy);
    assert_eq!(server.asked()[2], "api.example");
    let error = failure(http(known().server_name("other.example")), server.backend()).await;
    assert!(
        error.starts_with("no TLS with \"other.example\": ") && error.contains("not valid for name"),
        "{error}"
    );
}

#[tokio::test]
async fn certificate_that_is_listed_itself_passes_though_it_calls_itself_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with(authority(&["127.0.0.1"]), &[]).await;
    let listed = TlsCheck::default().ca(server.ca(folder.path()));
    let status = check(http(listed.clone()), server.backend()).await;
    assert!(status.healthy, "{status:?}");
    let error = failure(http(listed.clone().server_name("other.example")), server.backend()).await;
    assert!(error.contains("not valid for name"), "{error}");

    let other = Server::with(authority(&["127.0.0.1"]), &[]).await;
    let error = failure(http(listed), other.backend()).await;
    assert!(error.contains("invalid peer certificate"), "{error}");

    // The time counts all the same.
    for params in [authority(&["127.0.0.1"]), params(&["127.0.0.1"])] {
        let mut old = params;
        old.not_before = rcgen::date_time_ymd(2019, 1, 1);
        old.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let server = Server::with(old, &[]).await;
        let error = failure(http(TlsCheck::default().ca(server.ca(folder.path()))), server.backend()).await;
        assert!(error.contains("expired"), "{error}");
    }
}

#[tokio::test]
async fn unknown_authority_fails_unless_verification_is_off() {
    let server = Server::start(&["127.0.0.1"], &["http/1.1"]).await;
    let error = failure(http(TlsCheck::default()), server.backend()).await;
    assert!(error.starts_with("no TLS with \"127.0.0.1\": ") && error.contains("UnknownIssuer"), "{error}");
    let any = TlsCheck::default().without_verification();
    assert!(check(http(any.clone()), server.backend()).await.healthy);
    assert!(check(http(any.server_name("who.ever")), server.backend()).await.healthy);
    assert_eq!(server.asked()[2], "who.ever");
}

#[tokio::test]
async fn settings_say_whether_tls_is_spoken_whatever_the_url_says() {
    let server = Server::start(&["127.0.0.1"], &[]).await;
    let plain = Backend::new("b", BackendUrl::http("127.0.0.1", server.port).unwrap());
    let mut always = http(TlsCheck::always().without_verification());
    let CheckKind::Http(settings) = &mut always.kind else { unreachable!("it is http") };
    settings.expected_body = Some(ExpectedBody::Exact("UP".into()));
    assert!(check(always, plain.clone()).await.healthy);
    // Without TLS the server hears no handshake, and says so by an alert.
    let error = failure(http(TlsCheck::default()), plain).await;
    assert!(error.starts_with("no valid HTTP answer: "), "{error}");
    let mut never = TlsCheck::default();
    never.enabled = Some(false);
    assert!(failure(http(never), server.backend()).await.starts_with("no valid HTTP answer: "));
    assert!(
        check(HealthCheck::tcp().timeout(PATIENT), server.backend()).await.healthy,
        "connecting is enough"
    );
}

#[tokio::test]
async fn grpc_is_spoken_inside_tls_by_alpn() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["127.0.0.1"], &["h2", "http/1.1"]).await;
    let known = TlsCheck::default().ca(server.ca(folder.path()));
    let grpc = HealthCheck::grpc("a.B").timeout(PATIENT).tls(known.clone());
    let status = check(grpc.clone(), server.backend()).await;
    assert_eq!((status.healthy, status.details.as_deref()), (true, Some("SERVING")), "{status:?}");
    let uri = format!("https://127.0.0.1:{}/grpc.health.v1.Health/Check", server.port);
    assert!(server.asked()[1].contains(&uri), "{:?}", server.asked());
    let old = Server::start(&["127.0.0.1"], &["http/1.1"]).await;
    let error = failure(grpc.tls(known.ca(old.ca(folder.path()))), old.backend()).await;
    assert!(
        error.contains("no TLS with \"127.0.0.1\": ") && error.contains("NoApplicationProtocol"),
        "{error}"
    );
}

#[tokio::test]
async fn what_speaks_no_tls_fails_and_says_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    });
    let error = failure(http(TlsCheck::default()), Backend::new("b", url)).await;
    assert!(error.starts_with("no TLS with \"localhost\": "), "{error}");
}

#[test]
fn authorities_that_cannot_be_used_are_refused_when_backends_are_set() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |content: Option<&[u8]>| {
        let path = folder.path().join("ca.pem");
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let settings = HealthCheck::default().tls(TlsCheck::default().ca(&path));
        let checker = HealthChecker::new(settings, Arc::new(NoSink)).unwrap();
        let https = Backend::new("b", "https://127.0.0.1".parse().unwrap());
        let HealthCheckError::Backend { error, .. } = checker.set_backends(vec![https]).unwrap_err() else {
            panic!("it names the backend")
        };
        let text = error.to_string();
        assert!(text.starts_with("health_check.tls.ca = ") && text.contains("ca.pem"), "{text}");
        text
    };
    assert!(refused(Some(b"nothing of use")).contains("no certificate in PEM"));
    assert!(
        refused(Some(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"))
            .contains("no good PEM")
    );
    let junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(refused(Some(junk)).contains("of no use"));
    assert!(refused(Some(&vec![b'#'; (1 << 20) + 1])).contains("more than 1 MiB"));
    assert!(refused(None).contains("No such file"));
    // A plain backend needs none of it.
    let settings = HealthCheck::default().tls(TlsCheck::default().ca("/nowhere"));
    let checker = HealthChecker::new(settings, Arc::new(NoSink)).unwrap();
    checker.set_backends(vec![Backend::new("b", "http://127.0.0.1".parse().unwrap())]).unwrap();
    assert_eq!(HttpCheck::default().expected_body, None);
}
