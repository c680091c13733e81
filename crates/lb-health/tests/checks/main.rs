//! Real checks of small scripted servers on loopback.

mod body;
mod http;
mod server;
mod tcp;

use lb_health::{HealthCheck, HealthChecker, NoSink};
use lb_types::{Backend, HealthStatus};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for any answer that comes at all, on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);
/// For what shall time out.
const BRIEF: Duration = Duration::from_millis(100);

/// One check by hand.
async fn check(settings: HealthCheck, backend: Backend) -> HealthStatus {
    let id = backend.id.clone();
    let checker = HealthChecker::new(settings, Arc::new(NoSink)).unwrap();
    checker.set_backends(vec![backend]).unwrap();
    checker.check_backend(&id).await.unwrap()
}

/// What a check says went wrong.
async fn failure(settings: HealthCheck, backend: Backend) -> String {
    let status = check(settings, backend).await;
    assert!(!status.healthy, "it passed: {status:?}");
    assert!(status.last_check.is_some());
    status.last_error.expect("a failed check says why")
}
