//! TLS of checks: rustls with aws-lc-rs, its provider passed by hand, so that nothing is installed for the whole process.
//!
//! The authorities that are known are Mozilla's, compiled in (`webpki-roots`): they are the same on every machine, in a container
//! without files and offline. Backends are commonly signed by an authority of one's own: name its file as `ca`, which stands in for
//! Mozilla's, or `/etc/ssl/certs/ca-certificates.crt` for the system's.
//!
//! A certificate that stands in that file itself is known, too, as it is to OpenSSL: what `openssl req -x509` makes calls itself an
//! authority, and webpki alone would not let it be a server's.
//!
//! Each check makes a whole handshake: no session is resumed, or a broken certificate would go unnoticed. It lacks client
//! certificates and revocation lists.

use super::wire::Protocol;
use super::{CheckError, Maker};
use crate::error::bad;
use crate::{HealthCheckError, Target, TlsCheck};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The largest file of authorities, in bytes: a system's whole bundle has a quarter of it.
const CA_BYTES_MAX: u64 = 1 << 20;

/// One backend's side of TLS.
#[derive(Clone)]
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    pub(super) fn new(
        settings: &TlsCheck,
        target: &Target,
        protocol: Protocol,
        maker: &Maker,
    ) -> Result<Self, HealthCheckError> {
        let name = settings.server_name.clone().unwrap_or_else(|| target.host());
        // A name in a certificate does not end with a dot.
        let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
        let name = ServerName::try_from(name.clone()).map_err(|_| {
            bad("tls.server_name", format!("{name:?}"), "it may not stand in a certificate: give another")
        })?;
        let config = maker.tls.of(&(settings.clone(), protocol), || config(settings, protocol))?;
        Ok(Self { config, name })
    }

    pub(super) async fn handshake<S>(&self, stream: S) -> Result<TlsStream<S>, CheckError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(self.config.clone());
        connector
            .connect(self.name.clone(), stream)
            .await
            .map_err(|e| CheckError::Tls { name: self.name.to_str().into_owned(), error: e.to_string() })
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What all backends of one checker have in common.
fn config(settings: &TlsCheck, protocol: Protocol) -> Result<Arc<ClientConfig>, HealthCheckError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (settings.verify, &settings.ca) {
        (false, _) => Arc::new(AnyCertificate(provider.clone())),
        (true, None) => by_roots(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(), &provider),
        (true, Some(path)) => {
            let (roots, listed) = authorities(path)?;
            Arc::new(Listed { by_roots: by_roots(roots, &provider), listed })
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .dangerous() // rustls's word for a verifier of one's own; here it is its own, unless verification is off
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        #[cfg(feature = "http")]
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        #[cfg(feature = "grpc")]
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// `roots` has one at least.
fn by_roots(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Arc<WebPkiServerVerifier> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .expect("there are roots, and no revocation list that could be wrong")
}

/// The certificates of a PEM file, one at least.
fn authorities(path: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), HealthCheckError> {
    let bad = |reason: String| HealthCheckError::BadCa { path: path.to_owned(), reason };
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
    file.take(CA_BYTES_MAX + 1).read_to_end(&mut pem).map_err(|e| bad(e.to_string()))?;
    if pem.len() as u64 > CA_BYTES_MAX {
        return Err(bad("it has more than 1 MiB".to_owned()));
    }
    let (mut roots, mut listed) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| bad(format!("it is no good PEM: {e}")))?;
        listed.push(certificate.clone());
        roots.add(certificate).map_err(|e| bad(format!("a certificate in it is of no use: {e}")))?;
    }
    if roots.is_empty() {
        return Err(bad("it has no certificate in PEM".to_owned()));
    }
    Ok((roots, listed))
}

/// Signed by a known authority, or listed among them itself.
#[derive(Debug)]
struct Listed {
    by_roots: Arc<WebPkiServerVerifier>,
    listed: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict =
            self.by_roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // Webpki has looked at the time before it comes to what has no name in rustls: here, a certificate that calls itself an
            // authority. A test holds it to that.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.listed.iter().any(|l| l == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_roots.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_roots.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_roots.supported_verify_schemes()
    }
}

/// `verify = false`: any certificate passes, as long as the server has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
