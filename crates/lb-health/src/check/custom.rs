//! A check that is anything: a function of the backend.

use super::{Check, CheckError, CheckFuture, Report};
use lb_types::Backend;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How much of what a function says is kept, in bytes: it stands in statuses and events.
pub const CUSTOM_TEXT_BYTES_MAX: usize = 1024;

/// What a custom check says of a backend.
///
/// ```
/// use lb_health::HealthReport;
/// use std::time::Duration;
/// let report = HealthReport::healthy().details("3 replicas").latency(Duration::from_millis(7));
/// assert!(report.healthy && report.error.is_none());
/// assert_eq!(HealthReport::unhealthy("replica lag 40 s").error.as_deref(), Some("replica lag 40 s"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether it is healthy, by this check.
    pub healthy: bool,
    /// How long it took to answer, where that is another time than the check as a whole; `None`: the whole time is measured.
    pub latency: Option<Duration>,
    /// What was seen, for people.
    pub details: Option<String>,
    /// Why it is not healthy. With `healthy` it does not count.
    pub error: Option<String>,
}

impl HealthReport {
    /// Healthy, and there is no more to say.
    pub fn healthy() -> Self {
        Self { healthy: true, ..Self::default() }
    }

    /// Not healthy, for this reason.
    pub fn unhealthy(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// With what was seen.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// With the time it took to answer.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }
}

impl From<HealthReport> for Report {
    fn from(report: HealthReport) -> Self {
        let HealthReport { healthy, latency, details, error } = report;
        let why = || error.filter(|e| !e.is_empty()).unwrap_or_else(|| "not healthy".to_owned());
        let result = if healthy { Ok(()) } else { Err(CheckError::Other(bounded(why()))) };
        Self { result, details: details.map(bounded), latency }
    }
}

/// At most [`CUSTOM_TEXT_BYTES_MAX`] of a text.
fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(CUSTOM_TEXT_BYTES_MAX));
    text
}

pub(crate) type CustomFuture = Pin<Box<dyn Future<Output = HealthReport> + Send>>;
pub(crate) type CustomFn = dyn Fn(Arc<Backend>) -> CustomFuture + Send + Sync;

/// Calls a function with the backend.
#[derive(Clone)]
pub struct CustomProbe {
    backend: Arc<Backend>,
    function: Arc<CustomFn>,
}

impl CustomProbe {
    /// A probe of `backend` by `function`.
    pub fn new<F, T>(backend: Backend, function: F) -> Self
    where
        F: Fn(Arc<Backend>) -> T + Send + Sync + 'static,
        T: Future<Output = HealthReport> + Send + 'static,
    {
        Self::shared(backend, boxed(function))
    }

    pub(crate) fn shared(backend: Backend, function: Arc<CustomFn>) -> Self {
        Self { backend: Arc::new(backend), function }
    }
}

pub(crate) fn boxed<F, T>(function: F) -> Arc<CustomFn>
where
    F: Fn(Arc<Backend>) -> T + Send + Sync + 'static,
    T: Future<Output = HealthReport> + Send + 'static,
{
    Arc::new(move |backend| Box::pin(function(backend)))
}

impl fmt::Debug for CustomProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomProbe").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl Check for CustomProbe {
    fn check(&self) -> CheckFuture<'_> {
        Box::pin(async { (self.function)(self.backend.clone()).await.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_become_results_with_bounded_texts() {
        let report = Report::from(HealthReport::healthy().details("é".repeat(1000)));
        assert_eq!(report.result, Ok(()));
        assert_eq!(report.details.unwrap().len(), CUSTOM_TEXT_BYTES_MAX);
        let odd = HealthReport { error: Some("of no account".into()), ..HealthReport::healthy() };
        assert_eq!(Report::from(odd), Report::passed());
        for silent in [HealthReport::default(), HealthReport::unhealthy("")] {
            assert_eq!(Report::from(silent).result, Err(CheckError::Other("not healthy".into())));
        }
    }
}
