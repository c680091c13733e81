//! What takes a failing backend out: each mechanism alone, and all together, with short times.

use super::clients::CLIENTS;
use super::fault::Fault;
use edge_lb_tests::Setup;
use std::time::Duration;

const CHECKS: &str = r#"health_check = { interval = "100ms", timeout = "300ms", unhealthy_threshold = 2, healthy_threshold = 2 }"#;
const PASSIVE: &str = r#"
[pools.main.outlier_detection]
consecutive_failures = 5
interval = "500ms"
base_ejection_time = "1s"
max_ejection_percent = 50
"#;
const BREAKER: &str = r#"
[pools.main.circuit_breaker]
failure_threshold = 5
recovery_timeout = "1s"
success_threshold = 3
half_open_probes = 2
"#;
/// Of the last ten calls half were slow.
const SLOW_CALLS: &str = r#"
[pools.main.circuit_breaker]
failure_threshold = 0
recovery_timeout = "1s"
success_threshold = 3
half_open_probes = 2
slow_call_duration = "300ms"
slow_call_rate = 50
rate_window = 10
"#;

/// After so many failures passive detection and breakers act.
const THRESHOLD: usize = 5;
/// What one spell of absence lasts at least, by passive detection or a breaker.
const SPELL: Duration = Duration::from_secs(1);
/// Probes at once while half-open.
const PROBES: usize = 2;
/// An ejection is carried out by the background task. What may come in meanwhile: of this load, some 150 requests a second go to each of
/// three backends.
const UNTIL_CARRIED_OUT: usize = 60;

/// What takes the backend out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Checks,
    Passive,
    Breaker,
    SlowCalls,
    All,
}

impl Mechanism {
    /// As the summary calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Checks => "health check",
            Self::Passive => "passive",
            Self::Breaker => "breaker",
            Self::SlowCalls => "breaker (slow calls)",
            Self::All => "all",
        }
    }

    pub(super) fn configure(self, setup: Setup) -> Setup {
        match self {
            Self::Checks => setup.pool(CHECKS),
            Self::Passive => setup.pool(PASSIVE),
            Self::Breaker => setup.pool(BREAKER),
            Self::SlowCalls => setup.pool(SLOW_CALLS),
            Self::All => setup.pool(CHECKS).pool(PASSIVE).pool(BREAKER),
        }
    }

    /// Are there active checks?
    pub(super) fn checks(self) -> bool {
        matches!(self, Self::Checks | Self::All)
    }

    /// The reasons that the admin API may give.
    pub(super) fn reasons(self) -> &'static [&'static str] {
        match self {
            Self::Checks => &["unhealthy"],
            Self::Passive => &["ejected"],
            Self::Breaker | Self::SlowCalls => &["breaker-open"],
            Self::All => &["unhealthy", "ejected", "breaker-open"],
        }
    }

    /// Is that fault no reason to take a backend out?
    pub(super) fn ignores(self, fault: Fault) -> bool {
        // POSTs that meet an idle connection's end fail, and failures are what breakers count.
        fault == Fault::NoLength || (fault == Fault::ClosesIdle && self == Self::Checks)
    }

    /// How many requests may have reached the bad backend when it is out; `None`: that is a matter of time, not of requests.
    pub(super) fn hits_max(self, fault: Fault) -> Option<usize> {
        let each = if fault == Fault::FlapsByRequest { 2 } else { 1 };
        match self {
            Self::Checks => None,
            // A few POSTs among many GETs.
            _ if fault.spares_gets() => None,
            // Never five in a row: the statistic finds it, at the end of an interval.
            Self::Passive if fault == Fault::FlapsByRequest => None,
            Self::Passive => Some(THRESHOLD + CLIENTS + UNTIL_CARRIED_OUT),
            Self::SlowCalls => Some(2 * THRESHOLD + CLIENTS),
            Self::Breaker | Self::All => Some(each * THRESHOLD + CLIENTS),
        }
    }

    /// How many may reach it in `time` after that, while the fault lasts.
    pub(super) fn hits_later_max(self, fault: Fault, time: Duration) -> Option<usize> {
        let spells = usize::try_from(time.as_millis() / SPELL.as_millis()).unwrap_or(usize::MAX);
        match self {
            Self::Checks => Some(CLIENTS),
            Self::Passive => {
                let each = self.hits_max(fault);
                if spells == 0 { Some(CLIENTS) } else { each.map(|each| CLIENTS + spells * each) }
            }
            // Each failed probe begins a new spell, and those beside it are let end.
            Self::Breaker | Self::SlowCalls => Some(CLIENTS + 2 * PROBES * spells),
            Self::All => Some(CLIENTS + spells * (2 * PROBES + THRESHOLD + CLIENTS)),
        }
    }

    /// How long it may take to be out, at the most: ten check intervals, or an interval of the statistic, and what a busy machine adds.
    pub(super) fn out_limit(self) -> Duration {
        Duration::from_secs(6)
    }

    /// How long it may take to be back: the longest spell that this test can have caused, and what a busy machine adds.
    pub(super) fn back_limit(self, absent: Duration) -> Duration {
        absent * 2 + 4 * SPELL + Duration::from_secs(5)
    }
}
