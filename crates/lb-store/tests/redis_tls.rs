//! `rediss://` against a real server with a certificate made on the spot.

mod common;

use common::suite::{self, LONG};
use lb_store::{RedisSettings, RedisStore, RedisUrl, Store, StoreError};
use lb_testkit::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

const PATIENT: Duration = Duration::from_secs(10);

/// A server whose certificate is for 127.0.0.1, and the file of the authority that signed it.
fn server(more: &[&str]) -> (RedisServer, PathBuf) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &authority).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let ca = write("ca.pem", authority.pem());
    let certificate = write("server.pem", certificate.pem());
    let key = write("server.key", key.serialize_pem());
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (c, k, a) = (text(&certificate), text(&key), text(&ca));
    let mut arguments = vec!["--tls-cert-file", &c, "--tls-key-file", &k, "--tls-ca-cert-file", &a];
    arguments.extend(["--tls-auth-clients", "no"]);
    arguments.extend(more);
    (RedisServer::start_in(folder, &arguments), ca)
}

fn settings(server: &RedisServer, login: &str) -> RedisSettings {
    let url = RedisUrl::parse(&format!("rediss://{login}127.0.0.1:{}", server.port())).unwrap();
    RedisSettings::new(url).timeout(PATIENT).connect_timeout(PATIENT)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_over_tls_with_a_password() {
    let (server, ca) = server(&["--requirepass", "right"]);
    let store = RedisStore::new(settings(&server, ":right@").ca(ca), Handle::current()).unwrap();
    suite::behaves(Arc::new(store), "tls").await;
}

#[tokio::test]
async fn an_unknown_authority_and_a_plain_server_are_refused() {
    let (server, ca) = server(&[]);
    let store = RedisStore::new(settings(&server, ""), Handle::current()).unwrap();
    let error = store.get("k").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");

    let plain = RedisServer::start(&[]);
    // It waits for the end of a line that never comes.
    let limit = Duration::from_millis(200);
    let settings_of_plain = settings(&plain, "").ca(&ca).connect_timeout(limit);
    let store = RedisStore::new(settings_of_plain, Handle::current()).unwrap();
    assert_eq!(store.set("k", b"", LONG).await, Err(StoreError::Timeout { limit }));

    for (file, why) in [("none.pem", "cannot be read"), ("server.key", "has no certificate")] {
        let error = RedisStore::new(settings(&server, "").ca(ca.with_file_name(file)), Handle::current());
        assert!(error.unwrap_err().to_string().contains(why), "{file}");
    }
}
