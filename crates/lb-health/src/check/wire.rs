//! A fresh connection to a target, with TLS where the plan says so.

use super::connect::{Connection, connect};
use super::{CheckError, Maker};
use crate::{HealthCheckError, Plan};
use lb_types::Address;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a request is sent over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The answer that comes while the connection does the work. When the connection ends first, the answer (or why there is none) has been
/// handed over.
pub(super) async fn driven<A: Future>(answer: A, connection: impl Future) -> A::Output {
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

/// What is spoken inside TLS, as ALPN names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), allow(dead_code))] // plain connections have no ALPN
pub(super) enum Protocol {
    #[cfg(feature = "http")]
    Http1,
    #[cfg(feature = "grpc")]
    Http2,
}

/// Where and how to connect.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    address: Address,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::TlsClient>,
}

impl Wire {
    #[cfg_attr(not(feature = "tls"), allow(unused_variables))] // a plain connection takes the address alone
    pub(super) fn new(plan: &Plan, protocol: Protocol, maker: &Maker) -> Result<Self, HealthCheckError> {
        let address = plan.target.address().clone();
        #[cfg(feature = "tls")]
        {
            let client = || super::tls::TlsClient::new(&plan.settings.tls, &plan.target, protocol, maker);
            Ok(Self { address, tls: plan.target.tls().then(client).transpose()? })
        }
        #[cfg(not(feature = "tls"))]
        if plan.target.tls() {
            Err(HealthCheckError::FeatureOff { what: "health checks over TLS", feature: "tls" })
        } else {
            Ok(Self { address })
        }
    }

    pub(super) async fn connect(&self) -> Result<Box<dyn Io>, CheckError> {
        let plain: Box<dyn Io> = match connect(&self.address).await? {
            Connection::Tcp(stream) => Box::new(stream),
            #[cfg(unix)]
            Connection::Unix(stream) => Box::new(stream),
        };
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Ok(Box::new(tls.handshake(plain).await?));
        }
        Ok(plain)
    }
}
