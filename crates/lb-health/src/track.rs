//! What is known of one backend: its hysteresis and the status that people see. Pure: the time comes in with each result.

use crate::hysteresis::{Hysteresis, Thresholds, Transition};
use lb_types::{BackendId, HealthEvent, HealthStatus};
use std::time::Duration;

/// The weight of the newest latency in the mean: 1/8, as TCP's smoothed round-trip time.
const LATENCY_WEIGHT: f64 = 1.0 / 8.0;

/// One result, as it counts.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// `None`: passed.
    pub(crate) error: Option<String>,
    pub(crate) details: Option<String>,
    pub(crate) latency: Duration,
    pub(crate) at_unix_ms: u64,
}

/// Hysteresis and status of one backend, kept in step.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    hysteresis: Hysteresis,
    status: HealthStatus,
}

impl Track {
    /// Unknown, hence healthy.
    pub(crate) fn new() -> Self {
        Self {
            hysteresis: Hysteresis::new(),
            status: HealthStatus { healthy: true, ..HealthStatus::default() },
        }
    }

    pub(crate) fn status(&self) -> &HealthStatus {
        &self.status
    }

    pub(crate) fn is_changing(&self) -> bool {
        self.hysteresis.is_changing()
    }

    /// See [`Hysteresis::reconsider`].
    pub(crate) fn reconsider(&mut self) {
        self.hysteresis.reconsider();
    }

    /// Counts a result; an event when it brings a verdict.
    pub(crate) fn record(
        &mut self,
        id: &BackendId,
        result: Counted,
        thresholds: Thresholds,
    ) -> Option<HealthEvent> {
        let transition = self.hysteresis.record(result.error.is_none(), thresholds);
        let s = &mut self.status;
        s.healthy = self.hysteresis.is_healthy();
        s.last_check = Some(result.at_unix_ms);
        s.consecutive_successes = self.hysteresis.consecutive_successes();
        s.consecutive_failures = self.hysteresis.consecutive_failures();
        s.details = result.details;
        match result.error {
            Some(error) => s.last_error = Some(error),
            None => {
                let ms = result.latency.as_secs_f64() * 1e3;
                s.average_latency =
                    Some(s.average_latency.map_or(ms, |mean| mean + (ms - mean) * LATENCY_WEIGHT));
            }
        }
        transition.map(|t| match t {
            Transition::ToHealthy => HealthEvent::BackendHealthy { id: id.clone() },
            Transition::ToUnhealthy => HealthEvent::BackendUnhealthy {
                id: id.clone(),
                error: s.last_error.clone().unwrap_or_default(), // set above: only a failure leads here
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(error: Option<&str>, latency_ms: u64) -> Counted {
        Counted {
            error: error.map(str::to_owned),
            details: Some("seen".into()),
            latency: Duration::from_millis(latency_ms),
            at_unix_ms: 42,
        }
    }

    #[test]
    fn status_follows_the_results() {
        let (id, t) = (BackendId::new("a"), Thresholds { healthy: 2, unhealthy: 2 });
        let mut track = Track::new();
        assert_eq!(track.status(), &HealthStatus { healthy: true, ..Default::default() });

        let event = track.record(&id, result(None, 80), t);
        assert_eq!(event, Some(HealthEvent::BackendHealthy { id: id.clone() }));
        assert_eq!(track.record(&id, result(None, 160), t), None);
        assert_eq!(track.record(&id, result(Some("one"), 9000), t), None);
        let event = track.record(&id, result(Some("two"), 9000), t);
        assert_eq!(event, Some(HealthEvent::BackendUnhealthy { id: id.clone(), error: "two".into() }));
        assert_eq!(track.record(&id, result(None, 170), t), None);

        let wanted = HealthStatus {
            healthy: false,
            last_check: Some(42),
            consecutive_successes: 1,
            consecutive_failures: 0,
            average_latency: Some(100.0), // 80, then 80 + 80/8, then 90 + 80/8; failures do not count
            last_error: Some("two".into()),
            details: Some("seen".into()),
        };
        assert_eq!(track.status(), &wanted);
    }
}
