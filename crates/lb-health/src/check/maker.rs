//! Makes checks, and makes only once what the checks of several backends have in common: a compiled pattern, a TLS configuration.

#[cfg(feature = "grpc")]
use super::grpc;
use super::{Check, tcp};
#[cfg(feature = "http")]
use super::{body, http};
use crate::{CheckKind, HealthCheckError, Plan};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The checks of one health checker come from one maker, and share what they can.
#[derive(Debug, Default)]
pub struct Maker {
    #[cfg(feature = "http")]
    pub(super) body: Last<lb_types::ExpectedBody, body::Matcher>,
    #[cfg(all(feature = "tls", any(feature = "http", feature = "grpc")))]
    pub(super) tls: Last<(crate::TlsCheck, super::wire::Protocol), Arc<rustls::ClientConfig>>,
}

impl Maker {
    /// The check that `plan` asks for.
    ///
    /// # Errors
    /// [`HealthCheckError::FeatureOff`] for what the build has not, and what the settings' `validate`s refuse.
    /// [`HealthCheckError::BadCa`] where the file of `tls.ca` cannot be used; it is read once, so a checker keeps what it has read.
    pub fn check(&self, plan: &Plan) -> Result<Arc<dyn Check>, HealthCheckError> {
        match &plan.settings.kind {
            CheckKind::Tcp => Ok(Arc::new(tcp::TcpProbe::new(&plan.target))),
            #[cfg(feature = "http")]
            CheckKind::Http(settings) => Ok(Arc::new(http::HttpProbe::made(settings, plan, self)?)),
            #[cfg(not(feature = "http"))]
            CheckKind::Http(_) => {
                Err(HealthCheckError::FeatureOff { what: "HTTP health checks", feature: "http" })
            }
            #[cfg(feature = "grpc")]
            CheckKind::Grpc(settings) => Ok(Arc::new(grpc::GrpcProbe::made(settings, plan, self)?)),
            #[cfg(not(feature = "grpc"))]
            CheckKind::Grpc(_) => {
                Err(HealthCheckError::FeatureOff { what: "gRPC health checks", feature: "grpc" })
            }
        }
    }
}

/// The thing made last, and what it was made of: backends of one pool mostly have the same.
pub(super) struct Last<K, V>(Mutex<Option<(K, V)>>);

impl<K, V> Default for Last<K, V> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<K, V> fmt::Debug for Last<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Last")
    }
}

#[cfg_attr(not(any(feature = "http", all(feature = "tls", feature = "grpc"))), allow(dead_code))] // TCP checks have nothing to share
impl<K: Clone + PartialEq, V: Clone> Last<K, V> {
    /// The thing made of `key`.
    pub(super) fn of(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<V, HealthCheckError>,
    ) -> Result<V, HealthCheckError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, made)) = &*last
            && of == key
        {
            return Ok(made.clone());
        }
        let made = make()?;
        *last = Some((key.clone(), made.clone()));
        Ok(made)
    }
}
