//! An API over TLS: a real rustls server, with a certificate made on the spot.

use lb_kube::kube::Client;
use lb_kube::{Access, ApiError, Cluster, Connection};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const VERSION: &str = r#"{"major":"1","minor":"33","gitVersion":"v1.33.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":"of the test"}"#;

/// A server that tells its version; its port, its authority in PEM, and what it was asked.
async fn server() -> (u16, String, Arc<Mutex<String>>) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(String::new())));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not like the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            *log.lock().unwrap() = String::from_utf8(head).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", VERSION.len());
            stream.write_all((head + VERSION).as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (port, authority.pem(), asked)
}

async fn ask(url: String, ca_file: Option<PathBuf>) -> Result<String, ApiError> {
    let access = Access::Url { url, token: Some("secret".to_owned()), ca_file };
    let connection = Connection::new(Cluster::new(access));
    let asked = connection.ask(async |client: Client| client.apiserver_version().await).await;
    asked.map(|version| version.platform)
}

#[tokio::test]
async fn the_authority_of_the_file_is_believed_and_no_other() {
    let (port, ca, asked) = server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca).unwrap();
    let url = || format!("https://127.0.0.1:{port}");
    assert_eq!(ask(url(), Some(file.clone())).await.unwrap(), "of the test");
    let head = asked.lock().unwrap().to_ascii_lowercase();
    assert!(head.contains("authorization: bearer secret\r\n"), "{head}");

    let (_, other, _) = server().await;
    std::fs::write(&file, other).unwrap();
    let error = ask(url(), Some(file)).await.unwrap_err();
    assert!(error.reason.contains("certificate") && error.is_passing(), "{error}");
    let missing = ask(url(), Some(folder.path().join("missing.pem"))).await.unwrap_err();
    assert!(missing.status.is_none(), "{missing}");
}
