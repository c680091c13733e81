//! `rediss://`: rustls with aws-lc, its provider passed by hand, so that nothing is installed for the whole process.
//!
//! The authorities that are known are Mozilla's, compiled in; a `ca` file stands in for them. It lacks client certificates.

use lb_types::SettingsError;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The largest file of authorities, in bytes: a system's whole bundle has a quarter of it.
const CA_BYTES_MAX: u64 = 1 << 20;

pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub(super) fn new(host: &str, ca: Option<&Path>) -> Result<Self, SettingsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            SettingsError::new("url", host, "the host may not stand in a certificate: give another name")
        })?;
        let roots = match ca {
            Some(ca) => authorities(ca)?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| SettingsError::new("url", host, format!("no version of TLS can be spoken: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(super) async fn handshake(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, SettingsError> {
    let unreadable = |e: std::io::Error| SettingsError::new("ca", file, format!("cannot be read: {e}"));
    let mut pem = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(CA_BYTES_MAX + 1).read_to_end(&mut pem).map_err(unreadable)?;
    if pem.len() as u64 > CA_BYTES_MAX {
        return Err(SettingsError::new("ca", file, "must have 1 MiB at most"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate
            .map_err(|e| e.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|e| e.to_string()))
            .map_err(|e| {
                SettingsError::new("ca", file, format!("has a certificate that cannot be used: {e}"))
            })?;
    }
    if roots.is_empty() { Err(SettingsError::new("ca", file, "has no certificate")) } else { Ok(roots) }
}
