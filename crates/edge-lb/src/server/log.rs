//! What the control plane has to say for itself: health, faults and discovery, in the log.

use lb_balancer::{FaultEvent, LoadBalancer};
use lb_types::HealthEvent;
use std::future::Future;
use std::time::Duration;

/// How often discovery is looked at. It has no events: what came and went within this time is one line.
const LOOK: Duration = Duration::from_millis(500);

/// Logs every change of a backend's health.
pub(super) fn health(balancer: &LoadBalancer) {
    let pool = balancer.name().to_owned();
    balancer.on_event(move |event| match event {
        HealthEvent::BackendHealthy { id } => tracing::info!(%pool, backend = %id, "backend is healthy"),
        HealthEvent::BackendUnhealthy { id, error } => {
            tracing::warn!(%pool, backend = %id, %error, "backend is unhealthy");
        }
        _ => {}
    });
}

/// Logs every change of a breaker, every ejection and its end.
pub(super) fn faults(balancer: &LoadBalancer) {
    let pool = balancer.name().to_owned();
    balancer.on_fault(move |event| {
        let backend = event.id();
        match event {
            FaultEvent::BreakerChanged { transition: t, .. } => {
                tracing::warn!(%pool, %backend, from = %t.from, to = %t.to, reason = %t.reason, "circuit breaker changed");
            }
            FaultEvent::BackendEjected(e) => {
                tracing::warn!(%pool, %backend, cause = %e.cause, times = e.times, "backend is ejected");
            }
            FaultEvent::BackendReturned { why, .. } => {
                tracing::info!(%pool, %backend, reason = %why, "backend is ejected no more");
            }
            _ => {}
        }
    });
}

/// Logs what auto-scaling does.
pub(super) fn scaling(balancer: &LoadBalancer) {
    let pool = balancer.name().to_owned();
    balancer.on_scale(move |event| {
        let kind = event.kind();
        if event.is_trouble() {
            tracing::warn!(%pool, kind, "auto-scaling: {event}");
        } else {
            tracing::info!(%pool, kind, "auto-scaling: {event}");
        }
    });
}

/// Logs what discovery finds and what it fails at, as long as it is polled; `None` if there is none.
pub(super) fn discovery(balancer: &LoadBalancer) -> Option<impl Future<Output = ()> + Send + 'static> {
    let balancer = balancer.clone();
    let mut before = balancer.discovery_status();
    (!before.is_empty()).then_some(async move {
        let pool = balancer.name();
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            let now = balancer.discovery_status();
            for (old, new) in before.iter().zip(&now) {
                let source = &new.source;
                if old.last_change != new.last_change {
                    tracing::info!(%pool, %source, backends = new.backends, "discovery changed the pool");
                }
                match &new.last_error {
                    Some(error) if old.last_error.as_ref() != Some(error) => {
                        tracing::warn!(%pool, %source, %error, "discovery failed; what it found last stays");
                    }
                    None if old.last_error.is_some() => {
                        tracing::info!(%pool, %source, "discovery works again");
                    }
                    _ => {}
                }
            }
            before = now;
        }
    })
}
